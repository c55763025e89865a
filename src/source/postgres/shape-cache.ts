import { setTimeout as delay } from 'node:timers/promises';
import { matchesFilter, type TableFilter } from '../../event/table-pattern.ts';
import { sameShape, type TableShape } from '../../event/table.ts';
import { codedError } from '../../runtime/postgres/client.ts';
import type { PgConnection, Query } from '../../runtime/postgres/connection.ts';
import type { CatalogTable } from './catalog.ts';
import { sourceError } from './errors.ts';
import type { Relation } from './relation.ts';
import { describesSame, isCurrent, readStreamTable, readTypes, shapeOfRelation } from './stream-catalog.ts';
import { readVisibility, type StreamedTransactions } from './transactions.ts';

export interface ShapeCacheOptions {
  readonly filter: TableFilter;
  readonly leftOut: readonly CatalogTable[];
  readonly version: number;
  readonly publication: string;
}

const invisiblePollMs = 5;
/** No lock is asked for, so that only a connection that is dead takes this long to answer. */
const lookUpLimitMs = 30_000;

/**
 * One object for each shape of each table: whoever gets the same object twice knows without comparing that nothing changed.
 * A Relation that only repeats the last one (ANALYZE makes the server send it again) is answered with the object before.
 */
export class ShapeCache {
  readonly #control: PgConnection;
  readonly #options: ShapeCacheOptions;
  #leftOut: ReadonlySet<number>;
  readonly #shapes = new Map<number, TableShape>();

  constructor(control: PgConnection, options: ShapeCacheOptions) {
    this.#control = control;
    this.#options = options;
    this.#leftOut = new Set(options.leftOut.map((table) => table.relid));
  }

  /** From now on these are the tables that match and are not captured. */
  leaveOut(tables: readonly CatalogTable[]): void {
    this.#leftOut = new Set(tables.map((table) => table.relid));
  }

  /** The object to use for a shape. */
  keep(shape: TableShape): TableShape {
    const kept = this.match(shape);
    this.#shapes.set(shape.relid, kept);
    return kept;
  }

  /** As `keep` without remembering: for who reads the catalog of now, which may be ahead of the stream. */
  match(shape: TableShape): TableShape {
    const known = this.#shapes.get(shape.relid);
    return known !== undefined && sameShape(known, shape) ? known : shape;
  }

  /** What a Relation of the stream means; null for a table that is not captured. Asks the catalog. */
  async describe(relation: Relation, streamed: StreamedTransactions): Promise<TableShape | null> {
    if (this.#leftOut.has(relation.relid) || !matchesFilter(this.#options.filter, relation)) return null;
    try {
      for (;;) {
        const limit = setTimeout(() => this.#control.fail(codedError('ETIMEDOUT', `no answer within ${lookUpLimitMs} ms`)), lookUpLimitMs);
        const shape = await this.#control.exclusively((query) => this.#look(query, relation, streamed)).finally(() => clearTimeout(limit));
        if (shape !== null) return this.keep(shape);
        // The catalog is behind the stream for as long as a commit is in its last steps.
        await delay(invisiblePollMs);
      }
    } catch (error) {
      throw sourceError(error, `the catalog could not be asked about ${relation.schema}.${relation.name}`);
    }
  }

  /** Null while the catalog does not show yet what the stream has brought. */
  async #look(query: Query, relation: Relation, streamed: StreamedTransactions): Promise<TableShape | null> {
    if (!streamed.allVisible(await readVisibility(query))) return null;
    const table = await readStreamTable(query, relation.relid, this.#options);
    const known = this.#shapes.get(relation.relid);
    // A catalog that is ahead of the stream says nothing against the shape as it was.
    const isOld = table === undefined || !isCurrent(relation, table);
    if (isOld && known !== undefined && describesSame(relation, known)) return known;
    return shapeOfRelation(relation, table, await readTypes(query, relation));
  }
}

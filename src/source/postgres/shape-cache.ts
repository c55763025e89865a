import { setTimeout as delay } from 'node:timers/promises';
import { matchesFilter, type TableFilter } from '../../event/table-pattern.ts';
import { sameShape, type TableShape, type TableState } from '../../event/table.ts';
import { codedError } from '../../runtime/postgres/client.ts';
import type { PgConnection, Query } from '../../runtime/postgres/connection.ts';
import { isOfUsers, type CatalogTable } from './catalog.ts';
import { sourceError } from './errors.ts';
import type { Relation } from './relation.ts';
import { readStreamTables, readTypes } from './stream-catalog.ts';
import { describesSame, shapeOfRelation, type Before } from './stream-shape.ts';
import { readState } from './table-state.ts';
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
  /** What the stream has shown, or a look, whichever was later; at first what the log has. */
  readonly #shapes = new Map<number, TableShape>();
  /** What the catalog has shown ahead of the stream. */
  readonly #ahead = new Map<number, TableShape>();
  /** The stamps of the last look. */
  readonly #stamps = new Map<number, Before['stamps']>();

  constructor(control: PgConnection, options: ShapeCacheOptions) {
    this.#control = control;
    this.#options = options;
    this.#leftOut = new Set(options.leftOut.map((table) => table.relid));
  }

  /** From now on these are the tables that match and are not captured. */
  leaveOut(tables: readonly CatalogTable[]): void {
    this.#leftOut = new Set(tables.map((table) => table.relid));
  }

  /** What was known of a table when the stream began, or is since a look at it. */
  accept(shape: TableShape, state: TableState | null): void {
    this.#shapes.set(shape.relid, this.match(shape));
    const stamps = Object.entries(readState(state)?.stamps ?? {}).map(([attnum, stamp]) => [Number(attnum), stamp] as const);
    this.#stamps.set(shape.relid, new Map(stamps));
  }

  /** The object for a shape, without remembering it: for who reads the catalog of now, which may be ahead of the stream. */
  match(shape: TableShape): TableShape {
    const known = [this.#shapes.get(shape.relid), this.#ahead.get(shape.relid)].find((one) => one !== undefined && sameShape(one, shape));
    if (known === undefined) this.#ahead.set(shape.relid, shape);
    return known ?? shape;
  }

  /** What a Relation of the stream means; null for a table that is not captured. Asks the catalog. */
  async describe(relation: Relation, streamed: StreamedTransactions): Promise<TableShape | null> {
    // A publication of all tables has those among the server's own, too.
    if (this.#leftOut.has(relation.relid) || !isOfUsers(relation.schema) || !matchesFilter(this.#options.filter, relation)) return null;
    try {
      for (;;) {
        const limit = setTimeout(() => this.#control.fail(codedError('ETIMEDOUT', `no answer within ${lookUpLimitMs} ms`)), lookUpLimitMs);
        const shape = await this.#control.exclusively((query) => this.#look(query, relation, streamed)).finally(() => clearTimeout(limit));
        // The catalog is behind the stream for as long as a commit is in its last steps.
        if (shape === null) {
          await delay(invisiblePollMs);
          continue;
        }
        const kept = this.match(shape);
        this.#shapes.set(relation.relid, kept);
        return kept;
      }
    } catch (error) {
      throw sourceError(error, `the catalog could not be asked about ${relation.schema}.${relation.name}`);
    }
  }

  /** Null while the catalog does not show yet what the stream has brought. */
  async #look(query: Query, relation: Relation, streamed: StreamedTransactions): Promise<TableShape | null> {
    if (!streamed.allVisible(await readVisibility(query))) return null;
    const [table] = await readStreamTables(query, [relation.relid], this.#options);
    const known = this.#shapes.get(relation.relid);
    const before = known && { shape: known, stamps: this.#stamps.get(relation.relid) ?? new Map<number, string>() };
    const shape = shapeOfRelation(relation, { before, table, types: await readTypes(query, relation) });
    // A catalog that is ahead of the stream says nothing against the shape as it was; should the columns be others after all, a look
    // at the catalog finds a column that was made again.
    const isDoubtful = table === undefined || shape.columns.some((column) => column.attnum === null);
    return isDoubtful && known !== undefined && describesSame(relation, known) ? known : shape;
  }
}

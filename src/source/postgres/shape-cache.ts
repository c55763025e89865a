import { matchesFilter, type TableFilter } from '../../event/table-pattern.ts';
import { sameShape, type TableShape } from '../../event/table.ts';
import type { PgConnection } from '../../runtime/postgres/connection.ts';
import { readTablesByOid, readTypes, shapeOfRelation, type CatalogTable } from './catalog.ts';
import { sourceError } from './errors.ts';
import type { Relation } from './relation.ts';

/**
 * One object for each shape of each table: whoever gets the same object twice knows without comparing that nothing changed.
 * A Relation that only repeats the last one (ANALYZE makes the server send it again) is answered with the object before.
 */
export class ShapeCache {
  readonly #control: PgConnection;
  readonly #filter: TableFilter;
  readonly #leftOut: ReadonlySet<number>;
  readonly #version: number;
  readonly #shapes = new Map<number, TableShape>();

  constructor(control: PgConnection, options: { readonly filter: TableFilter; readonly leftOut: readonly CatalogTable[]; readonly version: number }) {
    this.#control = control;
    this.#filter = options.filter;
    this.#leftOut = new Set(options.leftOut.map((table) => table.relid));
    this.#version = options.version;
  }

  /** The object to use for a shape. */
  keep(shape: TableShape): TableShape {
    const known = this.#shapes.get(shape.relid);
    if (known !== undefined && sameShape(known, shape)) return known;
    this.#shapes.set(shape.relid, shape);
    return shape;
  }

  /** As `keep` without remembering: for who reads the catalog of now, which may be ahead of the stream. */
  match(shape: TableShape): TableShape {
    const known = this.#shapes.get(shape.relid);
    return known !== undefined && sameShape(known, shape) ? known : shape;
  }

  /** What a Relation of the stream means; null for a table that is not captured. Asks the catalog. */
  async describe(relation: Relation): Promise<TableShape | null> {
    if (this.#leftOut.has(relation.relid) || !matchesFilter(this.#filter, relation)) return null;
    try {
      const shape = await this.#control.exclusively(async (query) => {
        const [table] = await readTablesByOid(query, [relation.relid], { version: this.#version });
        return shapeOfRelation(relation, table, await readTypes(query, relation.columns));
      });
      return this.keep(shape);
    } catch (error) {
      throw sourceError(error, `the catalog could not be asked about ${relation.schema}.${relation.name}`);
    }
  }
}

import type { Query } from './connection.ts';
import { quoteIdentifier } from './quote.ts';
import { sqlstateOf } from './sqlstate.ts';

/** What is read: one side of a table. Texts of SQL are quoted already. */
export interface DigestedTable {
  /** With ONLY where the table stands for itself alone. */
  readonly from: string;
  /** A condition that rows have to meet, or null. */
  readonly filter: string | null;
  /** The compared columns. */
  readonly columns: readonly string[];
  /** The key's columns in key order; empty without a key. */
  readonly key: readonly DigestedKeyColumn[];
  /** Where texts are in another encoding, they are hashed in UTF-8 all the same. */
  readonly utf8: boolean;
}

export interface DigestedKeyColumn {
  readonly name: string;
  /** What a text is cast to. */
  readonly type: string;
  /** The equality that the key's index knows: `OPERATOR(pg_catalog.=)`. */
  readonly equals: string;
}

export interface LookedRow {
  readonly state: string;
  readonly version: string | null;
  readonly quiet: boolean;
}

/** Keys of one statement at most. */
const lookBatch = 5000;

/**
 * A table of a Postgres told by hashes (event/digest.ts), for a source and a replica alike. Sessions pin the settings that
 * texts depend on. `concat` is how a value's text is had: a cast to text is another one for booleans, char(n) and addresses.
 */
export class PostgresTableDigests {
  readonly #query: Query;
  readonly #table: DigestedTable;

  constructor(query: Query, table: DigestedTable) {
    this.#query = query;
    this.#table = table;
  }

  async buckets(of: number): Promise<{ counts: Float64Array; sums: BigUint64Array }> {
    // OFFSET 0 keeps the planner from writing the hash out twice.
    const rows = await this.#query<{ bucket: number; count: string; sum: string }>(
      `SELECT (h & ${of - 1})::int4 AS bucket, count(*) AS count, sum(h)::text AS sum
       FROM (SELECT ('x' || ${this.#rowHash()})::bit(64)::int8 AS h FROM ${this.#from()} OFFSET 0) r GROUP BY 1`,
    );
    const counts = new Float64Array(of);
    const sums = new BigUint64Array(of);
    for (const { bucket, count, sum } of rows) {
      counts[bucket] = Number(count);
      sums[bucket] = BigInt.asUintN(64, BigInt(sum));
    }
    return { counts, sums };
  }

  async rows({ of, buckets }: { readonly of: number; readonly buckets: readonly number[] }): Promise<Map<string, string>> {
    const { key } = this.#table;
    const inBuckets = `(('x' || h)::bit(64)::int8 & ${of - 1})::int4 = ANY ($1::int4[])`;
    if (key.length === 0) {
      const rows = await this.#query<{ h: string; count: string }>(
        `SELECT h, count(*) AS count FROM (SELECT ${this.#rowHash()} AS h FROM ${this.#from()} OFFSET 0) r WHERE ${inBuckets} GROUP BY h`,
        [buckets],
      );
      return new Map(rows.map(({ h, count }) => [h, count]));
    }
    const names = key.map((_, i) => `k${i}`);
    const rows = await this.#query<{ key: string[]; h: string }>(
      `SELECT ARRAY[${names.map((name) => `concat(${name})`).join(', ')}] AS key, h
       FROM (SELECT ${this.#rowHash()} AS h, ${key.map(({ name }, i) => `t.${quoteIdentifier(name)} AS k${i}`).join(', ')} FROM ${this.#from()} OFFSET 0) r
       WHERE ${inBuckets}`,
      [buckets],
    );
    return new Map(rows.map((row) => [JSON.stringify(row.key), row.h]));
  }

  async look(ids: readonly string[]): Promise<Map<string, string>> {
    const rows = await this.watch(ids);
    return new Map([...rows].map(([id, { state }]) => [id, state]));
  }

  async watch(ids: readonly string[]): Promise<Map<string, LookedRow>> {
    if (this.#table.key.length === 0) return this.#count(ids);
    const found = new Map<string, LookedRow>();
    for (let from = 0; from < ids.length; from += lookBatch) await this.#byKey(ids.slice(from, from + lookBatch), found);
    return found;
  }

  async #count(hashes: readonly string[]): Promise<Map<string, LookedRow>> {
    const rows = await this.#query<{ h: string; count: string }>(
      `SELECT h, count(*) AS count FROM (SELECT ${this.#rowHash()} AS h FROM ${this.#from()} OFFSET 0) r WHERE h = ANY ($1::text[]) GROUP BY h`,
      [hashes],
    );
    return new Map(rows.map(({ h, count }) => [h, { state: count, version: null, quiet: false }]));
  }

  async #byKey(ids: readonly string[], found: Map<string, LookedRow>): Promise<void> {
    const wanted = new Set(ids);
    const keys = ids.map((id) => JSON.parse(id) as string[]);
    const params = this.#table.key.map((_, i) => keys.map((key) => key[i]));
    let rows: KeyedRow[];
    try {
      rows = await this.#query<KeyedRow>(this.#lookQuery('value'), params);
    } catch (error) {
      // A key that only the other side has need not be a value of this side's type: then texts are compared, by a scan.
      if (!isDataException(error)) throw error;
      rows = await this.#query<KeyedRow>(this.#lookQuery('text'), params);
    }
    for (const { key, columns, xmin, xmax } of rows) {
      // Equal is the text: 1.0 and 1.00 are two keys, although an index takes them for one.
      const id = JSON.stringify(key);
      if (wanted.has(id)) found.set(id, { state: columns.join(','), version: xmin, quiet: xmax === '0' });
    }
  }

  #lookQuery(by: 'value' | 'text'): string {
    const { key, columns } = this.#table;
    const on = key.map(({ name, type, equals }, i) => {
      const column = `t.${quoteIdentifier(name)}`;
      return by === 'value' ? `${column} ${equals} w.${wanted(i)}::${type}` : `concat(${column}) COLLATE "C" = w.${wanted(i)}`;
    });
    const hashes = columns.map((name) => `coalesce(${this.#md5(valueText(`t.${quoteIdentifier(name)}`))}, '-')`);
    return `SELECT ARRAY[${key.map(({ name }) => `concat(t.${quoteIdentifier(name)})`).join(', ')}] AS key,
        ARRAY[${hashes.join(', ')}]::text[] AS columns, t.xmin::text AS xmin, t.xmax::text AS xmax
      FROM unnest(${key.map((_, i) => `$${i + 1}::text[]`).join(', ')}) AS w(${key.map((_, i) => wanted(i)).join(', ')})
      JOIN ${this.#from(` ON ${on.join(' AND ')}`)}`;
  }

  #from(on = ''): string {
    const { from, filter } = this.#table;
    return `${from} AS t${on}${filter === null ? '' : ` WHERE (${filter})`}`;
  }

  #rowHash(): string {
    return this.#md5(`ARRAY[${this.#table.columns.map((name) => valueText(`t.${quoteIdentifier(name)}`)).join(', ')}]::text[]::text`);
  }

  #md5(text: string): string {
    return `left(md5(${this.#table.utf8 ? text : `convert_to(${text}, 'UTF8')`}), 16)`;
  }
}

interface KeyedRow {
  readonly key: readonly string[];
  readonly columns: readonly string[];
  readonly xmin: string;
  readonly xmax: string;
}

/** No name that a column of the table has, because a publication's filter names columns alone. */
function wanted(i: number): string {
  return `tailrace_wanted_${i}`;
}

/** IS DISTINCT FROM, because a composite value with a NULL in it is neither NULL nor NOT NULL. */
function valueText(column: string): string {
  return `CASE WHEN ${column} IS DISTINCT FROM NULL THEN concat(${column}) END`;
}

function isDataException(error: unknown): boolean {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return (sqlstateOf(cause) ?? sqlstateOf(error))?.startsWith('22') === true;
}

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import type { Buckets, BucketSelection, RowId, RowState, TableDigests } from '../../event/digest.ts';
import { rowText } from '../../event/row-text.ts';
import { shortMd5 } from '../../runtime/md5.ts';
import { quote } from './quote.ts';
import { sqliteError } from './sqlite-error.ts';
import { type Form, type SqliteValue, toPostgresText, toSqlite } from './representation.ts';

export interface DigestedColumn {
  /** Its name in the file. */
  readonly name: string;
  readonly form: Form;
}

/** Hands out a connection of its own for each use: one that has a scan open shows every other statement an old state. */
export type Borrow = <T>(use: (db: DatabaseSync) => Promise<T>) => Promise<T>;

export interface DigestedTable {
  /** Of the file, for messages. */
  readonly path: string;
  readonly name: string;
  readonly columns: readonly DigestedColumn[];
  /** Indexes into the columns, in key order. */
  readonly key: readonly number[];
}

/** Rows between two looks at what else this process has to do. */
const scanSlice = 5000;

/** A table of a SQLite file told by hashes of the texts that Postgres has for its values (event/digest.ts). */
export class SqliteTableDigests implements TableDigests {
  readonly #borrow: Borrow;
  readonly #path: string;
  readonly #columns: readonly DigestedColumn[];
  /** Indexes into the columns, in key order. */
  readonly #key: readonly number[];
  readonly #select: string;

  constructor(borrow: Borrow, table: DigestedTable) {
    this.#borrow = borrow;
    this.#path = table.path;
    this.#columns = table.columns;
    this.#key = table.key;
    // A table of which no column is compared has rows all the same.
    const list = table.columns.length === 0 ? 'NULL' : table.columns.map(({ name }) => quote(name)).join(', ');
    this.#select = `SELECT ${list} FROM ${quote(table.name)}`;
  }

  async buckets(of: number): Promise<Buckets> {
    const counts = new Float64Array(of);
    const sums = new BigUint64Array(of);
    await this.#scan((texts) => {
      const hash = hashOf(texts);
      const bucket = bucketOf(hash, of);
      counts[bucket] = (counts[bucket] as number) + 1;
      sums[bucket] = (sums[bucket] as bigint) + BigInt(`0x${hash}`);
    });
    return { counts, sums };
  }

  async rows({ of, buckets }: BucketSelection): Promise<ReadonlyMap<RowId, string>> {
    const wanted = new Uint8Array(of);
    for (const bucket of buckets) wanted[bucket] = 1;
    const found = new Map<RowId, string>();
    await this.#scan((texts) => {
      const hash = hashOf(texts);
      if (wanted[bucketOf(hash, of)] !== 1) return;
      if (this.#key.length > 0) found.set(this.#idOf(texts), hash);
      else found.set(hash, String(Number(found.get(hash) ?? 0) + 1));
    });
    return found;
  }

  async look(ids: readonly RowId[]): Promise<ReadonlyMap<RowId, RowState>> {
    return this.#key.length === 0 ? this.#count(new Set(ids)) : this.#use((db) => this.#byKey(db, ids));
  }

  async #count(hashes: ReadonlySet<RowId>): Promise<ReadonlyMap<RowId, RowState>> {
    const counts = new Map<RowId, number>();
    await this.#scan((texts) => {
      const hash = hashOf(texts);
      if (hashes.has(hash)) counts.set(hash, (counts.get(hash) ?? 0) + 1);
    });
    return new Map([...counts].map(([hash, count]) => [hash, String(count)]));
  }

  #byKey(db: DatabaseSync, ids: readonly RowId[]): ReadonlyMap<RowId, RowState> {
    const where = this.#key.map((i) => `${quote(this.#column(i).name)} IS ?`).join(' AND ');
    const statement = prepare(db, `${this.#select} WHERE ${where}`);
    const found = new Map<RowId, RowState>();
    // One state of the table for all of them.
    db.exec('BEGIN');
    try {
      for (const id of ids) {
        const values = this.#keyValues(JSON.parse(id) as string[]);
        for (const row of values === null ? [] : (statement.all(...values) as unknown as SqliteValue[][])) {
          const texts = this.#texts(row);
          if (this.#idOf(texts) === id) found.set(id, texts.map((text) => (text === null ? '-' : shortMd5(text))).join(','));
        }
      }
    } finally {
      db.exec('COMMIT');
    }
    return found;
  }

  /** Null for a key that no value of this table can have. */
  #keyValues(key: readonly string[]): SqliteValue[] | null {
    try {
      return this.#key.map((i, at) => {
        const bytes = Buffer.from(key[at] as string);
        return toSqlite(this.#column(i).form, bytes, 0, bytes.length);
      });
    } catch (error) {
      if (error instanceof RangeError) return null;
      throw error;
    }
  }

  async #scan(row: (texts: readonly (string | null)[]) => void): Promise<void> {
    await this.#use(async (db) => {
      let count = 0;
      for (const values of prepare(db, this.#select).iterate() as unknown as Iterable<SqliteValue[]>) {
        row(this.#texts(values));
        if (++count % scanSlice === 0) await setImmediate();
      }
    });
  }

  async #use<T>(use: (db: DatabaseSync) => T | Promise<T>): Promise<T> {
    try {
      return await this.#borrow(async (db) => use(db));
    } catch (error) {
      throw sqliteError(error, this.#path);
    }
  }

  #texts(values: readonly SqliteValue[]): (string | null)[] {
    return this.#columns.map(({ form }, i) => toPostgresText(form, values[i] ?? null));
  }

  #idOf(texts: readonly (string | null)[]): RowId {
    return JSON.stringify(this.#key.map((i) => texts[i]));
  }

  #column(i: number): DigestedColumn {
    return this.#columns[i] as DigestedColumn;
  }
}

function prepare(db: DatabaseSync, sql: string): StatementSync {
  const statement = db.prepare(sql);
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  return statement;
}

function hashOf(texts: readonly (string | null)[]): string {
  return shortMd5(rowText(texts));
}

function bucketOf(hash: string, of: number): number {
  return Number.parseInt(hash.slice(8), 16) & (of - 1);
}

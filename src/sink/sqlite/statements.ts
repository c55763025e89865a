import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { TailraceError } from '../../runtime/errors.ts';
import { quote } from './quote.ts';
import { fold, type ReplicaColumn, type ReplicaTable } from './replica-table.ts';

/** Partial updates come with few different sets of columns; a table that shows more than this prepares some again. */
const cachedSets = 64;

/** The statements that write one table, prepared when they are first needed. Parameters are in the order of the columns. */
export class TableStatements {
  readonly #db: DatabaseSync;
  readonly #table: ReplicaTable;
  readonly #prepared = new Map<string, StatementSync>();
  readonly #updates = new Map<string, StatementSync>();

  constructor(db: DatabaseSync, table: ReplicaTable) {
    this.#db = db;
    this.#table = table;
  }

  /** Every column; a row of the same key takes the values. Without a key it only adds. */
  get upsert(): StatementSync {
    return this.#once('upsert', () => {
      const { columns, key } = this.#table;
      const insert = `INSERT INTO ${this.#name} (${columns.map(named).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`;
      if (key.length === 0) return insert;
      const set = columns.filter((_, i) => !key.includes(i)).map((column) => `${named(column)} = excluded.${named(column)}`);
      const target = key.map((i) => named(columns[i] as ReplicaColumn)).join(', ');
      return `${insert} ON CONFLICT (${target}) DO ${set.length === 0 ? 'NOTHING' : `UPDATE SET ${set.join(', ')}`}`;
    });
  }

  /** By key. */
  get remove(): StatementSync {
    return this.#once('remove', () => `DELETE FROM ${this.#name} WHERE ${this.#byKey}`);
  }

  /** One row that has exactly these values in every column. */
  get removeOne(): StatementSync {
    return this.#once('removeOne', () => `DELETE FROM ${this.#name} WHERE ${this.#oneRow}`);
  }

  /** New values of every column, then the old ones. */
  get updateOne(): StatementSync {
    return this.#once('updateOne', () => `UPDATE ${this.#name} SET ${this.#table.columns.map((column) => `${named(column)} = ?`).join(', ')} WHERE ${this.#oneRow}`);
  }

  get truncate(): StatementSync {
    return this.#once('truncate', () => `DELETE FROM ${this.#name}`);
  }

  /** Sets these columns, given by place, then the key. */
  update(places: readonly number[]): StatementSync {
    const id = places.join();
    let statement = this.#updates.get(id);
    if (statement === undefined) {
      if (this.#updates.size >= cachedSets) this.#updates.clear();
      const { columns } = this.#table;
      const set = places.map((place) => `${named(columns[place] as ReplicaColumn)} = ?`).join(', ');
      statement = this.#db.prepare(`UPDATE ${this.#name} SET ${set} WHERE ${this.#byKey}`);
      this.#updates.set(id, statement);
    }
    return statement;
  }

  #once(id: string, sql: () => string): StatementSync {
    let statement = this.#prepared.get(id);
    if (statement === undefined) this.#prepared.set(id, (statement = this.#db.prepare(sql())));
    return statement;
  }

  get #name(): string {
    return quote(this.#table.name);
  }

  get #byKey(): string {
    return this.#table.key.map((i) => `${named(this.#table.columns[i] as ReplicaColumn)} = ?`).join(' AND ');
  }

  get #oneRow(): string {
    const taken = new Set(this.#table.columns.map((column) => fold(column.name)));
    const rowid = ['_rowid_', 'rowid', 'oid'].find((name) => !taken.has(name));
    if (rowid === undefined)
      throw new TailraceError('sink-conflict', `${this.#table.name} has columns of every name that SQLite has for its rowid`, { remedy: 'Leave one of the columns rowid, oid and _rowid_ out, or give the table a key.' });
    const same = balanced(this.#table.columns.map((column) => `${named(column)} IS ?`));
    return `${rowid} = (SELECT ${rowid} FROM ${this.#name} WHERE ${same} LIMIT 1)`;
  }
}

function named(column: ReplicaColumn): string {
  return quote(column.name);
}

/** `a AND b AND …` as a balanced tree: a chain of 1,600 is deeper than SQLite's parser allows (1,000). */
function balanced(terms: readonly string[]): string {
  if (terms.length <= 2) return terms.join(' AND ');
  const middle = terms.length >> 1;
  return `(${balanced(terms.slice(0, middle))}) AND (${balanced(terms.slice(middle))})`;
}

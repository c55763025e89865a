import type { DatabaseSync } from 'node:sqlite';
import { type TableSchema, tableName } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { Bookkeeping, TableRecord } from './bookkeeping.ts';
import { isEmpty, misfits, readExisting, type ExistingTable } from './existing-table.ts';
import { quote } from './quote.ts';
import { createTableSql, fold, type Placement, placeTable, type ReplicaColumn, type ReplicaTable } from './replica-table.ts';
import { storageOf, toSqlite } from './representation.ts';
import { recordOf, shapeChange } from './shape-change.ts';
import { resultCode } from './sqlite-error.ts';

/** Makes replica tables, takes over those that fit, and lets them follow their source. Runs inside the open transaction. */
export class ReplicaTables {
  readonly #db: DatabaseSync;
  readonly #books: Bookkeeping;
  readonly #placement: Placement;
  readonly #logger: Logger;

  constructor(db: DatabaseSync, books: Bookkeeping, { placement, logger }: { placement: Placement; logger: Logger }) {
    this.#db = db;
    this.#books = books;
    this.#placement = placement;
    this.#logger = logger;
  }

  /** The replica's table for this shape, ready to be written. Throws `sink-conflict`, `sink-shape`, `sink-lost`, `config-invalid`. */
  prepare(table: TableSchema): ReplicaTable {
    const record = this.#books.table(table);
    return record === undefined ? this.#first(table) : this.#follow(table, record);
  }

  #first(table: TableSchema): ReplicaTable {
    const replica = placeTable(table, this.#placement);
    const existing = readExisting(this.#db, replica.name);
    const conflict = conflictOf(this.#db, table, { replica, existing, owner: this.#books.owner(replica.name) });
    if (conflict !== undefined) throw new TailraceError('sink-conflict', conflict.message, { remedy: conflict.remedy });
    if (existing === undefined) this.#db.exec(createTableSql(replica));
    this.#books.saveTable(table, recordOf(table, replica));
    this.#logger.info({ table: tableName(table), replica: replica.name }, existing === undefined ? 'made a table at the replica' : 'took over an empty table at the replica');
    return replica;
  }

  #follow(table: TableSchema, record: TableRecord): ReplicaTable {
    const target = placeTable(table, this.#placement).name;
    // An operator who has renamed the table at the replica, as asked, finds it taken on under its new name.
    const existing = readExisting(this.#db, record.name) ?? readExisting(this.#db, target);
    if (existing === undefined) throw new TailraceError('sink-lost', `the table ${record.name}, which holds ${tableName(table)}, is gone from the replica`);
    const change = shapeChange(record, existing, table, this.#placement);
    if (change.problem !== undefined) throw new TailraceError('sink-shape', change.problem.message, { remedy: change.problem.remedy });
    const at = quote(existing.name);
    for (const name of change.drop) this.#dropColumn(existing, name);
    for (const name of change.add) {
      const column = change.table.columns.find((each) => each.name === name) as ReplicaColumn;
      this.#db.exec(`ALTER TABLE ${at} ADD COLUMN ${quote(name)} ${storageOf(column.form)}`);
      const { missing } = column.source;
      // The rows that are there have it at the source, which sent none of them.
      if (missing !== undefined) this.#db.prepare(`UPDATE ${at} SET ${quote(name)} = ?`).run(toSqlite(column.form, Buffer.from(missing), 0, Buffer.byteLength(missing)));
    }
    const next = recordOf(table, change.table);
    if (JSON.stringify(next) !== JSON.stringify(record)) this.#books.saveTable(table, next);
    if (change.drop.length > 0 || change.add.length > 0)
      this.#logger.info({ table: tableName(table), added: change.add, dropped: change.drop }, 'a table at the replica followed its source');
    return change.table;
  }

  #dropColumn(existing: ExistingTable, name: string): void {
    try {
      this.#db.exec(`ALTER TABLE ${quote(existing.name)} DROP COLUMN ${quote(name)}`);
    } catch (error) {
      // SQLITE_ERROR is all that it says when an index, a view or a trigger of the user's names the column.
      if (resultCode(error) !== 1) throw error;
      const remedy = `Drop the index, view, trigger or constraint at the replica that uses ${existing.name}.${name}; the sink then drops the column.`;
      throw new TailraceError('sink-shape', `column ${name} of ${existing.name} was dropped at the source and is in use at the replica`, { remedy, cause: error });
    }
  }
}

interface Found {
  readonly replica: ReplicaTable;
  readonly existing: ExistingTable | undefined;
  readonly owner: { readonly sink: string; readonly source: string } | undefined;
}

/** Why a table that this sink does not fill yet cannot go where it should; undefined when it can. */
export function conflictOf(db: DatabaseSync, table: TableSchema, { replica, existing, owner }: Found): { message: string; remedy: string } | undefined {
  const source = tableName(table);
  const elsewhere = `Give ${source} another name at the replica (rename), or another file.`;
  if (/^(sqlite_|_tailrace_)/.test(fold(replica.name))) return { message: `${source} cannot be called ${replica.name} in SQLite, which keeps such names for itself`, remedy: elsewhere };
  if (owner !== undefined) return { message: `${source} should go to the table ${replica.name}, which holds ${owner.source} for sink ${owner.sink}`, remedy: elsewhere };
  if (existing === undefined) return undefined;
  const problems = misfits(existing, replica);
  if (problems.length > 0) return { message: `the table ${existing.name} in the way of ${source} does not fit: ${problems.join('; ')}`, remedy: `Drop or rename it. ${elsewhere}` };
  if (isEmpty(db, existing.name)) return undefined;
  return { message: `the table ${existing.name} in the way of ${source} has rows that are not this sink's`, remedy: `Empty, drop or rename it. ${elsewhere}` };
}

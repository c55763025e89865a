import type { DatabaseSync } from 'node:sqlite';
import { type TableSchema, tableName } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logger.ts';
import { failpoint } from '../../runtime/failpoint.ts';
import type { DdlPolicy, TableChanges } from '../sink.ts';
import type { Bookkeeping, TableRecord } from './bookkeeping.ts';
import { isEmpty, misfits, readExisting, type ExistingTable } from './existing-table.ts';
import { quote } from './quote.ts';
import { rebuild } from './rebuild.ts';
import { createTableSql, fold, type Placement, placeTable, type ReplicaColumn, replicaName, type ReplicaTable } from './replica-table.ts';
import { storageOf, toSqlite } from './representation.ts';
import { recordOf, refill, shapeChange, type Rename, type ShapeChange, type ShapeProblem } from './shape-change.ts';
import { resultCode } from './sqlite-error.ts';

/** Makes replica tables, takes over those that fit, and lets them follow their source. Runs inside the open transaction. */
export class ReplicaTables {
  readonly #db: DatabaseSync;
  readonly #books: Bookkeeping;
  readonly #placement: Placement;
  readonly #ddl: DdlPolicy;
  readonly #logger: Logger;

  constructor(db: DatabaseSync, books: Bookkeeping, { placement, ddl, logger }: { readonly placement: Placement; readonly ddl: DdlPolicy; readonly logger: Logger }) {
    this.#db = db;
    this.#books = books;
    this.#placement = placement;
    this.#ddl = ddl;
    this.#logger = logger;
  }

  /**
   * The replica's table for this shape, ready to be written. `coverage` says whether a copy follows where values cannot be told.
   * Throws `sink-conflict`, `sink-shape`, `sink-lost`, `config-invalid`.
   */
  prepare(table: TableSchema, coverage: TableChanges['coverage']): ReplicaTable {
    const record = this.#books.table(table) ?? this.#moved(table);
    return record === undefined ? this.#first(table) : this.#follow(table, record, coverage);
  }

  /** The replica's table goes with a source table that has another name now, unless its new place is taken. */
  #moved(table: TableSchema): TableRecord | undefined {
    const moved = this.#books.moved(table);
    const name = replicaName(table, this.#placement);
    if (moved === undefined) return undefined;
    const isSame = fold(name) === fold(moved.record.name);
    const old = readExisting(this.#db, moved.record.name);
    const taken = isSame ? undefined : readExisting(this.#db, name);
    if ((old === undefined) === (taken === undefined)) return undefined;
    if (old !== undefined && !isSame) {
      const sql = `ALTER TABLE ${quote(moved.record.name)} RENAME TO ${quote(name)}`;
      const what = `${tableName(moved.source)} is called ${tableName(table)} now`;
      if (this.#ddl === 'pause') throw paused(what, [sql]);
      this.#alter(sql, what);
    }
    const record = { ...moved.record, name };
    this.#books.moveTable(moved.source, table, record);
    this.#logger.info({ table: tableName(table), before: tableName(moved.source) }, 'a table at the replica was renamed with its source');
    return record;
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

  #follow(table: TableSchema, record: TableRecord, coverage: TableChanges['coverage']): ReplicaTable {
    const target = replicaName(table, this.#placement);
    // An operator who has renamed the table at the replica, as asked, finds it taken on under its new name.
    const existing = readExisting(this.#db, record.name) ?? readExisting(this.#db, target);
    if (existing === undefined) throw new TailraceError('sink-lost', `the table ${record.name}, which holds ${tableName(table)}, is gone from the replica`);
    const change = shapeChange(record, existing, table, { ...this.#placement, ddl: this.#ddl });
    const problem = change.problem ?? (coverage === 'partial' && change.retyped.length > 0 ? notCopied(table, change.retyped) : undefined);
    if (problem !== undefined) throw new TailraceError('sink-shape', problem.message, { remedy: problem.remedy });
    if (this.#ddl === 'ignore') return change.table;
    const steps = this.#ddl === 'pause' ? statements(this.#db, existing, change) : [];
    if (steps.length > 0) throw paused(`${tableName(table)} changed its shape`, steps);
    this.#bring(existing.name, change, coverage === 'copying');
    const next = recordOf(table, change.table);
    if (JSON.stringify(next) !== JSON.stringify(record)) this.#books.saveTable(table, next);
    const { drop, rename, add, rebuild: again, otherTable } = change;
    if (drop.length + rename.length + add.length > 0 || again !== undefined || otherTable)
      this.#logger.info({ table: tableName(table), added: [...add, ...(again?.add ?? [])], dropped: [...drop, ...(again?.drop ?? [])], renamed: rename, rebuilt: again !== undefined, otherTable }, 'a table at the replica followed its source');
    return change.table;
  }

  #bring(name: string, change: ShapeChange, copied: boolean): void {
    const at = quote(name);
    if (change.otherTable) this.#db.exec(`DELETE FROM ${at}`);
    for (const column of change.drop) this.#alter(`ALTER TABLE ${at} DROP COLUMN ${quote(column)}`, `column ${column} of ${name} was dropped at the source`);
    // What goes with the old table may have a name that another column gets.
    const leaving = (change.rebuild?.drop ?? []).map((from, i) => ({ from, to: change.rename.some(({ to }) => fold(to) === fold(from)) ? `_tailrace_gone_${i}` : from }));
    for (const { from, to } of [...leaving.filter((one) => one.from !== one.to), ...inTurn(change.rename)]) this.#alter(`ALTER TABLE ${at} RENAME COLUMN ${quote(from)} TO ${quote(to)}`, `a column of ${name} was renamed at the source`);
    for (const column of change.add) this.#addColumn(at, change.table.columns.find((each) => each.name === column) as ReplicaColumn);
    if (change.rebuild !== undefined) rebuild(this.#db, readExisting(this.#db, name) as ExistingTable, { table: change.table, plan: { ...change.rebuild, drop: leaving.map(({ to }) => to) }, copied });
  }

  #addColumn(at: string, { name, form, source: { missing } }: ReplicaColumn): void {
    this.#db.exec(`ALTER TABLE ${at} ADD COLUMN ${quote(name)} ${storageOf(form)}`);
    // The rows that are there have it at the source, which sent none of them.
    if (missing !== undefined) this.#db.prepare(`UPDATE ${at} SET ${quote(name)} = ?`).run(toSqlite(form, Buffer.from(missing), 0, Buffer.byteLength(missing)));
  }

  #alter(sql: string, why: string): void {
    try {
      this.#db.exec(sql);
      failpoint('ddl.mid.sqlite');
    } catch (error) {
      // SQLITE_ERROR is all that it says when an index, a view or a trigger of the user's is in the way.
      if (resultCode(error) !== 1) throw error;
      const remedy = `Drop the index, view, trigger or constraint at the replica that is in the way of: ${sql}. The sink then goes on by itself.`;
      throw new TailraceError('sink-shape', `${why}, and something at the replica is in the way`, { remedy, cause: error });
    }
  }
}

/** Names can go round in a circle: a new one that is still in use waits under another. */
function inTurn(renames: readonly Rename[]): readonly Rename[] {
  const waiting = renames.map(({ to }, i) => (renames.some((other) => fold(other.from) === fold(to)) ? `_tailrace_${i}` : to));
  return [...renames.map(({ from }, i) => ({ from, to: waiting[i] as string })), ...renames.map(({ to }, i) => ({ from: waiting[i] as string, to }))].filter(({ from, to }) => from !== to);
}

/** What an operator would run to bring the table to its new shape; for one that has to be made again, the new table. */
function statements(db: DatabaseSync, existing: ExistingTable, change: ShapeChange): readonly string[] {
  const at = quote(existing.name);
  const form = (name: string): string => storageOf((change.table.columns.find((column) => column.name === name) as ReplicaColumn).form);
  return [
    ...(change.otherTable && !isEmpty(db, existing.name) ? [`DELETE FROM ${at}`] : []),
    ...change.drop.map((name) => `ALTER TABLE ${at} DROP COLUMN ${quote(name)}`),
    ...inTurn(change.rename).map(({ from, to }) => `ALTER TABLE ${at} RENAME COLUMN ${quote(from)} TO ${quote(to)}`),
    ...change.add.map((name) => `ALTER TABLE ${at} ADD COLUMN ${quote(name)} ${form(name)}`),
    ...(change.rebuild === undefined ? [] : [`and make the table again as ${createTableSql(change.table).replaceAll(/\s+/g, ' ')}`]),
  ];
}

function paused(what: string, steps: readonly string[]): TailraceError {
  return new TailraceError('sink-shape', `${what}; with ddl: pause that is for somebody to follow`, { remedy: `Run at the replica: ${steps.join('; ')}. The sink goes on by itself once it fits.` });
}

/** With `snapshot: never` nothing brings the values that ALTER TABLE has written anew. */
function notCopied(table: TableSchema, columns: readonly string[]): ShapeProblem {
  return { message: `${columns.join(', ')} of ${tableName(table)} changed its type, and no copy brings the values`, remedy: refill };
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

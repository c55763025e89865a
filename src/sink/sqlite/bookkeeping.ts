import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { formatLsn, lsn } from '../../event/lsn.ts';
import type { Position } from '../../event/position.ts';
import type { Column } from '../../event/table.ts';
import type { BlockedKey } from '../sink.ts';

/** What is recorded of a table that this sink fills: which columns stand there, under which names. */
export interface TableRecord {
  /** Name in the file. */
  readonly name: string;
  readonly relid: number;
  readonly columns: readonly RecordedColumn[];
  /** Names of the source's key columns, in order. */
  readonly key: readonly string[];
}

interface SourceName {
  readonly schema: string;
  readonly name: string;
}

export interface RecordedColumn extends Pick<Column, 'name' | 'attnum' | 'typeOid' | 'typmod' | 'type' | 'baseTypeOid'> {
  /** Its name at the replica; null when it is left out. */
  readonly replica: string | null;
}

const ddl = `
CREATE TABLE IF NOT EXISTS _tailrace_position (
  sink TEXT PRIMARY KEY, log_id TEXT NOT NULL, system_identifier TEXT NOT NULL, start_id TEXT NOT NULL, epoch INTEGER NOT NULL,
  commit_lsn TEXT NOT NULL, within_table TEXT, within_ordinal INTEGER, log_offset INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _tailrace_blocked (sink TEXT NOT NULL, source TEXT NOT NULL, key TEXT, reason TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS _tailrace_tables (
  name TEXT PRIMARY KEY COLLATE NOCASE, sink TEXT NOT NULL, source_schema TEXT NOT NULL, source_name TEXT NOT NULL, relid INTEGER NOT NULL,
  columns TEXT NOT NULL, key TEXT NOT NULL, UNIQUE (sink, source_schema, source_name)
) STRICT, WITHOUT ROWID`;

const identity = `log_id IS ? AND system_identifier IS ? AND start_id IS ? AND epoch IS ? AND commit_lsn IS ? AND within_table IS ? AND within_ordinal IS ?`;

/** Where a sink stands, in a file that has the bookkeeping's tables. */
export function readPosition(db: DatabaseSync, sink: string): Position | null {
  const row = db.prepare('SELECT * FROM _tailrace_position WHERE sink = ?').get(sink) as Record<string, string | number | null> | undefined;
  if (row === undefined) return null;
  const table = row['within_table'];
  const within = table === null ? {} : { within: { table: String(table), ordinal: Number(row['within_ordinal']) } };
  return {
    logId: String(row['log_id']), systemIdentifier: String(row['system_identifier']), startId: String(row['start_id']),
    epoch: Number(row['epoch']), commitLsn: lsn(String(row['commit_lsn'])), ...within, offset: Number(row['log_offset']),
  };
}

/**
 * Tailrace's own tables in the file: where the sink stands, what it has blocked, and what it knows of the tables that it
 * fills. `sink` is `pipeline.sink`, so that several may share a file.
 */
export class Bookkeeping {
  readonly #db: DatabaseSync;
  readonly #sink: string;
  readonly #insert: StatementSync;
  readonly #move: StatementSync;

  constructor(db: DatabaseSync, sink: string) {
    db.exec(ddl);
    this.#db = db;
    this.#sink = sink;
    this.#insert = db.prepare('INSERT INTO _tailrace_position VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING');
    this.#move = db.prepare(
      `UPDATE _tailrace_position SET log_id = ?, system_identifier = ?, start_id = ?, epoch = ?, commit_lsn = ?, within_table = ?,
       within_ordinal = ?, log_offset = ? WHERE sink = ? AND ${identity}`,
    );
  }

  /** Moves the position; false when the one found is not `from` (the hint does not count). PROTOCOL, Applying. */
  move(from: Position | null, to: Position): boolean {
    const moved =
      from === null
        ? this.#insert.run(this.#sink, ...identityOf(to), to.offset)
        : this.#move.run(...identityOf(to), to.offset, this.#sink, ...identityOf(from));
    return Number(moved.changes) === 1;
  }

  position(): Position | null {
    return readPosition(this.#db, this.#sink);
  }

  blocked(): BlockedKey[] {
    const rows = this.#db.prepare('SELECT source, key, reason FROM _tailrace_blocked WHERE sink = ?').all(this.#sink) as Record<string, string | null>[];
    return rows.map((row) => ({ table: row['source'] as string, key: row['key'] ?? null, reason: row['reason'] as string }));
  }

  block({ table, key, reason }: BlockedKey): void {
    this.#db.prepare('DELETE FROM _tailrace_blocked WHERE sink = ? AND source = ? AND key IS ?').run(this.#sink, table, key);
    this.#db.prepare('INSERT INTO _tailrace_blocked VALUES (?, ?, ?, ?)').run(this.#sink, table, key, reason);
  }

  unblock(table: string): void {
    this.#db.prepare('DELETE FROM _tailrace_blocked WHERE sink = ? AND source = ?').run(this.#sink, table);
  }

  table(source: SourceName): TableRecord | undefined {
    return readTable(this.#db, this.#sink, source);
  }

  saveTable(source: SourceName, record: TableRecord): void {
    this.#db
      .prepare(
        `INSERT INTO _tailrace_tables VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (sink, source_schema, source_name) DO UPDATE SET name = excluded.name, relid = excluded.relid, columns = excluded.columns, key = excluded.key`,
      )
      .run(record.name, this.#sink, source.schema, source.name, record.relid, JSON.stringify(record.columns), JSON.stringify(record.key));
  }

  /** The table that this sink has filled from the source table of this relid, under whatever name. */
  moved({ relid }: { readonly relid: number }): { readonly source: SourceName; readonly record: TableRecord } | undefined {
    const row = this.#db.prepare('SELECT source_schema, source_name FROM _tailrace_tables WHERE sink = ? AND relid = ?').get(this.#sink, relid) as Record<string, string> | undefined;
    if (row === undefined) return undefined;
    const source = { schema: String(row['source_schema']), name: String(row['source_name']) };
    return { source, record: this.table(source) as TableRecord };
  }

  moveTable(from: SourceName, to: SourceName, record: TableRecord): void {
    this.#db.prepare('DELETE FROM _tailrace_tables WHERE sink = ? AND source_schema = ? AND source_name = ?').run(this.#sink, from.schema, from.name);
    this.saveTable(to, record);
  }

  /** Who fills the table of this name in the file, if any sink does. */
  owner(name: string): { sink: string; source: string } | undefined {
    return readOwner(this.#db, name);
  }

  forget(): void {
    for (const table of ['position', 'blocked', 'tables']) this.#db.prepare(`DELETE FROM _tailrace_${table} WHERE sink = ?`).run(this.#sink);
  }
}

/** For readers that change nothing: the file may have none of these tables yet. */
export function hasBookkeeping(db: DatabaseSync): boolean {
  return db.prepare("SELECT 1 FROM sqlite_schema WHERE name = '_tailrace_tables'").get() !== undefined;
}

export function readTable(db: DatabaseSync, sink: string, source: SourceName): TableRecord | undefined {
  const row = db
    .prepare('SELECT name, relid, columns, key FROM _tailrace_tables WHERE sink = ? AND source_schema = ? AND source_name = ?')
    .get(sink, source.schema, source.name) as Record<string, string | number> | undefined;
  if (row === undefined) return undefined;
  const columns = JSON.parse(String(row['columns'])) as RecordedColumn[];
  return { name: String(row['name']), relid: Number(row['relid']), columns, key: JSON.parse(String(row['key'])) as string[] };
}

export function readOwner(db: DatabaseSync, name: string): { sink: string; source: string } | undefined {
  const row = db.prepare('SELECT sink, source_schema, source_name FROM _tailrace_tables WHERE name = ?').get(name) as Record<string, string> | undefined;
  return row && { sink: String(row['sink']), source: `${row['source_schema']}.${row['source_name']}` };
}

function identityOf(position: Position): (string | number | null)[] {
  return [
    position.logId, position.systemIdentifier, position.startId, position.epoch, formatLsn(position.commitLsn),
    position.within?.table ?? null, position.within?.ordinal ?? null,
  ];
}

import type { DatabaseSync } from 'node:sqlite';
import type { TableSchema } from '../../event/table.ts';
import type { BlockedKey } from '../sink.ts';
import type { ReplicaView, SinkVerifier } from '../verifier.ts';
import { hasBookkeeping, readTable, type RecordedColumn, type TableRecord } from './bookkeeping.ts';
import { openForReading } from './database-file.ts';
import { readExisting } from './existing-table.ts';
import { fold, type Placement } from './replica-table.ts';
import { formOf } from './representation.ts';
import { sqliteError } from './sqlite-error.ts';
import { type DigestedColumn, SqliteTableDigests } from './table-digests.ts';

interface Options {
  readonly path: string;
  readonly busyTimeout: number;
  readonly placement: Placement;
  /** `pipeline.sink`. */
  readonly sink: string;
}

/** Opens the file without changing it; a file that is not there is a replica without tables. */
export function openSqliteVerifier(options: Options): SinkVerifier {
  return new SqliteVerifier(openForReading(options.path, options.busyTimeout), options);
}

class SqliteVerifier implements SinkVerifier {
  readonly #db: DatabaseSync | undefined;
  readonly #options: Options;

  constructor(db: DatabaseSync | undefined, options: Options) {
    this.#db = db;
    this.#options = options;
  }

  // oxlint-disable require-await -- SQLite answers at once; an error has to become a rejection all the same
  async blocked(): Promise<readonly BlockedKey[]> {
    const db = this.#db;
    if (db === undefined || !hasBookkeeping(db)) return [];
    return this.#run(() => {
      const rows = db.prepare('SELECT source, key, reason FROM _tailrace_blocked WHERE sink = ?').all(this.#options.sink) as Record<string, string | null>[];
      return rows.map((row) => ({ table: row['source'] as string, key: row['key'] ?? null, reason: row['reason'] as string }));
    });
  }

  async table(table: TableSchema): Promise<ReplicaView | null> {
    const db = this.#db;
    if (db === undefined || !hasBookkeeping(db)) return null;
    return this.#run(() => {
      const record = readTable(db, this.#options.sink, table);
      return record === undefined ? null : viewOf(db, table, record, this.#options);
    });
  }

  async close(): Promise<void> {
    if (this.#db?.isOpen === true) this.#db.close();
  }
  // oxlint-enable require-await

  #run<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw sqliteError(error, this.#options.path);
    }
  }
}

function viewOf(db: DatabaseSync, table: TableSchema, record: TableRecord, { path, placement }: Options): ReplicaView | null {
  const existing = readExisting(db, record.name);
  if (existing === undefined) return null;
  const names = new Set(existing.columns.map((column) => fold(column.name)));
  const leftOut = new Set(placement.leaveOut[`${table.schema}.${table.name}`] ?? []);
  const columns: number[] = [];
  const missing: number[] = [];
  const digested: DigestedColumn[] = [];
  for (const [i, column] of table.columns.entries()) {
    if (leftOut.has(column.name)) continue;
    const name = recorded(record, table, i)?.replica;
    if (name == null || !names.has(fold(name))) {
      missing.push(i);
      continue;
    }
    columns.push(i);
    digested.push({ name, form: formOf(column) });
  }
  const key = table.key.map((i) => columns.indexOf(i));
  // Without its whole key the rows cannot be told apart: the columns that are missing say it all.
  const digests = new SqliteTableDigests(db, { path, name: existing.name, columns: digested, key: key.includes(-1) ? [] : key });
  return { name: existing.name, columns, missing, digests };
}

/** The column as the sink noted it: by its attnum within one table, by its name in one that was made anew. */
function recorded(record: TableRecord, table: TableSchema, i: number): RecordedColumn | undefined {
  const column = table.columns[i];
  const byNumber = record.relid === table.relid && column?.attnum != null;
  return record.columns.find((each) => (byNumber && each.attnum !== null ? each.attnum === column.attnum : each.name === column?.name));
}

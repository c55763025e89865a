import type { DatabaseSync } from 'node:sqlite';
import type { TableSchema } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { BlockedKey } from '../sink.ts';
import type { ReplicaView, SinkVerifier } from '../verifier.ts';
import { hasBookkeeping, readTable, type RecordedColumn, type TableRecord } from './bookkeeping.ts';
import { openForReading } from './database-file.ts';
import { readExisting } from './existing-table.ts';
import { fold, type Placement } from './replica-table.ts';
import { formOf } from './representation.ts';
import { sqliteError } from './sqlite-error.ts';
import { type Borrow, type DigestedColumn, SqliteTableDigests } from './table-digests.ts';

interface Options {
  readonly path: string;
  readonly busyTimeout: number;
  readonly placement: Placement;
  /** `pipeline.sink`. */
  readonly sink: string;
}

/** Opens the file, for each look anew and without changing it; one that is not there is a replica without tables. */
export function openSqliteVerifier(options: Options): SinkVerifier {
  openForReading(options.path, options.busyTimeout)?.close();
  return new SqliteVerifier(options);
}

class SqliteVerifier implements SinkVerifier {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  // oxlint-disable require-await -- SQLite answers at once; an error has to become a rejection all the same
  async blocked(): Promise<readonly BlockedKey[]> {
    return this.#look([], (db) => {
      const rows = db.prepare('SELECT source, key, reason FROM _tailrace_blocked WHERE sink = ?').all(this.#options.sink) as Record<string, string | null>[];
      return rows.map((row) => ({ table: row['source'] as string, key: row['key'] ?? null, reason: row['reason'] as string }));
    });
  }

  async table(table: TableSchema): Promise<ReplicaView | null> {
    return this.#look(null, (db) => {
      const record = readTable(db, this.#options.sink, table);
      return record === undefined ? null : viewOf(db, table, record, this.#options);
    });
  }

  async close(): Promise<void> {}
  // oxlint-enable require-await

  /** `nothing` where the file, or Tailrace's own tables in it, are not there. */
  #look<T>(nothing: T, look: (db: DatabaseSync) => T): T {
    const { path, busyTimeout } = this.#options;
    const db = openForReading(path, busyTimeout);
    if (db === undefined) return nothing;
    try {
      return hasBookkeeping(db) ? look(db) : nothing;
    } catch (error) {
      throw sqliteError(error, path);
    } finally {
      db.close();
    }
  }
}

function viewOf(db: DatabaseSync, table: TableSchema, record: TableRecord, options: Options): ReplicaView | null {
  const { path, placement } = options;
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
  const digests = new SqliteTableDigests(borrowing(options), { path, name: existing.name, columns: digested, key: key.includes(-1) ? [] : key });
  return { name: existing.name, columns, missing, digests };
}

function borrowing({ path, busyTimeout }: Options): Borrow {
  return async (use) => {
    const db = openForReading(path, busyTimeout);
    if (db === undefined) throw new TailraceError('sink-lost', `${path}: the file is gone`);
    try {
      return await use(db);
    } finally {
      db.close();
    }
  };
}

/** The column as the sink noted it: by its attnum within one table, by its name in one that was made anew. */
function recorded(record: TableRecord, table: TableSchema, i: number): RecordedColumn | undefined {
  const column = table.columns[i];
  const byNumber = record.relid === table.relid && column?.attnum != null;
  return record.columns.find((each) => (byNumber && each.attnum !== null ? each.attnum === column.attnum : each.name === column?.name));
}

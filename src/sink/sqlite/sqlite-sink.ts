import type { DatabaseSync } from 'node:sqlite';
import { type TableSchema, tableName } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Finding } from '../../runtime/finding.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { DdlPolicy, Sink, SinkSession } from '../sink.ts';
import type { QueryResult, SinkQuery } from '../query.ts';
import type { SinkVerifier } from '../verifier.ts';
import { Bookkeeping, hasBookkeeping, readOwner, readTable } from './bookkeeping.ts';
import { DatabaseFile, exists, openForReading } from './database-file.ts';
import { readExisting } from './existing-table.ts';
import { querySqlite } from './query.ts';
import { fold, type Placement, placeTable, replicaName } from './replica-table.ts';
import { conflictOf } from './replica-tables.ts';
import { shapeChange } from './shape-change.ts';
import { SqliteSession } from './sqlite-session.ts';
import { openSqliteVerifier } from './verifier.ts';

export interface SqliteSinkOptions {
  readonly path: string;
  /** Milliseconds that a writer waits for another's lock. */
  readonly busyTimeout: number;
  readonly placement: Placement;
  /** `pipeline.sink`. */
  readonly sink: string;
  readonly logger: Logger;
  readonly ddl: DdlPolicy;
}

export class SqliteSink implements Sink {
  readonly #options: SqliteSinkOptions;
  /** Whether this process has committed to the file: if it is missing now, rows are missing with it. */
  #committed = false;

  constructor(options: SqliteSinkOptions) {
    this.#options = options;
  }

  // oxlint-disable require-await -- SQLite answers at once; an error has to become a rejection all the same
  async check(tables: readonly TableSchema[]): Promise<readonly Finding[]> {
    const { path, busyTimeout, placement } = this.#options;
    let db: DatabaseSync | undefined;
    try {
      db = openForReading(path, busyTimeout);
    } catch (error) {
      if (!(error instanceof TailraceError)) throw error;
      return [finding('sqlite-file', error)];
    }
    try {
      return [...collisions(tables, placement), ...tables.flatMap((table) => this.#checkTable(db, table))];
    } finally {
      db?.close();
    }
  }

  async open({ signal }: { readonly signal: AbortSignal }): Promise<SinkSession> {
    signal.throwIfAborted();
    const { path, busyTimeout, logger, sink, placement, ddl } = this.#options;
    if (this.#committed && !exists(path)) throw new TailraceError('sink-lost', `${path}: the file is gone`);
    const file = new DatabaseFile(path, { busyTimeout, logger });
    try {
      return new SqliteSession(file, { sink, placement, logger, ddl, onCommit: () => (this.#committed = true) });
    } catch (error) {
      file.close();
      throw error;
    }
  }

  async forget(): Promise<void> {
    const { path, busyTimeout, logger, sink } = this.#options;
    if (!exists(path)) return;
    const file = new DatabaseFile(path, { busyTimeout, logger });
    try {
      file.db.exec('BEGIN IMMEDIATE');
      new Bookkeeping(file.db, sink).forget();
      file.db.exec('COMMIT');
      this.#committed = false;
    } finally {
      file.close();
    }
  }

  async openVerifier(): Promise<SinkVerifier> {
    return openSqliteVerifier(this.#options);
  }

  async query(request: SinkQuery): Promise<QueryResult> {
    return querySqlite(this.#options, request);
  }
  // oxlint-enable require-await

  #checkTable(db: DatabaseSync | undefined, table: TableSchema): Finding[] {
    const { placement, sink } = this.#options;
    try {
      const replica = placeTable(table, placement);
      if (db === undefined) return [];
      const books = hasBookkeeping(db);
      const record = books ? readTable(db, sink, table) : undefined;
      const existing = readExisting(db, record?.name ?? replica.name) ?? readExisting(db, replica.name);
      if (record === undefined) {
        const conflict = conflictOf(db, table, { replica, existing, owner: books ? readOwner(db, replica.name) : undefined });
        return conflict === undefined ? [] : [{ severity: 'error', check: 'sqlite-table', ...conflict }];
      }
      if (existing === undefined) throw new TailraceError('sink-lost', `the table ${record.name}, which holds ${tableName(table)}, is gone from the replica`);
      const { problem } = shapeChange(record, existing, table, placement);
      return problem === undefined ? [] : [{ severity: 'error', check: 'sqlite-table', ...problem }];
    } catch (error) {
      if (!(error instanceof TailraceError)) throw error;
      return [finding('sqlite-table', error)];
    }
  }
}

function finding(check: string, error: TailraceError): Finding {
  return { severity: 'error', check, message: error.message, remedy: error.remedy };
}

/** Tables that would land in one table of the file, which SQLite finds by its name in any case. */
function collisions(tables: readonly TableSchema[], placement: Placement): Finding[] {
  const taken = new Map<string, TableSchema>();
  return tables.flatMap((table): Finding[] => {
    const name = replicaName(table, placement);
    const other = taken.get(fold(name));
    taken.set(fold(name), table);
    if (other === undefined) return [];
    return [{ severity: 'error', check: 'sqlite-table', message: `${tableName(other)} and ${tableName(table)} both go to the table ${name}`, remedy: 'Give one of them another name at the replica (rename).' }];
  });
}

import { type Position, samePosition } from '../../event/position.ts';
import type { TableSchema } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { BlockedKey, DdlPolicy, SinkSession, TableChanges } from '../sink.ts';
import { Bookkeeping } from './bookkeeping.ts';
import type { DatabaseFile } from './database-file.ts';
import type { Placement } from './replica-table.ts';
import { ReplicaTables } from './replica-tables.ts';
import { isRefusal, sqliteError } from './sqlite-error.ts';
import { TableWriter } from './table-writer.ts';

export interface SqliteSessionOptions {
  /** `pipeline.sink`: whose position and tables these are. */
  readonly sink: string;
  readonly placement: Placement;
  readonly ddl: DdlPolicy;
  readonly logger: Logger;
  /** Told of each commit: from then on a missing file is a loss and no beginning. */
  readonly onCommit: () => void;
}

/** One writer of one file. Everything happens at once and in this thread: the promises are the interface's, not ours. */
export class SqliteSession implements SinkSession {
  readonly #file: DatabaseFile;
  readonly #books: Bookkeeping;
  readonly #tables: ReplicaTables;
  readonly #options: SqliteSessionOptions;
  /** By shape: the same object means the same shape. Emptied when DDL was rolled back. */
  readonly #writers = new Map<TableSchema, TableWriter>();
  /** The shape that the replica's table has now, by table. */
  readonly #current = new Map<string, TableSchema>();
  position: Position | null;
  blocked: readonly BlockedKey[];
  missing = 0;
  #missing = 0;
  #blockedChanged = false;
  /** What the open transaction, or the last one that this session tried, moves the position to. */
  #attempted: Position | null = null;

  constructor(file: DatabaseFile, options: SqliteSessionOptions) {
    this.#file = file;
    this.#options = options;
    [this.#books, this.position, this.blocked] = this.#run(() => {
      const books = new Bookkeeping(file.db, options.sink);
      return [books, books.position(), books.blocked()] as const;
    });
    this.#tables = new ReplicaTables(file.db, this.#books, options);
  }

  // oxlint-disable require-await -- SQLite answers at once; an error has to become a rejection all the same
  async begin(to: Position): Promise<'open' | 'applied'> {
    return this.#run(() => {
      this.#file.checkStillThere();
      // IMMEDIATE takes the write lock now: another writer makes us wait here, never in the middle.
      this.#file.db.exec('BEGIN IMMEDIATE');
      if (!this.#books.move(this.position, to)) {
        const found = this.#books.position();
        const ours = this.#attempted !== null && samePosition(found, this.#attempted);
        if (ours) this.position = found;
        if (!ours || samePosition(found, to)) this.#rollback();
        if (!ours) throw new TailraceError('fenced', `the replica ${this.#file.path} stands at another position than this worker left it at`);
        if (samePosition(found, to)) return 'applied';
        this.#books.move(found, to);
      }
      this.#attempted = to;
      return 'open';
    });
  }

  async write(changes: TableChanges): Promise<void> {
    this.#run(() => (this.#missing += this.#writer(changes).write(changes)));
  }

  async tryWrite(changes: TableChanges): Promise<Error | null> {
    const { db } = this.#file;
    return this.#run(() => {
      db.exec('SAVEPOINT change');
      try {
        this.#missing += this.#writer(changes).write(changes);
      } catch (error) {
        if (!isRefusal(error) || !db.isTransaction) throw error;
        db.exec('ROLLBACK TO change; RELEASE change');
        this.#forgetShapes();
        return error;
      }
      db.exec('RELEASE change');
      return null;
    });
  }

  async block(keys: readonly BlockedKey[]): Promise<void> {
    this.#run(() => {
      this.#blockedChanged = true;
      for (const key of keys) this.#books.block(key);
    });
  }

  async unblock(table: string): Promise<void> {
    this.#run(() => {
      this.#blockedChanged = true;
      this.#books.unblock(table);
    });
  }

  async commit(): Promise<void> {
    this.#run(() => {
      const blocked = this.#blockedChanged ? this.#books.blocked() : this.blocked;
      // A commit into a deleted file would succeed and be gone with it.
      this.#file.checkStillThere();
      this.#file.db.exec('COMMIT');
      this.position = this.#attempted;
      this.blocked = blocked;
      this.#blockedChanged = false;
      this.missing += this.#missing;
      this.#missing = 0;
      this.#options.onCommit();
    });
    try {
      this.#file.boundWal();
    } catch (error) {
      // The commit stands, and must not be told as failed.
      this.#options.logger.warn({ err: error }, 'the write-ahead log of the replica could not be emptied');
    }
  }

  async abort(): Promise<void> {
    this.#run(() => this.#rollback());
  }

  async close(): Promise<void> {
    this.#file.close();
  }
  // oxlint-enable require-await

  #rollback(): void {
    const { db } = this.#file;
    // Some failures (no space, I/O) have rolled back already.
    if (db.isOpen && db.isTransaction) db.exec('ROLLBACK');
    this.#missing = 0;
    this.#blockedChanged = false;
    this.#forgetShapes();
  }

  #writer({ table, coverage }: TableChanges): TableWriter {
    const name = JSON.stringify([table.schema, table.name]);
    const known = this.#writers.get(table);
    if (known !== undefined && this.#current.get(name) === table) return known;
    const before = this.#current.get(name);
    const writer = new TableWriter(this.#file.db, table, this.#tables.prepare(table, coverage));
    if (before !== undefined) this.#writers.delete(before);
    this.#writers.set(table, writer);
    this.#current.set(name, table);
    return writer;
  }

  #forgetShapes(): void {
    this.#writers.clear();
    this.#current.clear();
  }

  /** SQLite's errors become the project's here; those that concern a row have been explained already. */
  #run<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw sqliteError(error, this.#file.path);
    }
  }
}

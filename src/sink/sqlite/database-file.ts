import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { TailraceError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logger.ts';
import { sqliteError } from './sqlite-error.ts';

export interface DatabaseFileOptions {
  /** Milliseconds to wait for another writer. */
  readonly busyTimeout: number;
  /** Bytes beyond which the write-ahead log is emptied by force, or a reader in the way is complained of. */
  readonly walLimit?: number;
  readonly logger: Logger;
}

/** One open SQLite file: its settings, whether it is still the file at its path, and its write-ahead log. */
export class DatabaseFile {
  readonly db: DatabaseSync;
  readonly path: string;
  readonly #inode: bigint | undefined;
  readonly #busyTimeout: number;
  readonly #walLimit: number;
  readonly #logger: Logger;
  #pinned = false;

  /** Opens for writing, making the file and its folder where they are missing. */
  constructor(path: string, { busyTimeout, walLimit = 256 * 1024 * 1024, logger }: DatabaseFileOptions) {
    this.path = path;
    this.#walLimit = walLimit;
    this.#busyTimeout = busyTimeout;
    this.#logger = logger;
    this.db = attempt(path, () => {
      makeFolder(path);
      return new DatabaseSync(path, { timeout: busyTimeout, enableForeignKeyConstraints: false });
    });
    try {
      attempt(path, () => {
        // The position has to be durable when a commit returns, which WAL with synchronous = NORMAL does not promise.
        this.db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${walLimit}; PRAGMA cache_size = -16000`);
      });
    } catch (error) {
      this.db.close();
      throw error;
    }
    this.#inode = inodeOf(path);
  }

  /** Throws `sink-lost` when the path no longer leads to the open file: what is written to a deleted file is gone. */
  checkStillThere(): void {
    if (inodeOf(this.path) === this.#inode) return;
    throw new TailraceError('sink-lost', `${this.path}: the file was deleted or replaced while it was in use`);
  }

  /**
   * SQLite copies its write-ahead log back by itself as long as no reader stays in it. One that does makes the log grow without
   * end: said once, so that somebody ends it.
   */
  boundWal(): void {
    const size = sizeOf(`${this.path}-wal`);
    if (size <= this.#walLimit) {
      this.#pinned = false;
      return;
    }
    if (this.#pinned) return;
    this.db.exec('PRAGMA busy_timeout = 0');
    const result = this.db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy?: number } | undefined;
    this.db.exec(`PRAGMA busy_timeout = ${this.#busyTimeout}`);
    this.#pinned = result?.busy === 1;
    if (this.#pinned) this.#logger.warn({ file: this.path, bytes: size }, 'a reader that stays open keeps the write-ahead log of the replica from being emptied');
  }

  close(): void {
    if (this.db.isOpen) this.db.close();
  }
}

/** Opens an existing file without changing it; undefined when there is none. */
export function openForReading(path: string, busyTimeout: number): DatabaseSync | undefined {
  if (inodeOf(path) === undefined) return undefined;
  return attempt(path, () => {
    const db = new DatabaseSync(path, { readOnly: true, timeout: busyTimeout });
    try {
      // Opening reads nothing; this finds out whether it is a database at all.
      db.prepare('SELECT count(*) FROM sqlite_schema').get();
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

export function exists(path: string): boolean {
  return inodeOf(path) !== undefined;
}

function makeFolder(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (error) {
    throw new TailraceError('sink-refused', `${dirname(path)}: the folder cannot be made`, { cause: error });
  }
}

function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw sqliteError(error, path);
  }
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

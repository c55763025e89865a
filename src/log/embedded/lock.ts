import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { TailraceError } from '../../runtime/errors.ts';
import { unusable, unwritable } from './fs-errors.ts';
import { FILE_MODE } from './layout.ts';

const SQLITE_BUSY = 5;
/** PERM, READONLY, CANTOPEN, NOTADB. */
const unusableResults = [3, 8, 14, 26];
const attempts = 12;

export interface Lock {
  release(): void;
}

/**
 * Takes the folder for this process: an exclusive SQLite transaction on `lock.db`, which is a POSIX lock that the kernel
 * frees when the process dies, however it dies, and that also holds between threads. Two that start at the same instant
 * may both be refused, so it is tried again for about half a second. Throws `log-locked`.
 */
export async function lockDirectory(directory: string): Promise<Lock> {
  const path = join(directory, 'lock.db');
  for (let attempt = 1; ; attempt++) {
    const lock = tryLock(path);
    if (lock !== undefined) return lock;
    if (attempt === attempts) throw new TailraceError('log-locked', `${directory} is open in another process`);
    await delay(20 + Math.random() * 40);
  }
}

/** The lock, or undefined while another has it. */
export function tryLock(path: string): Lock | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    // In memory, or a lock.db-journal would be left by each process that is killed.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    // By its name: opening and closing the file here would free a lock that another thread of this process holds on it.
    chmodSync(path, FILE_MODE);
    return { release: () => database?.close() };
  } catch (error) {
    database?.close();
    const result = error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : 0;
    if (result === SQLITE_BUSY) return undefined;
    if (unusableResults.includes(result)) throw unusable(path, error instanceof Error ? error.message : '', error);
    throw unwritable(error, path);
  }
}

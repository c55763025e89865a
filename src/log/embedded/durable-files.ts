import { closeSync, fdatasync, fsync, open, openSync, close, mkdirSync, renameSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { errno } from './fs-errors.ts';
import { DIRECTORY_MODE, FILE_MODE, UNFINISHED } from './layout.ts';

export const fdatasyncAsync = promisify(fdatasync);
const openAsync = promisify(open);
const closeAsync = promisify(close);
const fsyncAsync = promisify(fsync);

/** Makes entries of a directory durable: a file that was synced is lost all the same when its name was not. */
export async function syncDirectory(path: string): Promise<void> {
  await sync(await openAsync(path, 'r'));
}

/**
 * Makes the content of files and the entries of directories durable, without blocking. Several at a time: the file system
 * then commits them together. What is not there any more was trimmed.
 */
export async function syncPaths(paths: Iterable<string>): Promise<void> {
  const left = paths[Symbol.iterator]();
  const work = async (): Promise<void> => {
    for (let next = left.next(); next.done !== true; next = left.next()) await syncPath(next.value);
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

async function syncPath(path: string): Promise<void> {
  let fd: number;
  try {
    fd = await openAsync(path, 'r');
  } catch (error) {
    if (errno(error) === 'ENOENT') return;
    throw error;
  }
  await sync(fd);
}

async function sync(fd: number): Promise<void> {
  try {
    await fsyncAsync(fd);
  } finally {
    await closeAsync(fd);
  }
}

/** Makes a directory and what is missing above it, durably. */
export async function makeDirectory(path: string): Promise<void> {
  const first = mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
}

/** The file is there whole or not at all, and durable when this resolves. */
export async function writeFileDurably(path: string, content: Buffer): Promise<void> {
  const unfinished = join(dirname(path), UNFINISHED + basename(path));
  const fd = openSync(unfinished, 'w', FILE_MODE);
  try {
    writeAll(fd, content, 0);
    await fsyncAsync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(unfinished, path);
  await syncDirectory(dirname(path));
}

/** A write may be short, on a disk that is getting full; the next one then gives the error. */
export function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(fd, bytes, written, bytes.length - written, position + written);
  }
}

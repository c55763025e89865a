import { closeSync, fdatasync, fsync, open, openSync, close, fsyncSync, mkdirSync, renameSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { DIRECTORY_MODE, FILE_MODE, UNFINISHED } from './layout.ts';

export const fdatasyncAsync = promisify(fdatasync);
const openAsync = promisify(open);
const closeAsync = promisify(close);
const fsyncAsync = promisify(fsync);

/** Makes entries of a directory durable: a file that was synced is lost all the same when its name was not. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes a file's content or a directory's entries durable without blocking. */
export async function syncPath(path: string): Promise<void> {
  const fd = await openAsync(path, 'r');
  try {
    await fsyncAsync(fd);
  } finally {
    await closeAsync(fd);
  }
}

/** Makes a directory and what is missing above it, durably. */
export function makeDirectory(path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) syncDirectory(dirname(made));
}

/** The file is there whole or not at all, and durable on return. */
export function writeFileDurably(path: string, content: string | Uint8Array): void {
  const unfinished = join(dirname(path), UNFINISHED + basename(path));
  const fd = openSync(unfinished, 'w', FILE_MODE);
  try {
    writeAll(fd, typeof content === 'string' ? Buffer.from(content) : content, 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(unfinished, path);
  syncDirectory(dirname(path));
}

/** A write may be short, on a disk that is getting full; the next one then gives the error. */
export function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(fd, bytes, written, bytes.length - written, position + written);
  }
}

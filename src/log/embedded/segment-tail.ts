import { readSync } from 'node:fs';
import { BATCH_HEADER, batchCount } from '../record-batch.ts';

/** Whether there is nothing but zeros: what some file systems leave at the end of a file after a power loss. */
export function onlyZeros(fd: number, position: number, size: number): boolean {
  const chunk = Buffer.allocUnsafe(64 * 1024);
  for (let at = position; at < size; ) {
    const read = readSync(fd, chunk, 0, Math.min(chunk.length, size - at), at);
    if (read === 0) return true;
    for (let i = 0; i < read; i++) if (chunk[i] !== 0) return false;
    at += read;
  }
  return true;
}

/**
 * Whether all records of the batch at `position` are there although the file ends before the length that the batch claims.
 * Then the length is wrong; a batch that is only half written lacks records.
 */
export function claimsTooMuch(fd: number, position: number, size: number): boolean {
  const bytes = Buffer.alloc(BATCH_HEADER);
  if (readSync(fd, bytes, 0, BATCH_HEADER, position) < BATCH_HEADER) return false;
  let at = position + BATCH_HEADER;
  for (let left = batchCount(bytes, 0); left > 0; left--) {
    const read = readSync(fd, bytes, 0, 5, at);
    let length = 0;
    let used = 0;
    let more = true;
    for (; more && used < read; used++) {
      const byte = bytes[used] as number;
      length += (byte & 0x7f) * 2 ** (7 * used);
      more = byte >= 0x80;
    }
    if (more) return used === 5;
    // Zigzag: an odd number is negative, which no length is.
    if (length % 2 === 1) return true;
    at += used + length / 2;
    if (at > size) return false;
  }
  return true;
}

/** Fresh memory: the slices that a reader hands out refer to it. */
export function readAt(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let read = 0;
  while (read < length) {
    const got = readSync(fd, bytes, read, length - read, position + read);
    if (got === 0) break;
    read += got;
  }
  return read === length ? bytes : bytes.subarray(0, read);
}

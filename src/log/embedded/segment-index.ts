import { readFileSync } from 'node:fs';
import type { Place, SegmentWalker } from './segment-walker.ts';

/**
 * The sparse index of a segment, as Kafka's OffsetIndex: entries of 8 bytes, the last offset of a batch relative to the
 * segment's base and the batch's position, about one every 4 KiB. It is a hint and never the truth: who uses it checks the
 * batch that it points to, and walks the segment from its start where that does not fit.
 */
export const INDEX_INTERVAL = 4096;
export const INDEX_ENTRY = 8;

export function writeIndexEntry(bytes: Buffer, at: number, relativeOffset: number, position: number): void {
  bytes.writeInt32BE(relativeOffset, at);
  bytes.writeInt32BE(position, at + 4);
}

/** The index's bytes, or undefined when it is missing or cannot be one of a segment with `segmentSize` bytes. */
export function readIndex(path: string, segmentSize: number): Buffer | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return undefined;
  }
  if (bytes.length % INDEX_ENTRY !== 0) return undefined;
  let offset = -1;
  let position = 0;
  for (let at = 0; at < bytes.length; at += INDEX_ENTRY) {
    if (bytes.readInt32BE(at) <= offset || bytes.readInt32BE(at + 4) <= position) return undefined;
    offset = bytes.readInt32BE(at);
    position = bytes.readInt32BE(at + 4);
  }
  return position < Math.max(segmentSize, 1) ? bytes : undefined;
}

/** Builds the index of what `walker` walks over: a segment, from its start. */
export function buildIndex(walker: SegmentWalker, base: number): Buffer {
  const parts: Buffer[] = [];
  let indexed = 0;
  while (walker.next()) {
    if (walker.position - indexed < INDEX_INTERVAL) continue;
    const entry = Buffer.allocUnsafe(INDEX_ENTRY);
    writeIndexEntry(entry, 0, walker.nextOffset - 1 - base, walker.position);
    parts.push(entry);
    indexed = walker.position;
  }
  return Buffer.concat(parts);
}

/** Position of a batch at or before the one that holds `offset`; 0 when the index has none. */
export function indexedPosition(index: Buffer, base: number, offset: number): number {
  let low = 0;
  let high = index.length / INDEX_ENTRY;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (base + index.readInt32BE(middle * INDEX_ENTRY) <= offset) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? 0 : index.readInt32BE((low - 1) * INDEX_ENTRY + 4);
}

export type { Place };

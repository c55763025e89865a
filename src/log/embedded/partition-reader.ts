import { existsSync, fstatSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TailraceError } from '../../runtime/errors.ts';
import type { OffsetRange, PartitionSize } from '../log.ts';
import type { FileCache, OpenFile } from './file-cache.ts';
import { damaged, errno } from './fs-errors.ts';
import { indexPath, numberOf, segmentPath } from './layout.ts';
import { entries } from './manifest.ts';
import { BATCH_HEADER, LENGTH_HEADER, batchBaseOffset, batchCount, batchLastDelta, batchNextOffset, claimedSize, crcMatches, type Stamp } from '../record-batch.ts';
import { headerProblem } from './stamp.ts';
import { BatchCursor } from '../record-cursor.ts';
import { indexedPosition, readIndex } from './segment-index.ts';
import { claimsTooMuch, onlyZeros, readAt } from './segment-tail.ts';
import { SegmentWalker, type Place } from './segment-walker.ts';

/** How often a batch at the very tail whose checksum is wrong is read again: after 1, 2, 4 ms and so on, a quarter second in all. */
const tailRetries = 8;

/** A place in a segment; `offset` is that of the batch which begins there or would. */
interface Spot extends Place {
  readonly base: number;
  /** What the position is in: another file may take the segment's name. Undefined for the beginning of one that is not open yet. */
  readonly file: OpenFile | undefined;
}

type ReadResult = BatchCursor | 'not yet' | { readonly problem: string; readonly atTail: boolean };

/**
 * Reads a partition's segments while the writer, perhaps in another process, appends to them. What is in a topic file is
 * durable, since the journal was synced before. Only the last batch can be seen half: it is not there yet until it is whole.
 * Anything else that is not a whole batch with the right mark, offset and checksum is damage.
 */
export class PartitionReader {
  readonly #directory: string;
  readonly #stamp: Stamp;
  readonly #files: FileCache;
  #bases: readonly number[] = [];
  /** The latest timestamp of segments that do not change any more. */
  readonly #newest = new Map<number, { readonly behind: number; readonly timestamp: number }>();
  /** Behind what was fetched last: most fetches go on there. */
  #next: Spot | undefined;
  /** Whether what was read last has no record from the wanted offset on. */
  #isBlank = false;

  constructor(directory: string, stamp: Stamp, files: FileCache) {
    this.#directory = directory;
    this.#stamp = stamp;
    this.#files = files;
  }

  range(): OffsetRange {
    for (;;) {
      this.#refresh();
      const start = this.#bases[0];
      const last = this.#bases.at(-1);
      if (start === undefined || last === undefined) return { start: 0, end: 0 };
      const file = this.#open(last);
      // Trimmed since the files were listed: list them again.
      if (file !== undefined) return { start, end: this.#walkTo(file, last, Number.MAX_SAFE_INTEGER).end.offset };
    }
  }

  size(): PartitionSize {
    const paths = entries(this.#directory).filter((name) => numberOf(name, '.log') !== undefined);
    // What was let go of since counts as nothing.
    const bytes = paths.map((name) => statSync(join(this.#directory, name), { throwIfNoEntry: false })?.size ?? 0);
    return { bytes: bytes.reduce((sum, size) => sum + size, 0), segments: paths.length };
  }

  /** Whether a fetch at `offset` would bring something, or fail. Two system calls at the tail. */
  has(offset: number): boolean {
    let spot: Spot | undefined;
    try {
      spot = this.#find(offset);
    } catch {
      // The fetch says what is wrong.
      return true;
    }
    if (spot === undefined) return false;
    if (spot.offset < offset) return true;
    this.#next = spot;
    const file = this.#open(spot.base);
    if (file === undefined) return true;
    const available = fstatSync(file.fd).size - spot.position;
    if (available <= 0) return spot.offset !== spot.base && existsSync(segmentPath(this.#directory, spot.offset));
    if (available < LENGTH_HEADER) return false;
    const claimed = claimedSize(readAt(file.fd, spot.position, LENGTH_HEADER), 0);
    return claimed >= BATCH_HEADER ? claimed <= available : !onlyZeros(file.fd, spot.position, spot.position + available);
  }

  async fetch(from: number, maxBytes: number): Promise<BatchCursor> {
    let offset = from;
    for (let attempt = 0; ; ) {
      const spot = this.#find(offset);
      const file = spot && this.#open(spot.base);
      if (spot === undefined) return BatchCursor.empty(offset);
      if (file === undefined) {
        // Trimmed and no longer open: look where the partition begins now.
        this.#next = undefined;
        continue;
      }
      const size = fstatSync(file.fd).size;
      if (size <= spot.position) {
        if (this.#stepOver(file, spot)) continue;
        return BatchCursor.empty(offset);
      }
      const result = this.#read(file, spot, { size, maxBytes, offset });
      if (result instanceof BatchCursor) {
        if (!this.#isBlank) return result;
        // Compaction has left nothing from `offset` to here.
        offset = result.nextOffset;
        continue;
      }
      if (this.#isReplaced(file, spot.base)) continue;
      const sealed = this.#isSealed(spot.base);
      if (result === 'not yet') {
        if (!sealed) return BatchCursor.empty(offset);
        // The writer may have finished the batch and the segment since its size was read.
        if (fstatSync(file.fd).size > size) continue;
        throw damaged(file.path, spot.position, 'the segment ends within a batch');
      }
      if (!result.atTail || sealed || attempt >= tailRetries) throw damaged(file.path, spot.position, result.problem);
      await delay(2 ** attempt++);
    }
  }

  /** Base offsets of the segments, oldest first. */
  bases(): readonly number[] {
    this.#refresh();
    return this.#bases;
  }

  /** False when the segment is known to hold only records before `timestamp`. */
  mayHold(base: number, timestamp: number): boolean {
    const behind = this.#bases[this.#bases.indexOf(base) + 1];
    const known = this.#newest.get(base);
    // Another one behind it: others were merged into it.
    if (known !== undefined && known.behind === behind) return known.timestamp >= timestamp;
    const walker = behind === undefined ? undefined : this.walk(base);
    let newest = -Infinity;
    while (walker?.next()) newest = Math.max(newest, walker.maxTimestamp);
    // The active segment, or one that is damaged: who reads it will see.
    if (walker?.end.offset !== behind || behind === undefined) return true;
    this.#newest.set(base, { behind, timestamp: newest });
    return newest >= timestamp;
  }

  /** A walk over a whole segment; undefined when it was trimmed. */
  walk(base: number): SegmentWalker | undefined {
    const file = this.#open(base);
    return file && new SegmentWalker(file.fd, fstatSync(file.fd).size, { offset: base, position: 0 }, this.#stamp);
  }

  /** Reads and checks as many whole batches as `maxBytes` allows, one at least. */
  #read(file: OpenFile, spot: Spot, wanted: { size: number; maxBytes: number; offset: number }): ReadResult {
    const available = wanted.size - spot.position;
    let bytes = readAt(file.fd, spot.position, Math.min(available, Math.max(wanted.maxBytes, BATCH_HEADER)));
    if (bytes.length < BATCH_HEADER) return 'not yet';
    const first = claimedSize(bytes, 0);
    if (first > bytes.length && first <= available) bytes = readAt(file.fd, spot.position, first);

    let at = 0;
    let next = spot.offset;
    let hasGaps = false;
    while (at + BATCH_HEADER <= bytes.length) {
      const size = claimedSize(bytes, at);
      const problem = headerProblem(bytes, at, next, this.#stamp);
      const cut = problem === undefined && at + size > bytes.length;
      if (cut || problem !== undefined || !crcMatches(bytes, at, size)) {
        // What was whole before it is handed out; the next fetch begins here.
        if (at > 0) break;
        if (cut) return claimsTooMuch(file.fd, spot.position, wanted.size) ? { problem: `the batch claims ${size} bytes and has fewer`, atTail: false } : 'not yet';
        if (problem !== undefined && onlyZeros(file.fd, spot.position, wanted.size)) return 'not yet';
        return { problem: problem ?? 'the checksum of the batch does not fit', atTail: problem === undefined && size === available };
      }
      hasGaps ||= batchCount(bytes, at) <= batchLastDelta(bytes, at);
      next = batchNextOffset(bytes, at);
      at += size;
    }
    this.#next = { base: spot.base, offset: next, position: spot.position + at, file };
    // Of a segment that was begun since the files were listed nothing is known here.
    const range = { from: wanted.offset, next, isLast: spot.position + at >= wanted.size && spot.base >= (this.#bases.at(-1) ?? 0) };
    this.#isBlank = hasGaps && !new BatchCursor(bytes, at, range).next();
    return new BatchCursor(bytes, at, range);
  }

  #find(offset: number): Spot | undefined {
    const next = this.#next;
    return next?.offset === offset && this.#isAt(next) ? next : this.#locate(offset);
  }

  /** Not where its file has been closed since, and another may have its name. */
  #isAt({ base, file }: Spot): boolean {
    return file === undefined || this.#open(base) === file;
  }

  /** Whether the segment was written anew since it was opened; then it is opened anew. */
  #isReplaced(file: OpenFile, base: number): boolean {
    const stat = statSync(file.path, { throwIfNoEntry: false });
    if (stat !== undefined && stat.ino === fstatSync(file.fd).ino) return false;
    // Trimmed, or merged into the one before it: this one is still good for what it holds.
    this.#files.forget(segmentPath(this.#directory, base));
    this.#next = undefined;
    return true;
  }

  /** The batch that holds `offset`, or the end if that is what it is; undefined where there is no file yet. */
  #locate(offset: number): Spot | undefined {
    for (;;) {
      this.#refresh();
      const start = this.#bases[0];
      if (start === undefined && offset === 0) return undefined;
      if (start === undefined || offset < start) throw this.#outOfRange(offset);
      const base = this.#bases.findLast((candidate) => candidate <= offset) ?? start;
      const file = this.#open(base);
      // Whoever looks for a place, and is not in the midst of reading, gets what is there now.
      if (file === undefined || this.#isReplaced(file, base)) continue;
      const walker = this.#walkTo(file, base, offset);
      if (walker.nextOffset > offset) return { base, offset: walker.offset, position: walker.position, file };
      const { end } = walker;
      if (end.offset === offset) return { base, ...end, file };
      // The size was read before a batch was written that is whole by now: look again.
      if (fstatSync(file.fd).size > walker.fileSize ) continue;
      const sealed = this.#isSealed(base);
      if (!sealed && (walker.problem === undefined || walker.incomplete || onlyZeros(file.fd, end.position, walker.fileSize))) {
        throw this.#outOfRange(offset);
      }
      throw damaged(file.path, end.position, walker.problem ?? `the records from offset ${end.offset} on are missing`);
    }
  }

  /** To the batch that holds `offset`, or as far as whole batches go. */
  #walkTo(file: OpenFile, base: number, offset: number): SegmentWalker {
    // The index before the size: an entry is written after the batch that it points to.
    const hint = this.#hint(file, base, offset);
    const size = fstatSync(file.fd).size;
    for (const from of hint === undefined ? [] : [hint]) {
      const walker = new SegmentWalker(file.fd, size, from, this.#stamp);
      while (walker.nextOffset <= offset && walker.next());
      if (walker.problem === undefined || walker.incomplete) return walker;
      // A hint may be wrong; from the start of the segment nothing is.
    }
    const walker = new SegmentWalker(file.fd, size, { offset: base, position: 0 }, this.#stamp);
    while (walker.nextOffset <= offset && walker.next());
    return walker;
  }

  /** A batch at or before `offset`: where the last fetch ended, or from the index. */
  #hint(file: OpenFile, base: number, offset: number): Place | undefined {
    if (this.#next?.base === base && this.#next.file === file && this.#next.offset <= offset && this.#next.position > 0) return this.#next;
    const index = readIndex(indexPath(this.#directory, base), Number.MAX_SAFE_INTEGER);
    const position = index === undefined ? 0 : indexedPosition(index, base, offset);
    const header = position === 0 ? undefined : readAt(file.fd, position, BATCH_HEADER);
    if (header === undefined || header.length < BATCH_HEADER) return undefined;
    const found = batchBaseOffset(header, 0);
    return found <= offset && found > base ? { offset: found, position } : undefined;
  }

  /** At the end of a segment: whether there is more, in the next one or in this. */
  #stepOver(file: OpenFile, spot: Spot): boolean {
    const { offset } = spot;
    if (offset !== spot.base && existsSync(segmentPath(this.#directory, offset))) {
      this.#next = { base: offset, position: 0, offset, file: undefined };
      return true;
    }
    const sealed = this.#isSealed(spot.base);
    if (fstatSync(file.fd).size > spot.position) return true;
    if (!sealed) return false;
    if (this.#isReplaced(file, spot.base)) return true;
    if (offset < (this.#bases[0] ?? 0)) throw this.#outOfRange(offset);
    if (this.#bases.includes(offset) && offset !== spot.base) return true;
    throw damaged(file.path, spot.position, `the records from offset ${offset} on are missing`);
  }

  #isSealed(base: number): boolean {
    this.#refresh();
    return (this.#bases.at(-1) ?? base) > base;
  }

  #refresh(): void {
    this.#bases = entries(this.#directory)
      .map((name) => numberOf(name, '.log'))
      .filter((base) => base !== undefined)
      .toSorted((a, b) => a - b);
  }

  #open(base: number): OpenFile | undefined {
    try {
      return this.#files.open(segmentPath(this.#directory, base));
    } catch (error) {
      if (errno(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #outOfRange(offset: number): TailraceError {
    const { start, end } = this.range();
    return new TailraceError('offset-out-of-range', `${this.#directory} holds offsets ${start} to ${end}, not ${offset}`);
  }
}

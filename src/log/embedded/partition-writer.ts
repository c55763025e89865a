import { readSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { failpoint } from '../../runtime/failpoint.ts';
import type { FinishedBatch } from '../record-batch-builder.ts';
import { writeAll } from './durable-files.ts';
import type { FileCache } from './file-cache.ts';
import type { PartitionState } from './journal-format.ts';
import { FILE_MODE, indexPath, numberOf, partitionPath, rewrittenPath, segmentPath } from './layout.ts';
import { entries } from './manifest.ts';
import { BATCH_HEADER, batchBaseTimestamp, type Stamp } from '../record-batch.ts';
import { stampOf } from './stamp.ts';
import { INDEX_ENTRY, INDEX_INTERVAL, buildIndex, indexedPosition, readIndex, writeIndexEntry } from './segment-index.ts';
import type { Rewritten } from './segment-rewriter.ts';
import type { ClosedSegment } from './segment-scan.ts';
import { SegmentWalker } from './segment-walker.ts';

export interface SegmentLimits {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds between the oldest record of a segment and one that may still join it. */
  readonly age: number;
}

/** What the partitions of a log share. */
export interface PartitionContext {
  readonly directory: string;
  readonly logId: string;
  readonly limits: SegmentLimits;
  readonly files: FileCache;
  /** Files and directories that were changed since the journal was begun, and are not known to be durable. */
  readonly dirty: Set<string>;
}

/** Where a batch goes: decided before the journal is written, done after it is durable. */
export interface Placement {
  readonly partition: PartitionWriter;
  readonly batch: FinishedBatch;
  readonly baseOffset: number;
  readonly segmentBase: number;
  readonly position: number;
}

interface Segment {
  readonly base: number;
  size: number;
  indexSize: number;
}

/**
 * A partition as its writer sees it: segments, the last of which is active. An append is planned first (`place`, which
 * changes nothing that lasts), then written (`write`). Nothing is synced here: the journal is, and `dirty` says what follows.
 */
export class PartitionWriter {
  readonly topic: string;
  readonly partition: number;
  readonly stamp: Stamp;
  readonly directory: string;
  readonly #context: PartitionContext;
  readonly #segments: Segment[] = [];
  readonly #indexEntry = Buffer.alloc(INDEX_ENTRY);
  readonly #state: PartitionState;
  readonly #plan: PartitionState;
  #firstTimestamp: number | undefined;
  #planFirstTimestamp: number | undefined;
  #rollDue = false;
  #indexedAt = 0;

  constructor(context: PartitionContext, state: PartitionState) {
    this.topic = state.topic;
    this.partition = state.partition;
    this.stamp = stampOf(context.logId, state.topic, state.partition);
    this.#context = context;
    this.directory = partitionPath(context.directory, state.topic, state.partition);
    this.#state = { ...state };
    this.#plan = { ...state };
    this.#load();
  }

  get state(): Readonly<PartitionState> {
    return this.#state;
  }

  /** A partition that never had a record has no file. */
  get hasSegments(): boolean {
    return this.#segments.length > 0;
  }

  get bytes(): number {
    let sum = 0;
    for (const segment of this.#segments) sum += segment.size;
    return sum;
  }

  get segmentCount(): number {
    return this.#segments.length;
  }

  get limits(): SegmentLimits {
    return this.#context.limits;
  }

  /** All but the active one, oldest first. */
  closedSegments(): readonly ClosedSegment[] {
    return this.#segments.slice(0, -1).map(({ base, size }, i) => ({ base, size, end: this.#segments[i + 1]?.base ?? base }));
  }

  /** Begins to plan an append anew: one that came to nothing leaves no trace. */
  beginPlan(): void {
    Object.assign(this.#plan, this.#state);
    this.#planFirstTimestamp = this.#firstTimestamp;
  }

  get plannedEnd(): number {
    return this.#plan.end;
  }

  /** The next batch begins a segment, whatever the limits say. */
  rollNext(): void {
    this.#rollDue = true;
  }

  place(batch: FinishedBatch): Placement {
    const plan = this.#plan;
    if (this.#mustRoll(batch)) {
      this.#rollDue = false;
      plan.base = plan.end;
      plan.size = 0;
      plan.lastBatchAt = -1;
    }
    if (plan.size === 0) this.#planFirstTimestamp = batch.baseTimestamp;
    const placement = { partition: this, batch, baseOffset: plan.end, segmentBase: plan.base, position: plan.size };
    plan.lastBatchAt = plan.size;
    plan.size += batch.length;
    plan.end += batch.count;
    return placement;
  }

  /** Writes a batch to its place, in the order of planning. */
  write(placement: Placement): void {
    const { batch, segmentBase, position, baseOffset } = placement;
    let segment = this.#segments.at(-1);
    if (segment?.base !== segmentBase) segment = this.#roll(segmentBase);
    const path = segmentPath(this.directory, segmentBase);
    const file = this.#context.files.open(path);
    this.#context.dirty.add(path);
    writeAll(file.fd, batch.bytes.subarray(0, batch.length), position);
    segment.size = position + batch.length;
    this.#state.lastBatchAt = position;
    this.#state.size = segment.size;
    this.#state.end = baseOffset + batch.count;
    if (position === 0) this.#firstTimestamp = batch.baseTimestamp;
    if (position - this.#indexedAt >= INDEX_INTERVAL) this.#index(segment, position, this.#state.end - 1);
  }

  /** How a trim at `offset` would leave the partition, or undefined when no segment would go. */
  planTrim(offset: number): { readonly start: number; readonly base: number } | undefined {
    const { start, end, base, size } = this.#state;
    if (offset >= end) return size > 0 || start < end ? { start: end, base: end } : undefined;
    let kept = start;
    for (const segment of this.#segments) if (segment.base <= offset) kept = segment.base;
    return kept > start ? { start: kept, base } : undefined;
  }

  /** Does what `planTrim` said and the journal holds. Oldest first: whoever lists the files meanwhile sees no hole. */
  trim(plan: { readonly start: number; readonly base: number }): void {
    if (plan.base !== this.#state.base || this.#segments.length === 0) this.#roll(plan.base);
    while ((this.#segments[0]?.base ?? plan.start) < plan.start) {
      const segment = this.#segments.shift();
      if (segment === undefined) break;
      removeSegment(this.directory, segment.base, this.#context.files);
      failpoint('log.trim_mid');
    }
    this.#state.start = plan.start;
    this.#context.dirty.add(this.directory);
  }

  /** Whether what `made` was made of is all there. */
  canReplace(made: Rewritten): boolean {
    const segments = this.closedSegments();
    return segments.some(({ base }) => base === made.base) && segments.some(({ end }) => end === made.end);
  }

  /** Does what the journal holds. */
  replace(made: Rewritten): void {
    putInPlace(this.directory, made, this.#context.files);
    writeFileSync(indexPath(this.directory, made.base), made.index, { mode: FILE_MODE });
    const first = this.#segments.findIndex(({ base }) => base === made.base);
    const behind = this.#segments.findIndex(({ base }) => base >= made.end);
    const gone = this.#segments.splice(first, behind - first, { base: made.base, size: made.size, indexSize: made.index.length });
    for (const { base } of gone) {
      if (base !== made.base) removeSegment(this.directory, base, this.#context.files);
      failpoint('log.replace_mid');
    }
    this.#context.dirty.add(this.directory);
  }

  /** Before its folder goes: a file that stays open keeps its space on the disk. */
  forgetFiles(): void {
    for (const { base } of this.#segments) for (const path of [indexPath(this.directory, base), segmentPath(this.directory, base)]) this.#context.files.forget(path);
  }

  #mustRoll(batch: FinishedBatch): boolean {
    const { base, size, end } = this.#plan;
    if (size === 0) return false;
    if (this.#rollDue) return true;
    if (size + batch.length > this.#context.limits.size || end + batch.count - base > 0x7fffffff) return true;
    this.#planFirstTimestamp ??= this.#readFirstTimestamp();
    return batch.maxTimestamp - this.#planFirstTimestamp >= this.#context.limits.age;
  }

  #roll(base: number): Segment {
    const path = segmentPath(this.directory, base);
    this.#context.files.create(path);
    failpoint('log.roll_mid');
    this.#context.files.create(indexPath(this.directory, base));
    this.#context.dirty.add(path).add(this.directory);
    const segment = { base, size: 0, indexSize: 0 };
    this.#segments.push(segment);
    this.#state.base = base;
    this.#state.size = 0;
    this.#state.lastBatchAt = -1;
    this.#firstTimestamp = undefined;
    this.#indexedAt = 0;
    return segment;
  }

  #index(segment: Segment, position: number, lastOffset: number): void {
    writeIndexEntry(this.#indexEntry, 0, lastOffset - segment.base, position);
    writeAll(this.#context.files.open(indexPath(this.directory, segment.base)).fd, this.#indexEntry, segment.indexSize);
    segment.indexSize += INDEX_ENTRY;
    this.#indexedAt = position;
  }

  #readFirstTimestamp(): number {
    const header = Buffer.alloc(BATCH_HEADER);
    readSync(this.#context.files.open(segmentPath(this.directory, this.#state.base)).fd, header, 0, BATCH_HEADER, 0);
    return batchBaseTimestamp(header, 0);
  }

  #load(): void {
    const names = new Set(entries(this.directory));
    const bases = [...names].map((name) => numberOf(name, '.log')).filter((base) => base !== undefined);
    for (const base of bases.toSorted((a, b) => a - b)) {
      const segment = { base, size: statSync(segmentPath(this.directory, base)).size, indexSize: 0 };
      this.#segments.push(segment);
      this.#checkIndex(segment, base === this.#state.base);
    }
  }

  /** An index that is missing or does not fit is built anew; of the active segment's also the last entry is needed. */
  #checkIndex(segment: Segment, active: boolean): void {
    const path = indexPath(this.directory, segment.base);
    const stat = statSync(path, { throwIfNoEntry: false });
    let index: Buffer | undefined;
    if (stat !== undefined && stat.size % INDEX_ENTRY === 0) {
      segment.indexSize = stat.size;
      if (!active) return;
      index = readIndex(path, segment.size);
    }
    if (index === undefined) {
      const file = this.#context.files.open(segmentPath(this.directory, segment.base));
      index = buildIndex(new SegmentWalker(file.fd, segment.size, { offset: segment.base, position: 0 }, this.stamp), segment.base);
      this.#context.files.forget(path);
      writeFileSync(path, index, { mode: FILE_MODE });
    }
    segment.indexSize = index.length;
    if (active) this.#indexedAt = indexedPosition(index, segment.base, Number.MAX_SAFE_INTEGER);
  }
}

/** Takes a rewritten segment into use, under the name of the first that it replaces. The old index goes first: it fits no more. */
export function putInPlace(directory: string, { base, token }: Pick<Rewritten, 'base' | 'token'>, files: FileCache): void {
  for (const path of [indexPath(directory, base), segmentPath(directory, base)]) files.forget(path);
  const index = indexPath(directory, base);
  if (statSync(index, { throwIfNoEntry: false }) !== undefined) unlinkSync(index);
  renameSync(rewrittenPath(directory, base, token), segmentPath(directory, base));
  failpoint('log.replace_renamed');
}

/** Deletes a segment and its index, whether they are there or not; the index first, so that none is left alone. */
export function removeSegment(directory: string, base: number, files: FileCache): void {
  for (const path of [indexPath(directory, base), segmentPath(directory, base)]) {
    files.forget(path);
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) unlinkSync(path);
  }
}

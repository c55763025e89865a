import type { Compaction, Rewriting } from '../log.ts';
import { failpoint } from '../../runtime/failpoint.ts';
import type { BatchCursor } from '../record-cursor.ts';
import { batchCount } from '../record-batch.ts';
import { CompactionNotes } from './compaction-notes.ts';
import { errno } from './fs-errors.ts';
import { KeyOffsets } from './key-offsets.ts';
import type { PartitionWriter } from './partition-writer.ts';
import { SegmentRewriter, type Rewritten } from './segment-rewriter.ts';
import { recordsOf, scanSegment, type ClosedSegment, type ScannedBatch } from './segment-scan.ts';

/** What rewriting needs of the log's writer. */
export interface Rewriter {
  readonly partition: PartitionWriter;
  /** Aborts when the log is closed. */
  readonly signal: AbortSignal;
  /** Puts a segment in the place of others; false when these have been trimmed meanwhile. */
  replace(made: Rewritten): Promise<boolean>;
}

/** Bytes for the newest offsets of keys; a million keys. With more of them there are more passes. */
const mapBytes = 32 * 1024 * 1024;
/** Offsets in an index are relative, and have 31 bits. */
const widest = 0x7fffffff;

interface Range {
  readonly from: number;
  readonly to: number;
  readonly of: Compaction;
}

type Keep = (record: BatchCursor) => boolean;

/**
 * Compacts the closed segments of a partition. As Kafka's cleaner does it: the newest offset of each key is gathered from what has
 * not been compacted yet, as far as memory reaches, and then all segments from the first on are written anew without what these
 * supersede. Oldest first: when a tombstone goes, what it buried has gone before.
 */
export async function compactPartition(rewriter: Rewriter, of: Compaction): Promise<Rewriting> {
  const { partition } = rewriter;
  const work = new Work(rewriter);
  const notes = new CompactionNotes(partition.directory);
  const limit = Math.min(of.below, partition.state.base);
  const horizon = notes.cleanedBefore(Date.now() - of.deleteRetention);
  let cleaned = Math.max(partition.state.start, Math.min(notes.cleaned, limit));
  if (!isWorth(partition.closedSegments(), { cleaned, limit, least: of.leastDirty ?? 0 })) return work.result();
  do {
    const map = new KeyOffsets(limit - cleaned, of.memory ?? mapBytes);
    const reached = await gather(rewriter, map, { from: cleaned, to: limit, of }).catch(nullIfTrimmed);
    if (reached === null) break;
    const keep: Keep = (record) => {
      const { key, offset } = record;
      if (offset >= reached) return true;
      if (offset < map.clearedAt || (key.start >= 0 && map.get(key) > offset)) return false;
      return offset >= horizon || says(record, of) === 'value';
    };
    if (!(await work.rewrite((segment) => segment.base < reached, keep, 1))) break;
    failpoint('log.compacted_unnoted');
    await notes.add(reached, of.deleteRetention);
    cleaned = reached;
  } while (cleaned < limit);
  return work.result();
}

/** Makes one of closed segments that lie side by side, `least` of them or more, and together are no larger than a segment may be. */
export async function mergeSegments(rewriter: Rewriter, least: number): Promise<Rewriting> {
  const work = new Work(rewriter);
  await work.rewrite(() => true, null, least);
  return work.result();
}

/** One compaction or merge: writes groups of segments anew, and adds up what came of it. */
class Work {
  readonly #rewriter: Rewriter;
  readonly #before: Rewriting['before'];

  constructor(rewriter: Rewriter) {
    this.#rewriter = rewriter;
    this.#before = this.#now();
  }

  /** False when segments went meanwhile: what is left of their group is as it was. `keep` null: everything. */
  async rewrite(which: (segment: ClosedSegment) => boolean, keep: Keep | null, least: number): Promise<boolean> {
    const { partition } = this.#rewriter;
    for (const group of groupsOf(partition.closedSegments().filter(which), partition.limits.size)) {
      if (group.length >= least && !(await this.#rewriteGroup(group, keep))) return false;
    }
    return true;
  }

  result(): Rewriting {
    return { before: this.#before, after: this.#now() };
  }

  #now(): Rewriting['before'] {
    const { partition } = this.#rewriter;
    return { bytes: partition.bytes, segments: partition.segmentCount };
  }

  async #rewriteGroup(group: readonly ClosedSegment[], keep: Keep | null): Promise<boolean> {
    const { partition, signal } = this.#rewriter;
    const made = new SegmentRewriter(partition.directory, group[0]?.base ?? 0, partition.stamp);
    let gone = 0;
    let finished: Rewritten | null = null;
    try {
      for (const segment of group) {
        for await (const batch of scanSegment(partition.directory, segment, partition.stamp, signal)) {
          if (keep === null) made.copy(batch);
          else gone += batchCount(batch.bytes, batch.at) - made.filter(batch, keep);
        }
      }
      if (gone > 0 || group.length > 1) finished = await made.finish();
      else made.discard();
    } catch (error) {
      made.discard();
      nullIfTrimmed(error);
      return false;
    }
    return finished === null || this.#rewriter.replace(finished);
  }
}

/** For a segment that went before it was opened. */
function nullIfTrimmed(error: unknown): null {
  if (errno(error) === 'ENOENT') return null;
  throw error;
}

/** Fills the map from `from` on; returns up to where it is complete. */
async function gather({ partition, signal }: Rewriter, map: KeyOffsets, range: Range): Promise<number> {
  const { from, to } = range;
  for (const segment of partition.closedSegments()) {
    if (segment.end <= from || segment.base >= to) continue;
    for await (const batch of scanSegment(partition.directory, segment, partition.stamp, signal)) {
      const full = batch.next > from ? gatherBatch(batch, map, range) : undefined;
      if (full !== undefined) return full;
    }
  }
  return to;
}

/** The offset of the first record that has no room. */
function gatherBatch(batch: ScannedBatch, map: KeyOffsets, { from, to, of }: Range): number | undefined {
  const cursor = recordsOf(batch);
  while (cursor.next()) {
    const { key, offset } = cursor;
    if (offset < from) continue;
    if (offset >= to) return undefined;
    if (key.start < 0) {
      if (says(cursor, of) === 'clear') map.clearedAt = offset;
    } else if (!map.put(key, offset)) return offset;
  }
  return undefined;
}

function says(record: BatchCursor, of: Compaction): 'value' | 'delete' | 'clear' {
  if (record.value.start >= 0) return of.says?.(record) ?? 'value';
  return record.key.start < 0 ? 'value' : 'delete';
}

/** Whether at least that part of the bytes has not been compacted. */
function isWorth(segments: readonly ClosedSegment[], { cleaned, limit, least }: { cleaned: number; limit: number; least: number }): boolean {
  const sum = (some: readonly ClosedSegment[]): number => some.reduce((bytes, { size }) => bytes + size, 0);
  const inReach = segments.filter(({ base }) => base < limit);
  if (least === 0) return inReach.length > 0;
  const dirty = sum(inReach.filter(({ end }) => end > cleaned));
  return cleaned < limit && dirty > 0 && dirty >= sum(inReach) * least;
}

/** Runs of neighbours that fit into one segment; at least one each. */
function groupsOf(segments: readonly ClosedSegment[], maxBytes: number): readonly ClosedSegment[][] {
  const groups: ClosedSegment[][] = [];
  let bytes = 0;
  for (const segment of segments) {
    const group = groups.at(-1);
    const first = group?.[0]?.base ?? segment.base;
    if (group === undefined || bytes + segment.size > maxBytes || segment.end - first > widest) {
      groups.push([segment]);
      bytes = segment.size;
    } else {
      group.push(segment);
      bytes += segment.size;
    }
  }
  return groups;
}

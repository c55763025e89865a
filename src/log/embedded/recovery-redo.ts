import { existsSync, fstatSync, ftruncateSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { failpoint } from '../../runtime/failpoint.ts';
import type { TopicSpec } from '../log.ts';
import { writeAll } from './durable-files.ts';
import { FileCache, type OpenFile } from './file-cache.ts';
import { damaged } from './fs-errors.ts';
import { PayloadReader, readReplace, type Frame, type PartitionState, type Replacement } from './journal-format.ts';
import type { ScannedFrame } from './journal-scan.ts';
import { UNFINISHED, indexPath, numberOf, partitionPath, segmentPath } from './layout.ts';
import { entries } from './manifest.ts';
import { removeSegment } from './partition-writer.ts';
import { Replacements } from './recovery-replace.ts';
import { batchCount } from '../record-batch.ts';

/**
 * The topic files while a journal is done again. Bytes are written over what is there, equal or not, and files are cut only
 * at the very end: a reader in another thread or process, which may have all of it before it already, sees no record vanish.
 */
export class TopicFiles {
  readonly #directory: string;
  readonly #topics: readonly TopicSpec[];
  readonly #partitions: ReadonlyMap<string, number>;
  readonly #files = new FileCache('r+', 64);
  readonly #states = new Map<string, PartitionState>();
  /** Where each partition begins once all trims are done; segments before it are not written again. */
  readonly #starts = new Map<string, number>();
  readonly replacements: Replacements;
  /** Files and directories that were changed. */
  readonly touched = new Set<string>();
  cutBytes = 0;

  constructor(directory: string, topics: readonly TopicSpec[]) {
    this.#directory = directory;
    this.#topics = topics;
    this.replacements = new Replacements(directory, (topic, partition) => this.#starts.get(keyOf(topic, partition)) ?? 0);
    this.#partitions = new Map(topics.map(({ topic, partitions }) => [topic, partitions]));
  }

  get states(): PartitionState[] {
    return [...this.#states.values()];
  }

  begin(states: readonly PartitionState[]): void {
    for (const state of states) Object.assign(this.#state(state.topic, state.partition), state);
  }

  /** To be called with every trim before anything is done. */
  expectTrim(frame: Frame): void {
    const reader = new PayloadReader(frame.payload);
    const key = keyOf(reader.text(), reader.u32());
    this.#starts.set(key, reader.i64());
  }

  /** Whether the segment that `state` stands in is still as the journal says: not trimmed, and not replaced. */
  isKept({ topic, partition, base }: PartitionState): boolean {
    return base >= (this.#starts.get(keyOf(topic, partition)) ?? 0) && !this.replacements.covers(topic, partition, base);
  }

  redo(frame: Frame, at: ScannedFrame): void {
    if (frame.kind === 'replace') return this.#replace(readReplace(frame.payload));
    const reader = new PayloadReader(frame.payload);
    if (frame.kind === 'trim') {
      const state = this.#state(reader.text(), reader.u32());
      state.start = reader.i64();
      this.#roll(state, reader.i64());
      return;
    }
    for (let count = reader.u32(); count > 0; count--) {
      const state = this.#state(reader.text(), reader.u32());
      const base = reader.i64();
      const position = reader.i64();
      this.#roll(state, base);
      if (position !== state.size) throw damaged(at.path, at.at, `${keyOf(state.topic, state.partition)} continues at byte ${position}, but ${state.size} is due`);
      this.#append(state, reader.blob());
    }
  }

  /** Cuts what the journal does not know. */
  finish(): void {
    for (const { topic, partitions } of this.#topics) {
      for (let partition = 0; partition < partitions; partition++) this.#cut(topic, partition);
    }
  }

  /** Path of any segment with something in it. */
  anySegment(): string | undefined {
    for (const { topic, partitions } of this.#topics) {
      for (let partition = 0; partition < partitions; partition++) {
        const directory = partitionPath(this.#directory, topic, partition);
        for (const base of segmentsIn(directory)) {
          if (statSync(segmentPath(directory, base)).size > 0) return segmentPath(directory, base);
        }
      }
    }
    return undefined;
  }

  close(): void {
    this.#files.close();
  }

  #state(topic: string, partition: number): PartitionState {
    const key = keyOf(topic, partition);
    let state = this.#states.get(key);
    if (state === undefined) {
      if (partition >= (this.#partitions.get(topic) ?? 0)) {
        throw damaged(partitionPath(this.#directory, topic, partition), 0, 'the journal knows this partition, but its topic is missing or has fewer');
      }
      state = { topic, partition, start: 0, end: 0, base: 0, size: 0, lastBatchAt: -1 };
      this.#states.set(key, state);
    }
    return state;
  }

  /** The next batch goes to the segment `base`: the active one, or a new one that begins where the partition ends. */
  #roll(state: PartitionState, base: number): void {
    if (base === state.base) return;
    const directory = partitionPath(this.#directory, state.topic, state.partition);
    if (base !== state.end) throw damaged(segmentPath(directory, base), 0, `the segment should begin at offset ${state.end}`);
    this.#truncate(state);
    state.base = base;
    state.size = 0;
    state.lastBatchAt = -1;
  }

  #replace(of: Replacement): void {
    if (!this.replacements.redo(of, this.#files)) return;
    failpoint('log.redo_replace');
    const directory = partitionPath(this.#directory, of.topic, of.partition);
    this.touched.add(directory);
    for (const base of segmentsIn(directory)) if (base > of.base && base < of.end) removeSegment(directory, base, this.#files);
  }

  #append(state: PartitionState, batch: Buffer): void {
    if (this.isKept(state)) {
      const file = this.#open(state);
      writeAll(file.fd, batch, state.size);
      failpoint('log.redo_mid');
    }
    state.lastBatchAt = state.size;
    state.size += batch.length;
    state.end += batchCount(batch, 0);
  }

  #open(state: PartitionState): OpenFile {
    const directory = partitionPath(this.#directory, state.topic, state.partition);
    const path = segmentPath(directory, state.base);
    if (!this.touched.has(path)) {
      // The index may know of batches that are about to change; the writer builds it anew.
      const index = indexPath(directory, state.base);
      if (existsSync(index)) unlinkSync(index);
      this.touched.add(path).add(directory);
    }
    return existsSync(path) ? this.#files.open(path) : this.#files.create(path);
  }

  #truncate(state: PartitionState): void {
    if (!this.isKept(state)) return;
    const path = segmentPath(partitionPath(this.#directory, state.topic, state.partition), state.base);
    const excess = (statSync(path, { throwIfNoEntry: false })?.size ?? -1) - state.size;
    if (excess === 0) return;
    const file = this.#open(state);
    this.cutBytes += Math.max(excess, 0);
    if (fstatSync(file.fd).size > state.size) ftruncateSync(file.fd, state.size);
  }

  #cut(topic: string, partition: number): void {
    const directory = partitionPath(this.#directory, topic, partition);
    const state = this.#states.get(keyOf(topic, partition));
    // Segments that were to replace others, and came to nothing.
    for (const name of entries(directory)) if (name.startsWith(UNFINISHED)) unlinkSync(join(directory, name));
    for (const base of segmentsIn(directory)) {
      if (state !== undefined && base >= state.start && base <= state.base) continue;
      this.cutBytes += statSync(segmentPath(directory, base)).size;
      removeSegment(directory, base, this.#files);
      this.touched.add(directory);
    }
    if (state !== undefined) this.#truncate(state);
  }
}

function segmentsIn(directory: string): number[] {
  return entries(directory)
    .map((name) => numberOf(name, '.log'))
    .filter((base) => base !== undefined)
    .toSorted((a, b) => a - b);
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

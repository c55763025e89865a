import { TailraceError } from '../../runtime/errors.ts';
import { failpoint } from '../../runtime/failpoint.ts';
import type { BatchBuilder, Compaction, LogWriter, OffsetRange, Placement as LogPlacement, Rewriting, TopicChange, TopicOptions, TopicSpec } from '../log.ts';
import { RecordBatchBuilder } from '../record-batch-builder.ts';
import { BufferPool } from '../buffer-pool.ts';
import { compactPartition, mergeSegments } from './compaction.ts';
import { syncPaths } from './durable-files.ts';
import { FileCache } from './file-cache.ts';
import { unwritable } from './fs-errors.ts';
import { from, groupFrame, own } from './group-frame.ts';
import type { Journal } from './journal.ts';
import { FrameWriter, frameSeed, writeReplace, writeTable, writeTrim, type PartitionState } from './journal-format.ts';
import type { Lock } from './lock.ts';
import { upgradeManifest } from './manifest.ts';
import { PartitionWriter, type Placement, type SegmentLimits } from './partition-writer.ts';
import { Rewrites } from './rewrites.ts';
import type { Rewritten } from './segment-rewriter.ts';
import { addPartitions, makeTopic, markDeleted, refuseOptions, removeTopic } from './topic-files.ts';
import { partitionOf } from '../murmur2.ts';
import type { Slice } from '../../runtime/slice.ts';
import type { RecoveryReport, Recovered } from './recovery.ts';

export interface WriterOptions {
  readonly directory: string;
  readonly logId: string;
  readonly lock: Lock;
  readonly shared: SharedArrayBuffer;
  readonly topics: readonly TopicSpec[];
  readonly recovered: Recovered;
  readonly limits: SegmentLimits;
  /** Bytes after which a new journal file is begun. */
  readonly journalSize: number;
}

/** What a reader fetches at a time: a batch comes whole, and one that is cut off is read again. */
const maxBatch = 256 << 10;

/**
 * The writer of an embedded log. An append goes to the journal with one fdatasync, then to the topic files, and is then
 * published. At a certain size a new journal file is begun; the old one goes as soon as all that it holds is durable in the
 * topic files. An error of the disk ends the writer for good: after a failed sync nobody knows what is on the disk, and
 * asking again on the same file would be told that all is well.
 */
export class EmbeddedLogWriter implements LogWriter {
  readonly logId: string;
  readonly shared: SharedArrayBuffer;
  /** What opening found. */
  readonly recovery: RecoveryReport;
  readonly #options: WriterOptions;
  readonly #journal: Journal;
  readonly #topics = new Map<string, PartitionWriter[]>();
  readonly #files = new FileCache('r+', 512);
  readonly #dirty = new Set<string>();
  readonly #pool = new BufferPool(32 * 1024 * 1024);
  readonly #frame: FrameWriter;
  readonly #published: Int32Array;
  #busy: Promise<unknown> = Promise.resolve();
  #syncing: Promise<void> | undefined;
  #failure: TailraceError | undefined;
  #closing: Promise<void> | undefined;
  readonly #rewrites: Rewrites;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.logId = options.logId;
    this.shared = options.shared;
    this.recovery = options.recovered.report;
    this.#journal = options.recovered.journal;
    this.#frame = new FrameWriter(frameSeed(options.logId));
    this.#published = new Int32Array(options.shared);
    this.#rewrites = new Rewrites(options.directory, (writer, made) => this.#replace(writer, made));
    const states = new Map(options.recovered.states.map((state) => [`${state.topic}/${state.partition}`, state]));
    for (const topic of options.topics) this.#load(topic, states);
  }

  topics(): readonly TopicSpec[] {
    return [...this.#topics].map(([topic, partitions]) => ({ topic, partitions: partitions.length }));
  }

  range(topic: string, partition: number): OffsetRange {
    const { start, end } = this.#partition(topic, partition).state;
    return { start, end };
  }

  /** One: here nothing is faster with several. */
  partitionsFor(): number {
    return 1;
  }

  partitionOf(key: Slice, partitions: number): number {
    return partitionOf(key, partitions);
  }

  async size(): Promise<number> {
    return [...this.#topics.values()].flat().reduce((sum, partition) => sum + partition.bytes, 0);
  }

  batch(topic: string, partition: number): RecordBatchBuilder {
    const { stamp } = this.#partition(topic, partition);
    return new RecordBatchBuilder({ topic, partition, stamp, maxBatch }, this.#pool);
  }

  createTopic(spec: TopicSpec, options: TopicOptions = {}): Promise<void> {
    refuseOptions(options);
    return this.#alone(async () => {
      const existing = this.#topics.get(spec.topic)?.length;
      if (existing === spec.partitions) return;
      if (existing !== undefined) {
        throw new TailraceError('config-invalid', `topic ${spec.topic} has ${existing} partitions, not ${spec.partitions}`);
      }
      await this.#toDisk(() => makeTopic(this.#options.directory, spec));
      this.#load(spec, new Map());
    });
  }

  alterTopic(topic: string, { partitions, settings }: TopicChange): Promise<void> {
    refuseOptions({ settings });
    return this.#alone(async () => {
      const writers = this.#topics.get(topic);
      if (writers === undefined) throw new TailraceError('internal', `there is no topic ${topic}`);
      if (partitions === undefined || partitions === writers.length) return;
      if (partitions < writers.length) throw new TailraceError('log-settings', `the topic ${topic} has ${writers.length} partitions, and partitions cannot be taken away`, { remedy: 'Make another topic.' });
      await this.#toDisk(() => addPartitions(this.#options.directory, { topic, partitions }));
      const states = new Map(writers.map(({ state }) => [`${topic}/${state.partition}`, state]));
      this.#load({ topic, partitions }, states);
    });
  }

  /** It is marked first; then the journal must know nothing of it any more, because opening redoes the journal; then it goes. */
  deleteTopic(topic: string): Promise<void> {
    return this.#alone(async () => {
      const writers = this.#topics.get(topic);
      if (writers === undefined) return;
      await this.#toDisk(async () => {
        await this.#syncing;
        if (this.#failure !== undefined) throw this.#failure;
        await markDeleted(this.#options.directory, topic);
        failpoint('log.delete_marked');
        this.#topics.delete(topic);
        const { dirty, old } = await this.#rotate();
        await syncPaths(dirty);
        failpoint('log.delete_rotated');
        await old.remove();
        failpoint('log.delete_unknown');
        for (const writer of writers) writer.forgetFiles();
        await removeTopic(this.#options.directory, topic);
        this.#publish();
      });
    });
  }

  append(data: readonly BatchBuilder[], follow?: (placed: readonly LogPlacement[]) => readonly BatchBuilder[]): Promise<readonly LogPlacement[]> {
    return this.#alone(async () => {
      const placements: Placement[] = [];
      const planned = new Set<PartitionWriter>();
      const builders = data.map(own);
      const placed = builders.map((builder) => from(this.#place(builder, placements, planned)));
      const following = (follow?.(placed) ?? []).map(own);
      const followingPlaced = following.map((builder) => from(this.#place(builder, placements, planned)));
      if (placements.length > 0) await this.#toDisk(() => this.#write(placements));
      for (const builder of [...builders, ...following]) builder.release();
      return followingPlaced;
    });
  }

  trim(topic: string, partition: number, offset: number): Promise<void> {
    return this.#letGo(topic, partition, (writer) => writer.planTrim(offset));
  }

  /** From the plan's start on; its base is that of the active segment, where that is a new one. */
  #letGo(topic: string, partition: number, planned: (writer: PartitionWriter) => { readonly start: number; readonly base: number } | undefined): Promise<void> {
    return this.#alone(async () => {
      const writer = this.#partition(topic, partition);
      const plan = planned(writer);
      if (plan === undefined) return;
      await this.#toDisk(async () => {
        await this.#journal.append(writeTrim(this.#frame, { topic, partition, ...plan }, this.#journal.sequence + 1));
        writer.trim(plan);
        this.#publish();
      });
    });
  }

  roll(topic: string, partition: number): void {
    this.#partition(topic, partition).rollNext();
  }

  async compact(topic: string, partition: number, of: Compaction): Promise<Rewriting> {
    if (of.roll === true) await this.#letGo(topic, partition, ({ state: { start, end, size } }) => (size > 0 ? { start, base: end } : undefined));
    return this.#rewrites.run(this.#partition(topic, partition), (rewriter) => compactPartition(rewriter, of));
  }

  merge(topic: string, partition: number, least: number): Promise<Rewriting> {
    return this.#rewrites.run(this.#partition(topic, partition), (rewriter) => mergeSegments(rewriter, least));
  }

  close(): Promise<void> {
    this.#rewrites.stop();
    return (this.#closing ??= this.#close());
  }

  /** After all that was asked for before. */
  async #close(): Promise<void> {
    await this.#busy;
    await this.#rewrites.settled;
    try {
      await this.#syncing;
      if (this.#failure === undefined && this.#dirty.size > 0) {
        const { dirty, old } = await this.#rotate();
        await syncPaths(dirty);
        await old.remove();
      }
    } catch (error) {
      throw unwritable(error, this.#options.directory);
    } finally {
      this.#files.close();
      this.#journal.close();
      this.#options.lock.release();
    }
  }

  /** False when what it was made of is not there any more. */
  #replace(writer: PartitionWriter, made: Rewritten): Promise<boolean> {
    return this.#alone(async () => {
      // The topic may be gone, or have been changed.
      if (this.#topics.get(writer.topic)?.[writer.partition] !== writer || !writer.canReplace(made)) return false;
      await this.#toDisk(async () => {
        if (made.hasGaps) await upgradeManifest(this.#options.directory);
        await this.#journal.append(writeReplace(this.#frame, { topic: writer.topic, partition: writer.partition, ...made }, this.#journal.sequence + 1));
        failpoint('log.replace_journaled');
        writer.replace(made);
      });
      return true;
    });
  }

  /** One operation after the other, whoever calls. */
  #alone<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(new TailraceError('internal', 'the log was closed before'));
    const done = this.#busy.then(() => {
      if (this.#failure !== undefined) throw this.#failure;
      return operation();
    });
    this.#busy = done.catch(() => undefined);
    return done;
  }

  /** The first error within is the writer's last. */
  async #toDisk(operation: () => Promise<void> | void): Promise<void> {
    try {
      await operation();
    } catch (error) {
      this.#failure ??= unwritable(error, this.#options.directory);
      throw this.#failure;
    }
  }

  /** Data stands before what follows: a reader that sees an END finds the events that it names. */
  async #write(placements: readonly Placement[]): Promise<void> {
    await this.#rotateIfDue();
    await this.#journal.append(groupFrame(this.#frame, placements, this.#journal.sequence + 1));
    failpoint('log.synced_unpublished');
    for (const placement of placements) {
      placement.partition.write(placement);
      failpoint('log.topic_half_written');
    }
    this.#publish();
  }

  #place(builder: RecordBatchBuilder, placements: Placement[], planned: Set<PartitionWriter>): number {
    const partition = this.#partition(builder.topic, builder.partition);
    if (!planned.has(partition)) partition.beginPlan();
    planned.add(partition);
    const base = partition.plannedEnd;
    for (const batch of builder.finish()) placements.push(partition.place(batch));
    return base;
  }

  #publish(): void {
    Atomics.add(this.#published, 0, 1);
    Atomics.notify(this.#published, 0);
  }

  async #rotateIfDue(): Promise<void> {
    if (this.#journal.size < this.#options.journalSize || this.#syncing !== undefined) return;
    const { dirty, old } = await this.#rotate();
    this.#syncing = syncPaths(dirty)
      .then(() => old.remove())
      .catch((error: unknown) => {
        this.#failure ??= unwritable(error, this.#options.directory);
      })
      .finally(() => {
        this.#syncing = undefined;
      });
  }

  async #rotate(): Promise<{ dirty: readonly string[]; old: { remove: () => Promise<void> } }> {
    const states = [...this.#topics.values()].flat().filter((partition) => partition.hasSegments);
    const table = writeTable(this.#frame, states.map((partition) => partition.state), this.#journal.sequence);
    const old = await this.#journal.rotate(table);
    const dirty = [...this.#dirty];
    this.#dirty.clear();
    return { dirty, old };
  }

  #load({ topic, partitions }: TopicSpec, states: ReadonlyMap<string, PartitionState>): void {
    const { directory, logId, limits } = this.#options;
    const context = { directory, logId, limits, files: this.#files, dirty: this.#dirty };
    const stateOf = (partition: number): PartitionState => states.get(`${topic}/${partition}`) ?? { topic, partition, start: 0, end: 0, base: 0, size: 0, lastBatchAt: -1 };
    this.#topics.set(topic, Array.from({ length: partitions }, (_, partition) => new PartitionWriter(context, stateOf(partition))));
  }

  #partition(topic: string, partition: number): PartitionWriter {
    const found = this.#topics.get(topic)?.[partition];
    if (found === undefined) throw new TailraceError('internal', `topic ${topic} has no partition ${partition}`);
    return found;
  }
}

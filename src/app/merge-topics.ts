import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { Lead, Log, LogReader, TopicSpec } from '../log/log.ts';
import { isMerged, lastMark, sameSource, type MergeMark, type RecordsMark, type TransactionsMark } from '../pipeline/merge/mark.ts';
import { Merger } from '../pipeline/merge/merger.ts';
import type { MergedRecord, MergeSource } from '../pipeline/merge/merge-source.ts';
import { RecordsSource } from '../pipeline/merge/records-source.ts';
import { ForeignShapes, MergedShapes } from '../pipeline/merge/shapes.ts';
import { TransactionSource } from '../pipeline/merge/transaction-source.ts';
import { headerName, HeaderReader } from '../pipeline/record-header.ts';
import { topicNames } from '../pipeline/topics.ts';
import { createLog, everyCodec } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import { failpoint } from '../runtime/failpoint.ts';
import { commandLogger, silentLogger } from '../runtime/logger.ts';
import { shortened } from '../runtime/printable.ts';
import type { Slice } from '../runtime/slice.ts';
import { LogDoor } from './log-door.ts';
import { logIdOf, SourceLogs, type FoundSource, type SourceSpec } from './merge-sources.ts';
import { requireName } from './topic-changes.ts';
import { kindOf } from './topic-kind.ts';
import { topicOwner } from './topics.ts';

export interface MergeOrder {
  readonly sources: readonly SourceSpec[];
  readonly into: string;
  readonly runtimeFolder: string | undefined;
  readonly onProgress: (records: number, part: number) => void;
  /** Another merge into the topic has been at work for some seconds (Kafka). */
  readonly onWaiting: () => void;
}

export interface MergedSize {
  readonly topic: string;
  /** Where it is, if that is a folder that was named. */
  readonly folder: string | null;
  readonly records: number;
  readonly bytes: number;
  readonly segments: number | null;
}

export interface Merged {
  readonly topic: string;
  /** Records that this run has added. */
  readonly merged: number;
  readonly sources: readonly MergedSize[];
  readonly before: MergedSize;
  readonly after: MergedSize;
}

/** Longer than Kafka takes to let a first member in. */
const waitingAfter = 5000;

/**
 * Merges topics into one that people could produce to, in the order of commits. What the sources have when it begins is merged; the next run goes on
 * behind it. It may be cut off anywhere: how far it came stands in the merged topic itself, with the records.
 */
export async function mergeTopics(configs: readonly PipelineConfig[], order: MergeOrder): Promise<Merged> {
  const { config, topic } = topicOwner(configs, order.into);
  const kind = kindOf(config.name, topic);
  if (kind !== 'produced') {
    throw new TailraceError('usage', `${shortened(topic, 80)} is a name for a topic that the pipeline ${config.name} writes itself`, { remedy: `Merge into a topic without a dot behind the pipeline's name, for example ${config.name}.all.` });
  }
  requireName(topic);
  const logs = new SourceLogs(configs);
  const door = new LogDoor(config, order.runtimeFolder);
  let lead: Lead | null = null;
  try {
    const into = await logs.of(config);
    const sources: FoundSource[] = [];
    for (const spec of order.sources) sources.push(...(await logs.find(spec)));
    const log = await createLog(config.log, { pipeline: config.name, logger: commandLogger });
    const formats = new Map((await everyCodec({ pipeline: config.name, logger: silentLogger })).map(({ id, name }) => [id, name] as const));
    const merge = new TopicMerge({ config, topic, reader: into.reader, door, sources, formats, isShared: log.writers === 'many', logId: await logIdOf(into.reader, config.name) });
    await merge.check();
    lead = await takeTurn(log, `merge.${topic.slice(config.name.length + 1)}`, order.onWaiting);
    return await merge.run(lead.lost, order.onProgress);
  } finally {
    await lead?.release();
    await door.close();
    await logs.close();
  }
}

/** One merge at a time into a topic: on Kafka, where many may write. On the embedded log each append asks for the end that it expects. */
async function takeTurn(log: Log, task: string, onWaiting: () => void): Promise<Lead> {
  const timer = setTimeout(onWaiting, waitingAfter);
  try {
    return await log.lead(task, new AbortController().signal);
  } finally {
    clearTimeout(timer);
  }
}

interface Parts {
  readonly config: PipelineConfig;
  readonly topic: string;
  /** Of the log that is merged into. */
  readonly reader: LogReader;
  readonly logId: string;
  readonly door: LogDoor;
  /** Where many may write, each append looks where the topic ends; else whoever writes does. */
  readonly isShared: boolean;
  readonly sources: readonly FoundSource[];
  /** The formats' names by the number that stands in records. */
  readonly formats: ReadonlyMap<number, string>;
}

/** What is merged of one writer: the topics of all arguments that are its. */
interface OwnSource extends FoundSource {
  readonly isForeign: boolean;
}

class TopicMerge {
  readonly #parts: Parts;
  readonly #sources: readonly OwnSource[];

  constructor(parts: Parts) {
    this.#parts = parts;
    const byWriter = Map.groupBy(parts.sources, ({ kind, name }) => `${kind} ${name.log} ${name.writer}`);
    this.#sources = [...byWriter.keys()].toSorted().map((key) => {
      const [first, ...more] = byWriter.get(key) as [FoundSource, ...FoundSource[]];
      const all = [first, ...more];
      const patterns = all.flatMap(({ name }) => name.topics).toSorted();
      const twice = patterns.find((pattern, i) => pattern === patterns[i - 1]);
      if (twice !== undefined) throw new TailraceError('usage', `${shortened(twice, 80)} is named twice`);
      const topics = new Map(all.flatMap((source) => source.topics.map((spec) => [spec.topic, spec] as const)));
      return { ...first, name: { ...first.name, topics: patterns }, topics: [...topics.values()], isForeign: first.name.log !== parts.logId };
    });
  }

  /** Everything that can be wrong with what is to be merged, before anything is written. */
  async check(): Promise<void> {
    const { topic } = this.#parts;
    if (this.#sources.some(({ isForeign, name }) => !isForeign && name.writer === topic)) throw new TailraceError('usage', `${shortened(topic, 80)} cannot be merged into itself`);
    let known: { readonly topic: string; readonly codec: number } | null = null;
    for (const { log, topics, isForeign } of this.#sources) {
      for (const spec of topics) {
        const codec = await codecOf(log.reader, spec);
        if (codec === null) continue;
        if (known !== null && known.codec !== codec) this.#refuseFormat(spec.topic, codec, `those of ${shortened(known.topic, 80)} in`, known.codec);
        if (isForeign && this.#parts.formats.get(codec) === 'avro') {
          throw new TailraceError('usage', `the events of ${shortened(spec.topic, 80)} are in Avro, and of another log: they name their schemas by the ids of a registry that may be another`, { remedy: 'Merge them into a topic of their own log.' });
        }
        known = { topic: spec.topic, codec };
      }
    }
  }

  async run(lost: AbortSignal, onProgress: MergeOrder['onProgress']): Promise<Merged> {
    const { topic, door } = this.#parts;
    // Also where the topic is there: what a writer that died has left in the journal is in the topic only once a writer has opened the log.
    await door.ask({ do: 'create', topic, partitions: 1, replication: null, settings: {} });
    failpoint('merge.topic_made');
    const { mark, end } = await this.#state();
    const before = await this.#size();
    const sizes = (await Promise.all(this.#sources.map((source) => sizesOf(source)))).flat();
    const merger = new Merger({
      sources: await this.#open(mark), codec: mark?.codec ?? null, end, onProgress,
      append: (records, at) => this.#append(records, at, lost),
      refuseFormat: (of, codec, known) => this.#refuseFormat(of, codec, 'what was merged before in', known),
    });
    const merged = await merger.run();
    return { topic, merged, sources: sizes, before, after: await this.#size() };
  }

  #refuseFormat(topic: string, codec: number, others: string, known: number): never {
    const name = (id: number): string => this.#parts.formats.get(id) ?? `number ${id}`;
    throw new TailraceError('log-other-format', `the events of ${shortened(topic, 80)} are written as ${name(codec)}, and ${others} ${name(known)}`, { remedy: 'Topics are merged with others of their format only.' });
  }

  /** What the merged topic says: where it ends, and up to where each source is in it. */
  async #state(): Promise<{ readonly mark: MergeMark | null; readonly end: number }> {
    const { reader, topic } = this.#parts;
    const spec = (await reader.topics()).find((each) => each.topic === topic);
    if (spec !== undefined && spec.partitions !== 1) throw new TailraceError('usage', `${shortened(topic, 80)} has ${spec.partitions} partitions, over which there is no order`, { remedy: 'Merge into a topic with one, or one that is not there yet.' });
    const { start, end } = await reader.range(topic, 0);
    if (end === 0) return { mark: null, end };
    if (start === end) throw ofAnother(topic, 'is empty by now, and what it held said up to where it was merged');
    const mark = await lastMark(reader, topic);
    if (mark === null) {
      // On Kafka, where a topic takes less than an append at once and the merge was killed within.
      const isCut = await isMerged(reader, topic);
      throw isCut ? ofAnother(topic, 'ends within an append: it takes smaller batches than a merge writes (max.message.bytes)', 'Delete it and merge again; 1 MiB is enough.') : ofAnother(topic, 'holds records that no merge has put there');
    }
    this.#compare(mark);
    return { mark, end };
  }

  #compare({ sources }: MergeMark): void {
    const same = sources.length === this.#sources.length && sources.every((mark, i) => sameSource(mark, (this.#sources[i] as OwnSource).name));
    if (same) return;
    const names = sources.flatMap((mark) => mark.topics.map((name) => (mark.log === this.#parts.logId ? name : `${name} of the log ${mark.log}`)));
    throw ofAnother(this.#parts.topic, `was merged from ${names.map((name) => shortened(name, 80)).join(', ')}`);
  }

  async #open(mark: MergeMark | null): Promise<readonly MergeSource[]> {
    const { config, reader } = this.#parts;
    const shapes = new MergedShapes(reader, topicNames(config.name).mergedShapes);
    return Promise.all(this.#sources.map((source, i) => {
      const { log, name, isForeign } = source;
      const known = mark?.sources[i] ?? null;
      if (source.kind === 'records') return RecordsSource.open({ reader: log.reader, name, isForeign, mark: known as RecordsMark | null });
      const others = isForeign || name.writer !== config.name;
      const foreign = others ? new ForeignShapes(log.reader, topicNames(name.writer).schema, (digest, record) => this.#addShape(shapes, digest, record)) : null;
      return TransactionSource.open({ reader: log.reader, name, isForeign, mark: known as TransactionsMark | null, shapes: foreign });
    }));
  }

  async #append(records: readonly MergedRecord[], end: number, lost: AbortSignal): Promise<void> {
    lost.throwIfAborted();
    const { topic, door, reader, isShared } = this.#parts;
    // A process that was frozen for long knows neither that its turn has passed nor where the topic ends by now.
    if (isShared && (await reader.range(topic, 0)).end !== end) throw overtaken(topic);
    const reply = await door.ask({ do: 'append', topic, end, records: records.map(written) });
    if (!reply.done && reply.end === undefined) throw new TailraceError('usage', `the topic ${shortened(topic, 80)} was deleted`);
    if (reply.end !== end + records.length) throw overtaken(topic);
  }

  async #addShape(shapes: MergedShapes, digest: Uint8Array, record: Uint8Array): Promise<void> {
    if (await shapes.has(digest)) return;
    const { config, door } = this.#parts;
    const topic = topicNames(config.name).mergedShapes;
    await door.ask({ do: 'create', topic, partitions: 1, replication: null, settings: {} });
    await door.ask({ do: 'append', topic, records: [written({ timestamp: Date.now(), key: digest, value: record, headers: [], codec: null, topic })] });
    failpoint('merge.shape_written');
  }

  async #size(): Promise<MergedSize> {
    const { reader, topic } = this.#parts;
    return sizeOf(reader, { topic, partitions: 1 }, null);
  }
}

function written({ timestamp, key, value, headers }: MergedRecord): { timestamp: number; key: string | null; value: string | null; headers: [string, string][]; partition: number } {
  return { timestamp, key: base64(key), value: base64(value), headers: headers.map(([name, content]) => [name, base64(content) ?? '']), partition: 0 };
}

function base64(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function sizesOf({ log, topics }: FoundSource): Promise<readonly MergedSize[]> {
  return Promise.all(topics.map((spec) => sizeOf(log.reader, spec, log.folder)));
}

async function sizeOf(reader: LogReader, spec: TopicSpec, folder: string | null): Promise<MergedSize> {
  const sizes = await reader.sizes(spec);
  const ranges = await Promise.all(sizes.map((_, partition) => reader.range(spec.topic, partition)));
  const segments = sizes.reduce<number | null>((sum, size) => (sum === null || size.segments === null ? null : sum + size.segments), 0);
  return { topic: spec.topic, folder, records: ranges.reduce((sum, { start, end }) => sum + end - start, 0), bytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0), segments };
}

/** Of the first event that a topic holds; null for one without events. */
async function codecOf(reader: LogReader, { topic, partitions }: TopicSpec): Promise<number | null> {
  const slice: Slice = { bytes: new Uint8Array(0), start: -1, end: -1 };
  for (let partition = 0; partition < partitions; partition++) {
    const { start, end } = await reader.range(topic, partition);
    if (start >= end) continue;
    const cursor = await reader.fetch(topic, partition, start, 1);
    while (cursor.next()) if (cursor.header(headerName, slice)) return new HeaderReader().reset(slice).codec;
  }
  return null;
}

function overtaken(topic: string): TailraceError {
  return ofAnother(topic, 'is being written by somebody else, another merge perhaps', 'Run it again when that is done: it goes on where the topic is.');
}

function ofAnother(topic: string, what: string, remedy?: string): TailraceError {
  return new TailraceError('topic-of-another', `${shortened(topic, 80)} ${what}`, remedy === undefined ? {} : { remedy });
}

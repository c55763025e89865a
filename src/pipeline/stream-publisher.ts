import { randomBytes } from 'node:crypto';
import type { Codec } from '../codec/codec.ts';
import { tableName, type TableShape } from '../event/table.ts';
import type { LogReader, LogWriter } from '../log/log.ts';
import { encodeControl } from './control-json.ts';
import { origin, type EndRecord, type Place, type SchemaTopicRecord, type StartRecord } from './control-records.ts';
import type { CopyAsk } from './copy-jobs.ts';
import { CurrentStart } from './current-start.ts';
import { EventEncoder, Target } from './event-encoder.ts';
import { appendRecord, controlDraft, Group, type Written } from './group.ts';
import { ProgressReader, readSchemaState, type LogProgress } from './log-state.ts';
import { startIdText } from './record-header.ts';
import { copyRecord, endMark, rowChange, standingAsks, wholeAt, type StreamChange } from './stream-records.ts';
import type { Retained } from './retention.ts';
import { SchemaVersions } from './schema-versions.ts';
import { StartGuard } from './start-guard.ts';
import type { TopicNames } from './topics.ts';
import type { Turnstile } from './turnstile.ts';

export interface StreamPublisherOptions {
  readonly pipeline: string;
  readonly stream: string;
  readonly topics: TopicNames;
  readonly writer: LogWriter;
  readonly reader: LogReader;
  readonly codec: Codec;
  /** Appends are not concurrent. */
  readonly turns: Turnstile;
  /** Those that follow the stream's outputs. */
  readonly sinks: readonly string[];
  readonly isOnlyWriter: boolean;
}

/** What a stream takes its topics with. */
export interface StreamOpening {
  readonly shapes: readonly TableShape[];
  /**
   * Of the input, as its START has it: a stream's topics are of the same log. A writer of Kafka has only the id that a log would have that
   * begins with it, and where the log is moved to a folder that has one id for all, sinks of the stream would not go on.
   */
  readonly logId: string;
  /** Of the source, as the input's START has it. */
  readonly systemIdentifier: string;
  /** The stream has no past: what its topics hold counts no longer. */
  readonly anew: boolean;
  /** Its tables are no replica's: nobody asks whether they are complete. */
  readonly internal?: boolean;
}

/** The step that changes are of: the place in the pipeline's own log up to which it is computed. */
export interface StreamStep {
  readonly place: Place;
  /** Microseconds since 1970, by the source's clock. */
  readonly commitTime: bigint;
}

/**
 * Writes what a stream computes, by the protocol of any publisher: START when it takes its topics, a step's changes, END (ADR 60). The
 * commit LSN of an END is the input's, and `input` says its whole place: what was published last is told by the log alone.
 */
export class StreamPublisher implements Retained {
  readonly #options: StreamPublisherOptions;
  readonly #encoder: EventEncoder;
  readonly #versions: SchemaVersions;
  readonly #targets = new Map<string, Target>();
  readonly #start: CurrentStart;
  /** Where others may write to the topics, too. */
  #guard: StartGuard | null = null;
  #group: Group;
  #last: Place;
  #input: Place | null;
  #asks: readonly CopyAsk[] = [];
  /** Ordinal of the step's next change; null between two steps. */
  #ordinal: number | null = null;

  private constructor(options: StreamPublisherOptions, from: { readonly start: CurrentStart; readonly end: EndRecord | null; readonly versions: SchemaVersions }) {
    this.#options = options;
    this.#encoder = new EventEncoder(options.codec, { pipeline: options.pipeline, database: options.stream }, (key, partitions) => options.writer.partitionOf(key, partitions));
    this.#versions = from.versions;
    this.#start = from.start;
    this.#last = from.end ?? origin;
    this.#input = from.end?.input ?? null;
    this.#group = this.#newGroup();
  }

  /**
   * Takes the stream's topics with a START. A stream that begins anew says so as a gap that is let pass: whoever reads its outputs
   * begins anew too, with tables that are emptied first. An output that is new is complete, and empty, from here on.
   */
  static async open(options: StreamPublisherOptions, of: StreamOpening): Promise<StreamPublisher> {
    const { writer, topics, turns } = options;
    const specs = [topics.transaction, topics.schema, ...of.shapes.map((shape) => topics.events(shape))].map((topic) => ({ topic, partitions: 1 }));
    await turns.take(async () => {
      for (const spec of specs) await writer.createTopic(spec);
    });
    for (;;) {
      const taken = await StreamPublisher.#take(options, of);
      if (taken !== null) return taken;
    }
  }

  /** Null where somebody else wrote between what was read and the START: it is void, or continues from another END than was thought. */
  static async #take(options: StreamPublisherOptions, of: StreamOpening): Promise<StreamPublisher | null> {
    const { writer, reader, topics } = options;
    const progress = new ProgressReader(reader, topics);
    const found = await progress.read();
    const { start: before, end } = found;
    const { versions: records, copies } = await readSchemaState(reader, topics);
    const start: StartRecord = {
      type: 'start', logId: before?.logId ?? of.logId, epoch: (before?.epoch ?? 0) + 1, startId: startIdText(randomBytes(8)), systemIdentifier: of.systemIdentifier, timeline: 1,
      slot: options.stream, tables: of.shapes.map(tableName), continues: end && { epoch: end.epoch, commitLsn: end.commitLsn, endLsn: end.endLsn },
      gap: of.anew && before !== null ? 'the stream was begun anew' : null,
    };
    const versions = new SchemaVersions(records);
    versions.enterEpoch(start.epoch);
    const current = new CurrentStart(start, writer.range(topics.transaction, 0).end);
    const publisher = new StreamPublisher(options, { start: current, end: start.gap === null ? end : null, versions });
    publisher.#group.start(start);
    if (start.gap !== null) publisher.#last = { epoch: start.epoch, commitLsn: 0n };
    const known = new Set([...copies.values()].map(({ table }) => table));
    for (const shape of of.shapes) {
      await publisher.#target(shape);
      if (of.internal !== true && (start.gap !== null || !known.has(tableName(shape)))) publisher.#beginTable(shape, { empties: known.has(tableName(shape)) });
    }
    // An END by which whoever goes on from here knows where the chain begins anew, though there is nothing yet.
    if (of.internal === true && start.gap !== null) publisher.#group.end({ end: publisher.#endAt(0n, { commitTime: 0n, snapshot: null, input: null }), extents: [] });
    const written = await publisher.#append();
    if (!options.isOnlyWriter && written !== null) {
      if (!isSame(found, await progress.read(written.first - 1))) return null;
      publisher.#guard = new StartGuard(reader, topics.transaction, { start, offset: written.last });
    }
    publisher.#asks = await standingAsks(options, await readSchemaState(reader, topics));
    return publisher;
  }

  /** What sinks had asked for before, and no copy has answered. */
  get asks(): readonly CopyAsk[] {
    return this.#asks;
  }

  get reader(): LogReader {
    return this.#options.reader;
  }

  get writer(): LogWriter {
    return this.#options.writer;
  }

  get isOnlyWriter(): boolean {
    return this.#options.isOnlyWriter;
  }

  get start(): CurrentStart {
    return this.#start;
  }

  exclusively<T>(work: (writer: LogWriter) => Promise<T>): Promise<T> {
    return this.#options.turns.take(() => work(this.#options.writer));
  }

  /** Up to where in the input what is durable here was computed; null for nothing. */
  get input(): Place | null {
    return this.#input;
  }

  /** Begins a step with nothing of it yet, and tells by what its END will be known. */
  begin(step: StreamStep): string {
    this.#begin(step);
    return endMark({ startId: this.#start.record.startId, commitLsn: step.place.commitLsn });
  }

  /** Some of a step's changes; once its `last` ones are durable, all of them are visible. */
  async publish(changes: readonly StreamChange[], step: StreamStep, last: boolean): Promise<void> {
    if (this.#ordinal === null) this.#begin(step);
    await this.#add(changes);
    if (last) this.#end(step);
    await this.#append();
  }

  /** Some of what stands for all that was written before, between two steps; in an epoch of its own, because the input has not moved. */
  async publishWhole(changes: readonly StreamChange[], last: boolean): Promise<void> {
    if (this.#ordinal === null) {
      this.#renew();
      this.#beginAt(wholeAt, 0n);
    }
    await this.#add(changes);
    if (last) {
      this.#ordinal = null;
      this.#group.end({ end: this.#endAt(wholeAt, { commitTime: 0n, snapshot: null, input: this.#input }), extents: this.#encoder.extents() });
    }
    await this.#append();
  }

  async #add(changes: readonly StreamChange[]): Promise<void> {
    let ordinal = this.#ordinal ?? 0;
    for (const change of changes) this.#encoder.row(this.#group, await this.#target(change.shape), rowChange(change, ordinal++));
    this.#ordinal = ordinal;
  }

  /**
   * Some of the rows that an output has now, for the sink that asked; between two steps. With the `last` of them the copy is complete: one
   * transaction that begins with a truncate and that other sinks leave out, in an epoch of its own, because the input has not moved.
   */
  async publishCopy(ask: CopyAsk, piece: { readonly shape: TableShape; readonly rows: readonly Uint8Array[]; readonly last: boolean }): Promise<void> {
    const { shape, rows, last } = piece;
    const target = await this.#target(shape);
    if (this.#ordinal === null) {
      this.#renew();
      this.#beginAt(1n, 0n);
      this.#encoder.truncate(this.#group, target, { op: 't', tables: [shape], ordinal: 0, cascade: false, restartIdentity: false });
      this.#ordinal = 1;
    }
    let ordinal = this.#ordinal ?? 0;
    for (const row of rows) this.#encoder.row(this.#group, target, { op: 'r', table: shape, ordinal: ordinal++, bytes: row, oldKind: 'none', oldAt: -1, newAt: 0, end: row.length });
    this.#ordinal = ordinal;
    if (last) {
      this.#ordinal = null;
      this.#endCopy(shape, { sink: ask.sink, ask: ask.id, commitLsn: 1n });
    }
    await this.#append();
  }

  #begin({ place, commitTime }: StreamStep): void {
    // Commit LSNs of two epochs of the input are not to be compared: what is read after them is above by an epoch of our own. So is a copy at
    // the beginning of an input that is itself a stream's: it stands where this one's outputs began.
    const isNotAbove = this.#last.epoch === this.#start.record.epoch && place.commitLsn <= this.#last.commitLsn;
    if (this.#start.isDue || isNotAbove || (this.#input !== null && place.epoch !== this.#input.epoch)) this.#renew();
    this.#beginAt(place.commitLsn, commitTime);
  }

  #beginAt(commitLsn: bigint, commitTime: bigint): void {
    this.#ordinal = 0;
    this.#encoder.begin({ op: 'begin', commitLsn, commitTime, xid: 0 }, this.#start.idBytes, this.#start.record.epoch);
  }

  #end({ place, commitTime }: StreamStep): void {
    this.#ordinal = null;
    const extents = this.#encoder.extents();
    this.#input = place;
    if (extents.length === 0) return;
    this.#group.end({ end: this.#endAt(place.commitLsn, { commitTime, snapshot: null, input: place }), extents });
  }

  /** An output begins, with nothing in it: a complete copy without a row, so that readers know it for whole. */
  #beginTable(shape: TableShape, { empties }: { readonly empties: boolean }): void {
    // Below every commit LSN of a server, and above whatever this START has written before.
    const commitLsn = this.#last.epoch === this.#start.record.epoch ? this.#last.commitLsn + 1n : 1n;
    this.#beginAt(commitLsn, 0n);
    const target = this.#targets.get(tableName(shape));
    if (empties && target !== undefined) this.#encoder.truncate(this.#group, target, { op: 't', tables: [shape], ordinal: 0, cascade: false, restartIdentity: false });
    this.#ordinal = null;
    this.#endCopy(shape, { sink: null, ask: null, commitLsn });
  }

  #endCopy(shape: TableShape, of: { readonly sink: string | null; readonly ask: string | null; readonly commitLsn: bigint }): void {
    const { sink, ask, commitLsn } = of;
    const { startId, epoch } = this.#start.record;
    const place = { epoch, commitLsn };
    const id = `${startId}:${commitLsn}`;
    this.#addSchemaRecord(copyRecord(shape, { id, sink, ask, place }));
    const snapshot = { record: id, table: tableName(shape), first: true, last: true, sink };
    this.#group.end({ end: this.#endAt(commitLsn, { commitTime: 0n, snapshot, input: this.#input }), extents: this.#encoder.extents() });
  }

  #endAt(commitLsn: bigint, of: Pick<EndRecord, 'commitTime' | 'snapshot' | 'input'>): Omit<EndRecord, 'parts'> {
    const { startId, epoch } = this.#start.record;
    const end = { type: 'end' as const, startId, epoch, commitLsn, endLsn: commitLsn, previous: this.#last, ...of };
    this.#last = { epoch, commitLsn };
    return end;
  }

  #renew(): void {
    const { writer, topics } = this.#options;
    const start = this.#start.renew({ ...this.#last, endLsn: this.#last.commitLsn }, writer.range(topics.transaction, 0).end);
    this.#versions.enterEpoch(start.epoch);
    this.#group.start(start);
  }

  async #target(shape: TableShape): Promise<Target> {
    const known = this.#targets.get(tableName(shape));
    if (known !== undefined) return known;
    const { codec, topics, writer, turns } = this.#options;
    const topic = topics.events(shape);
    const registered = await codec.prepare?.(shape, topic, this.#versions.registered());
    const { schema, record } = this.#versions.of(shape, registered);
    if (record !== null && registered === undefined) this.#addSchemaRecord(record);
    else if (record !== null) await turns.take(() => appendRecord(writer, topics.schema, { value: encodeControl(record) }));
    const target = new Target(schema, topic, { partitions: 1 });
    this.#targets.set(tableName(shape), target);
    return target;
  }

  #addSchemaRecord(record: SchemaTopicRecord): void {
    this.#group.add(this.#group.batch(this.#options.topics.schema, 0), controlDraft(encodeControl(record), Date.now()), null);
  }

  async #append(): Promise<Written | null> {
    const group = this.#group;
    this.#group = this.#newGroup();
    if (group.isEmpty) return null;
    const written = await this.#options.turns.take(() => group.append());
    if (written !== null) await this.#guard?.written(written, group.renewed);
    if (group.lastEnd !== null) this.#start.endIsDurable(group.lastEnd.startId);
    return written;
  }

  #newGroup(): Group {
    return new Group(this.#options.writer, this.#options.topics.transaction);
  }
}

function isSame(a: LogProgress, b: LogProgress): boolean {
  return a.start?.startId === b.start?.startId && a.end?.startId === b.end?.startId && a.end?.commitLsn === b.end?.commitLsn;
}

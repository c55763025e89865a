import { randomBytes } from 'node:crypto';
import type { Codec } from '../codec/codec.ts';
import type { RowChange } from '../event/change.ts';
import { tableName, type TableShape } from '../event/table.ts';
import type { LogReader, LogWriter } from '../log/log.ts';
import { encodeControl, origin, type EndRecord, type Place, type SchemaTopicRecord, type SnapshotRecord, type StartRecord } from './control-records.ts';
import { EventEncoder, Target } from './event-encoder.ts';
import { controlDraft, Group } from './group.ts';
import { readProgress, readSchemaState } from './log-state.ts';
import { startIdBytes, startIdText } from './record-header.ts';
import { SchemaVersions } from './schema-versions.ts';
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
}

/** What a stream takes its topics with. */
export interface StreamOpening {
  readonly shapes: readonly TableShape[];
  /** Of the source, as the input's START has it. */
  readonly systemIdentifier: string;
  /** The stream has no past: what its topics hold counts no longer. */
  readonly anew: boolean;
}

/** One row of a stream's output: what it was and what it is. */
export interface StreamChange {
  readonly shape: TableShape;
  readonly before: Uint8Array | null;
  readonly after: Uint8Array | null;
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
export class StreamPublisher {
  readonly #options: StreamPublisherOptions;
  readonly #encoder: EventEncoder;
  readonly #versions: SchemaVersions;
  readonly #targets = new Map<string, Target>();
  #start: StartRecord;
  #group: Group;
  #last: Place;
  #input: Place | null;
  /** Ordinal of the step's next change; null between two steps. */
  #ordinal: number | null = null;

  private constructor(options: StreamPublisherOptions, from: { readonly start: StartRecord; readonly end: EndRecord | null; readonly versions: SchemaVersions }) {
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
    const { writer, reader, topics, turns } = options;
    const specs = [topics.transaction, topics.schema, ...of.shapes.map((shape) => topics.events(shape))].map((topic) => ({ topic, partitions: 1 }));
    await turns.take(async () => {
      for (const spec of specs) await writer.createTopic(spec);
    });
    const { start: before, end } = await readProgress(reader, topics);
    const { versions: records, copies } = await readSchemaState(reader, topics);
    const start: StartRecord = {
      type: 'start', logId: writer.logId, epoch: (before?.epoch ?? 0) + 1, startId: startIdText(randomBytes(8)), systemIdentifier: of.systemIdentifier, timeline: 1,
      slot: options.stream, tables: of.shapes.map(tableName), continues: end && { epoch: end.epoch, commitLsn: end.commitLsn, endLsn: end.endLsn },
      gap: of.anew && before !== null ? 'the stream was begun anew' : null,
    };
    const versions = new SchemaVersions(records);
    versions.enterEpoch(start.epoch);
    const publisher = new StreamPublisher(options, { start, end: start.gap === null ? end : null, versions });
    publisher.#group.start(start);
    if (start.gap !== null) publisher.#last = { epoch: start.epoch, commitLsn: 0n };
    const known = new Set([...copies.values()].map(({ table }) => table));
    for (const shape of of.shapes) {
      await publisher.#target(shape);
      if (start.gap !== null || !known.has(tableName(shape))) publisher.#beginTable(shape, { empties: known.has(tableName(shape)) });
    }
    await publisher.#append();
    return publisher;
  }

  /** Up to where in the input what is durable here was computed; null for nothing. */
  get input(): Place | null {
    return this.#input;
  }

  /** Some of a step's changes; once its `last` ones are durable, all of them are visible. */
  async publish(changes: readonly StreamChange[], step: StreamStep, last: boolean): Promise<void> {
    if (this.#ordinal === null) this.#begin(step);
    let ordinal = this.#ordinal ?? 0;
    for (const change of changes) this.#encoder.row(this.#group, await this.#target(change.shape), rowChange(change, ordinal++));
    this.#ordinal = ordinal;
    if (last) this.#end(step);
    await this.#append();
  }

  #begin({ place, commitTime }: StreamStep): void {
    // Commit LSNs of two epochs of the input are not to be compared: what is read after them is above by an epoch of our own.
    if (this.#input !== null && place.epoch !== this.#input.epoch) this.#renew();
    this.#ordinal = 0;
    const { startId, epoch } = this.#start;
    this.#encoder.begin({ op: 'begin', commitLsn: place.commitLsn, commitTime, xid: 0 }, startIdBytes(startId), epoch);
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
    const { startId, epoch } = this.#start;
    // Below every commit LSN of a server, and above whatever this START has written before.
    const commitLsn = this.#last.epoch === epoch ? this.#last.commitLsn + 1n : 1n;
    const place = { epoch, commitLsn };
    const id = `${startId}:${commitLsn}`;
    this.#encoder.begin({ op: 'begin', commitLsn, commitTime: 0n, xid: 0 }, startIdBytes(startId), epoch);
    const target = this.#targets.get(tableName(shape));
    if (empties && target !== undefined) this.#encoder.truncate(this.#group, target, { op: 't', tables: [shape], ordinal: 0, cascade: false, restartIdentity: false });
    const record: SnapshotRecord = {
      type: 'snapshot', id, confirmed: true, table: tableName(shape), relid: shape.relid, key: shape.key.map((index) => shape.columns[index]?.name ?? ''), sink: null, ask: null,
      copy: id, first: true, last: true, ranges: [], rows: 0, rereads: [], from: 0, place, begin: place, visibility: null,
    };
    this.#addSchemaRecord(record);
    const snapshot = { record: id, table: record.table, first: true, last: true, sink: null };
    this.#group.end({ end: this.#endAt(commitLsn, { commitTime: 0n, snapshot, input: this.#input }), extents: this.#encoder.extents() });
  }

  #endAt(commitLsn: bigint, of: Pick<EndRecord, 'commitTime' | 'snapshot' | 'input'>): Omit<EndRecord, 'parts'> {
    const { startId, epoch } = this.#start;
    const end = { type: 'end' as const, startId, epoch, commitLsn, endLsn: commitLsn, previous: this.#last, ...of };
    this.#last = { epoch, commitLsn };
    return end;
  }

  #renew(): void {
    this.#start = { ...this.#start, epoch: this.#start.epoch + 1, startId: startIdText(randomBytes(8)), gap: null, continues: { ...this.#last, endLsn: this.#last.commitLsn } };
    this.#versions.enterEpoch(this.#start.epoch);
    this.#group.start(this.#start);
  }

  async #target(shape: TableShape): Promise<Target> {
    const known = this.#targets.get(tableName(shape));
    if (known !== undefined) return known;
    const { codec, topics } = this.#options;
    const topic = topics.events(shape);
    const { schema, record } = this.#versions.of(shape, await codec.prepare?.(shape, topic, this.#versions.registered()));
    if (record !== null) this.#addSchemaRecord(record);
    const target = new Target(schema, topic, 1);
    this.#targets.set(tableName(shape), target);
    return target;
  }

  #addSchemaRecord(record: SchemaTopicRecord): void {
    this.#group.add(this.#group.batch(this.#options.topics.schema, 0), controlDraft(encodeControl(record), Date.now()), null);
  }

  async #append(): Promise<void> {
    const group = this.#group;
    this.#group = this.#newGroup();
    if (!group.isEmpty) await this.#options.turns.take(() => group.append());
  }

  #newGroup(): Group {
    return new Group(this.#options.writer, this.#options.topics.transaction);
  }
}

function rowChange({ shape, before, after }: StreamChange, ordinal: number): RowChange {
  const bytes = Buffer.concat([before ?? Buffer.alloc(0), after ?? Buffer.alloc(0)]);
  const newAt = after === null ? -1 : (before?.length ?? 0);
  const op = before === null ? 'c' : after === null ? 'd' : 'u';
  return { op, table: shape, ordinal, bytes, oldKind: before === null ? 'none' : 'full', oldAt: before === null ? -1 : 0, newAt, end: bytes.length };
}

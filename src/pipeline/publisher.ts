import { randomBytes } from 'node:crypto';
import type { Codec } from '../codec/codec.ts';
import { formatLsn, type Lsn } from '../event/lsn.ts';
import { tableName, type TableShape } from '../event/table.ts';
import type { Log, LogReader, LogWriter } from '../log/log.ts';
import type { Source, SourceSession } from '../source/source.ts';
import { TailraceError } from '../runtime/errors.ts';
import { failpoint } from '../runtime/failpoint.ts';
import type { Logger } from '../runtime/logger.ts';
import { encodeControl } from './control-json.ts';
import { origin, type EndRecord, type Place, type SinkRecord, type StartRecord } from './control-records.ts';
import { copyJobs, type CopyAsk } from './copy-jobs.ts';
import type { CurrentStart } from './current-start.ts';
import { continuesAt, findGap } from './gap.ts';
import { refuseIncomplete, refuseMoved } from './move/refusals.ts';
import { appendRecord, controlDraft, type Written } from './group.ts';
import { refuseForeignLog, tellFormerSlot } from './log-owner.ts';
import { highestEpoch, ProgressReader, readSchemaState, type LogProgress, type SchemaState } from './log-state.ts';
import { PublishingSession } from './publishing-session.ts';
import { startIdText } from './record-header.ts';
import { SchemaVersions } from './schema-versions.ts';
import { settledCopies } from './settled-copies.ts';
import { SinkAsks } from './sink-asks.ts';
import { StartGuard } from './start-guard.ts';
import { StreamPublisher, type StreamOpening } from './stream-publisher.ts';
import { standingAsks } from './stream-records.ts';
import { clashRemedy, ownTopics, streamTopics, topicClashes, topicNames, type TopicNames } from './topics.ts';
import { Turnstile } from './turnstile.ts';

export interface PublisherOptions {
  readonly pipeline: string;
  readonly source: Source;
  readonly log: Log;
  readonly codec: Codec;
  readonly snapshot: 'initial' | 'never';
  /** What to do about a gap: stop with an error, or say so in START and copy everything anew. */
  readonly onGap: 'stop' | 'snapshot';
  /** Those that follow the pipeline's own tables: sinks, and streams. */
  readonly sinks: readonly string[];
  /** Each with the sinks that follow its outputs. */
  readonly streams?: readonly { readonly name: string; readonly sinks: readonly string[] }[];
  readonly jobs?: readonly string[];
  /** A sink asks a stream for all that one of its outputs has; what was asked before the stream is opened it finds in the log. */
  readonly onStreamAsked?: (stream: string, ask: CopyAsk) => void;
  /** How many chunks are read at a time while tables are copied. */
  readonly copyParallel: number;
  readonly logger: Logger;
}

/**
 * Source → log. It owns the log's writer and takes the slot again and again: each time with a START of its own, continuing
 * behind the last END (PROTOCOL, START). What it does with the stream in between is `PublishingSession`.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #topics: TopicNames;
  readonly #writer: LogWriter;
  readonly #reader: LogReader;
  /** Appends are not concurrent: the stream, sinks' own records and retention take turns. */
  readonly #turns = new Turnstile();
  #session: PublishingSession | null = null;

  private constructor(options: PublisherOptions, writer: LogWriter, reader: LogReader) {
    this.#options = options;
    this.#topics = topicNames(options.pipeline);
    this.#writer = writer;
    this.#reader = reader;
  }

  /** Opens the log for writing and makes the pipeline's own topics; `publish` then takes the slot. */
  static async open(options: PublisherOptions): Promise<Publisher> {
    const writer = await options.log.openWriter();
    let reader: LogReader | null = null;
    try {
      reader = await options.log.openReader();
      if (options.log.writers === 'one') refuseForeignLog(options.pipeline, await reader.topics());
      // Side by side: on Kafka each takes its time.
      await Promise.all(ownTopics(options).map((topic) => writer.createTopic({ topic, partitions: 1 })));
      return new Publisher(options, writer, reader);
    } catch (error) {
      await reader?.close();
      await writer.close();
      throw error;
    }
  }

  get writer(): LogWriter {
    return this.#writer;
  }

  get reader(): LogReader {
    return this.#reader;
  }

  /** Whether nobody else writes to this log, whatever the topic. */
  get isOnlyWriter(): boolean {
    return this.#options.log.writers === 'one';
  }

  /** The START under which is published now; null while there is no connection. */
  get start(): CurrentStart | null {
    return this.#session?.start ?? null;
  }

  /** The stream as it is now; null while there is no connection. */
  get session(): PublishingSession | null {
    return this.#session;
  }

  /** Appends to one of a sink's own topics on its behalf (the embedded log has one writer); resolves when it is durable. */
  async appendForSink(sink: string, kind: 'sink' | 'dead-letter', draft: { readonly key: Uint8Array | null; readonly value: Uint8Array; readonly ask?: SinkRecord }): Promise<void> {
    const topic = kind === 'sink' ? this.#topics.sink(sink) : this.#topics.deadLetter(sink);
    await this.#turns.take(() => appendRecord(this.#writer, topic, draft));
    if (draft.ask?.type === 'ask') this.#heardAsk({ sink, table: draft.ask.table, id: draft.ask.id });
  }

  /** Appends records without a key to a topic that nobody else writes; durable when resolved. */
  async append(topic: string, values: readonly Uint8Array[]): Promise<void> {
    await this.#turns.take(async () => {
      const batch = this.#writer.batch(topic, 0);
      for (const value of values) batch.add(controlDraft(value, Date.now()));
      await this.#writer.append([batch]);
    });
  }

  /** Takes a stream's topics, for whoever computes it. */
  openStream(stream: string, of: StreamOpening): Promise<StreamPublisher> {
    const { pipeline, codec } = this.#options;
    const sinks = this.#options.streams?.find(({ name }) => name === stream)?.sinks ?? [];
    return StreamPublisher.open({ pipeline, stream, topics: streamTopics(pipeline, stream), writer: this.#writer, reader: this.#reader, codec, turns: this.#turns, sinks, isOnlyWriter: this.isOnlyWriter }, of);
  }

  /** Takes the slot and publishes until `signal` aborts or an error ends the connection; can be called again then. `streaming` hears that it has begun. */
  async publish(signal: AbortSignal, streaming: () => void): Promise<void> {
    const session = await this.#options.source.connect({ signal });
    failpoint('publisher.slot_taken');
    try {
      const reader = new ProgressReader(this.#reader, this.#topics);
      await refuseIncomplete(this.#reader, this.#topics.transaction);
      const progress = await reader.read();
      refuseMoved(progress.start);
      const known = await readSchemaState(this.#reader, this.#topics);
      const gap = this.#checkGap(session, progress, known);
      await this.#settleCopies(session.tables, known, gap);
      const taken = await this.#start(session, { reader, progress, gap, above: highestEpoch(known) });
      failpoint('publisher.started');
      const guard = new StartGuard(this.#reader, this.#topics.transaction, { start: taken.start, offset: taken.startOffset });
      const end = await this.#firstEnd(taken, session, guard);
      const schema = await readSchemaState(this.#reader, this.#topics);
      await this.#stream(session, { ...taken, guard, end, schema }, { signal, streaming });
    } finally {
      this.#session = null;
      await session.close();
    }
  }

  async close(): Promise<void> {
    await this.#reader.close();
    await this.#writer.close();
  }

  /** Runs with the writer to itself: retention. */
  async exclusively<T>(work: (writer: LogWriter) => Promise<T>): Promise<T> {
    return this.#turns.take(() => work(this.#writer));
  }

  #checkGap(session: SourceSession, progress: LogProgress, known: SchemaState): string | null {
    const clashes = topicClashes(this.#options.pipeline, session.tables);
    if (clashes.length > 0) throw new TailraceError('source-not-ready', clashes.join('; '), { remedy: clashRemedy });
    tellFormerSlot(progress.start, session.server, this.#options.logger);
    // Versions are written behind a START: without one, the topic is not the one that they were written with (Kafka).
    const isLost = progress.start === null && known.versions.length > 0;
    const gap = isLost ? `${this.#topics.transaction} is empty, and ${this.#topics.schema} is not: it was deleted, or made again` : findGap(session.server, progress.start, progress.end);
    if (gap === null) return null;
    if (this.#options.onGap === 'stop') throw new TailraceError('gap', gap);
    this.#options.logger.warn({ gap }, 'a gap: every table is copied anew');
    return gap;
  }

  /**
   * Appends START and reads up to it: if another of the same or a higher epoch stands before it, ours is void and the next
   * one is tried. On the embedded log nobody else can write, so the first one is valid. What stood there until then may be
   * more than when the gap was looked for: what the publisher that we replace has still written.
   */
  async #start(session: SourceSession, of: { readonly reader: ProgressReader; readonly progress: LogProgress; readonly gap: string | null; readonly above: number }): Promise<TakenSlot> {
    const { server } = session;
    let { progress } = of;
    for (;;) {
      const { start: before, end } = progress;
      const mine: StartRecord = {
        type: 'start',
        logId: before?.logId ?? this.#writer.logId,
        epoch: (before?.epoch ?? of.above) + 1,
        startId: startIdText(randomBytes(8)),
        systemIdentifier: server.systemIdentifier,
        timeline: server.timeline,
        slot: server.slot,
        tables: session.tables.map(tableName),
        continues: end && { epoch: end.epoch, commitLsn: end.commitLsn, endLsn: end.endLsn },
        gap: of.gap,
      };
      const startOffset = (await this.#appendTransactionRecord(mine)).last;
      progress = await of.reader.read(startOffset - 1);
      const beforeMine = progress;
      progress = await of.reader.read(startOffset);
      if (progress.start?.startId === mine.startId) return { start: mine, startOffset, before: beforeMine.start, lastEnd: beforeMine.end };
    }
  }

  /** Writes down what the copies are worth, before the START from which on it holds. */
  async #settleCopies(tables: readonly TableShape[], { copies }: SchemaState, gap: string | null): Promise<void> {
    const settled = settledCopies(tables, copies, gap);
    if (settled.length > 0) await this.append(this.#topics.schema, settled.map(encodeControl));
  }

  /**
   * The END that the stream continues from. A log without one, or one that begins anew behind a gap, gets an END without
   * events at the slot's position, before anything is acknowledged (PROTOCOL, START). Where the server's timeline branched off
   * before the last END's end, an END without events goes back to that place: what stands there now was never read.
   */
  async #firstEnd({ start, before, lastEnd }: TakenSlot, session: SourceSession, guard: StartGuard): Promise<EndRecord> {
    if (lastEnd !== null && before !== null && start.gap === null) {
      const endLsn = continuesAt(session.server, before, lastEnd);
      if (endLsn === lastEnd.endLsn) return lastEnd;
      const { epoch, commitLsn } = lastEnd;
      return this.#emptyEnd(start, { place: { epoch, commitLsn }, endLsn, guard });
    }
    const { confirmedFlush, slot, slotCreated } = session.server;
    if (!slotCreated && this.#options.snapshot === 'never' && lastEnd === null) {
      this.#options.logger.warn({ slot, from: formatLsn(confirmedFlush) }, 'the log is empty and snapshot is never: the stream starts where the slot stands');
    }
    const place = start.gap === null ? origin : { epoch: start.epoch, commitLsn: 0n };
    return this.#emptyEnd(start, { place, endLsn: confirmedFlush, guard });
  }

  async #emptyEnd({ startId }: StartRecord, { place, endLsn, guard }: { readonly place: Place; readonly endLsn: Lsn; readonly guard: StartGuard }): Promise<EndRecord> {
    const end: EndRecord = { type: 'end', startId, ...place, endLsn, commitTime: 0n, previous: place, parts: [], snapshot: null };
    await guard.written(await this.#appendTransactionRecord(end), null);
    return end;
  }

  async #stream(
    session: SourceSession,
    from: { readonly start: StartRecord; readonly startOffset: number; readonly guard: StartGuard; readonly end: EndRecord; readonly schema: SchemaState },
    until: { readonly signal: AbortSignal; readonly streaming: () => void },
  ): Promise<void> {
    const versions = new SchemaVersions(from.schema.versions);
    versions.enterEpoch(from.start.epoch);
    const publishing = new PublishingSession({
      session, writer: this.#writer, turns: this.#turns, topics: this.#topics, codec: this.#options.codec,
      pipeline: this.#options.pipeline, start: from.start, startOffset: from.startOffset, guard: from.guard, end: from.end, versions, copies: from.schema.copies, orders: from.schema.orders, snapshot: this.#options.snapshot,
      copyParallel: this.#options.copyParallel, logger: this.#options.logger, signal: until.signal,
    });
    const asks = new SinkAsks(this.#reader, this.#topics, this.#options.sinks);
    const jobs = copyJobs({ tables: session.tables, snapshot: this.#options.snapshot, copies: from.schema.copies, orders: from.schema.orders });
    for (const job of jobs) publishing.requests.copy(job);
    for (const ask of await asks.next()) publishing.requests.ask(ask);
    this.#session = publishing;
    until.streaming();
    await Promise.all([publishing.run(), this.#follow(asks, publishing)]);
  }

  /** Sinks that write their topics themselves say there what they ask for; of the others it is heard as they do. */
  async #follow(asks: SinkAsks, publishing: PublishingSession): Promise<void> {
    if (this.#options.log.writers === 'one') return;
    const ofStreams = new SinkAsks(this.#reader, this.#topics, this.#options.streams?.flatMap(({ sinks }) => sinks) ?? []);
    try {
      await ofStreams.next();
      // What was asked while there was no connection, too.
      for (const stream of this.#options.streams ?? []) for (const ask of await this.#standing(stream)) this.#heardAsk(ask);
      await Promise.all([asks, ofStreams].map((each) => each.follow(publishing.ended, (ask) => this.#heardAsk(ask))));
    } catch (error) {
      publishing.fail(error);
    }
  }

  async #standing({ name, sinks }: { readonly name: string; readonly sinks: readonly string[] }): Promise<readonly CopyAsk[]> {
    const topics = streamTopics(this.#options.pipeline, name);
    return standingAsks({ topics, reader: this.#reader, sinks }, await readSchemaState(this.#reader, topics));
  }

  #heardAsk(ask: CopyAsk): void {
    const stream = this.#options.streams?.find(({ sinks }) => sinks.includes(ask.sink));
    if (stream === undefined) this.#asked(ask);
    else this.#options.onStreamAsked?.(stream.name, ask);
  }

  #asked(ask: CopyAsk): void {
    // Without a connection the ask stands in the sink's topic, and is found there when the slot is taken next.
    this.#session?.requests.ask(ask);
  }

  async #appendTransactionRecord(record: StartRecord | EndRecord): Promise<Written> {
    const batch = this.#writer.batch(this.#topics.transaction, 0);
    batch.add(controlDraft(encodeControl(record), Date.now()));
    const [placed] = await this.#turns.take(() => this.#writer.append([], () => [batch]));
    const offset = placed?.offsetOf(0) ?? -1;
    return { first: offset, last: offset, count: 1 };
  }
}

/** A START that is valid, and what stood before it. */
interface TakenSlot {
  readonly start: StartRecord;
  readonly startOffset: number;
  readonly before: StartRecord | null;
  /** The last END that counts. */
  readonly lastEnd: EndRecord | null;
}

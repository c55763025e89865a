import { parentPort, workerData } from 'node:worker_threads';
import { configFromPortable } from '../config/portable.ts';
import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { formatLsn } from '../event/lsn.ts';
import { commandCopies } from '../pipeline/copy-commands.ts';
import { CompactionCounts, mergeSmallSegments } from '../pipeline/compaction.ts';
import { Publisher, type PublisherOptions } from '../pipeline/publisher.ts';
import type { CopyAsk } from '../pipeline/copy-jobs.ts';
import { trimProduced } from '../pipeline/produced-retention.ts';
import { Retention } from '../pipeline/retention.ts';
import type { StreamOpening, StreamPublisher } from '../pipeline/stream-publisher.ts';
import type { SourceStatus } from '../pipeline/status.ts';
import { supervise, type Health } from '../pipeline/supervision.ts';
import { streamTopics, topicNames } from '../pipeline/topics.ts';
import { createCodec, createLog, createSource } from '../registry.ts';
import { exitCodeFor, TailraceError } from '../runtime/errors.ts';
import { createLogger, type Logger, type LogLevel } from '../runtime/logger.ts';
import type { Source } from '../source/source.ts';
import type { Handlers, PublisherCommand } from './control/commands.ts';
import { answerCall } from './control/thread-calls.ts';
import { followersOf } from './followers.ts';
import { serveAppends } from './job-port.ts';
import type { LogRequest } from './control/log-request.ts';
import { performOnLog, type LogReply } from './log-requests.ts';
import { isOthers } from './topic-kind.ts';
import { serveOutputs } from './stream-port.ts';
import { WalWatch } from './wal-watch.ts';
import { serveReporter, type FromPublisher, type PublisherReport, type PublisherThreadData, type ToThread } from './thread-messages.ts';

/** How often the main thread hears how it goes, and how often old data is let go of. */
const reportInterval = 250;
const retentionInterval = 10_000;
const walInterval = 5000;

/** The thread that owns a pipeline's log and its slot. */
class PublisherThread {
  readonly #config: PipelineConfig;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  #publisher: Publisher | null = null;
  readonly #compactions = new CompactionCounts();
  #retention: Retention | null = null;
  /** Of what streams write, by stream. */
  readonly #streams = new Map<string, Retention>();
  readonly #streamAsked = new Map<string, (ask: CopyAsk) => void>();
  #retaining = false;
  /** Sinks' records wait here while the log is being opened again. */
  #whenOpen = Promise.withResolvers<Publisher>();
  #health: Health | { readonly state: 'starting' } = { state: 'starting' };
  #counted = { changes: 0, transactions: 0 };
  /** Where the log ended when somebody last had the slot. */
  #reached: Pick<SourceStatus, 'lastEnd' | 'lastCommitAt'> = { lastEnd: null, lastCommitAt: null };
  readonly #source: Source;
  readonly #wal: WalWatch;

  private constructor(config: PipelineConfig, { source, logger }: { readonly source: Source; readonly logger: Logger }) {
    this.#config = config;
    this.#logger = logger;
    this.#source = source;
    this.#wal = new WalWatch(logger);
  }

  static async create(data: PublisherThreadData): Promise<PublisherThread> {
    const config = configFromPortable(data.config);
    const logger = createLogger({ level: data.logLevel as LogLevel }).child({ pipeline: config.name });
    return new PublisherThread(config, { source: await createSource(config.source, { pipeline: config.name, logger }), logger });
  }

  async run(): Promise<void> {
    const port = parentPort as NonNullable<typeof parentPort>;
    port.on('message', (message: ToThread) => this.#told(message));
    const timers = [
      setInterval(() => this.#report(), reportInterval),
      setInterval(() => void this.#retain(), retentionInterval),
      // By itself: retention waits for the log where that is away.
      setInterval(() => void this.#wal.look(this.#source, this.#publisher?.session?.source, this.#stop.signal), walInterval),
    ];
    const error = await supervise({ run: (signal, healthy) => this.#publish(signal, healthy), onHealth: (health, cause) => this.#heard(health, cause) }, this.#stop.signal);
    for (const timer of timers) clearInterval(timer);
    await this.#publisher?.close();
    this.#report();
    send({ kind: 'ended', exit: error === null ? 0 : exitCodeFor(error) });
    port.close();
  }

  #told(message: ToThread): void {
    switch (message.kind) {
      case 'stop':
        this.#stop.abort(new TailraceError('internal', 'stopped'));
        break;
      case 'sink-port':
        serveReporter(message.port, async (topic, draft) => (await this.#whenOpen.promise).appendForSink(message.sink, topic, draft));
        break;
      case 'stream-port':
        this.#streamAsked.set(message.stream, serveOutputs(message.port, (of) => this.#openStream(message.stream, of)));
        break;
      case 'jobs-port':
        serveAppends(message.port, async (topic, values) => (await this.#whenOpen.promise).append(topic, values));
        break;
      case 'call':
        void answerCall(message, this.#handlers()).then(send);
        break;
    }
  }

  #handlers(): Handlers<PublisherCommand> {
    return {
      snapshot: (command) => commandCopies(this.#connected(), this.#config.name, command),
      log: async (request) => {
        if (!isOthers(this.#config.name, request.topic)) throw new TailraceError('command-refused', `${request.topic} is a topic that the pipeline writes`);
        const publisher = await this.#whenOpen.promise;
        // Takes long, and what it does is not in the way of appends.
        if (request.do === 'compact') return this.#compact(publisher, request);
        return publisher.exclusively((writer) => performOnLog(writer, request));
      },
    };
  }

  async #compact({ writer }: Publisher, request: LogRequest & { readonly do: 'compact' }): Promise<LogReply> {
    const begunAt = Date.now();
    const reply = await performOnLog(writer, request);
    if (reply.sizes !== undefined) this.#compactions.ended(begunAt, reply.sizes);
    return reply;
  }

  /** For commands that need the source. */
  #connected(): Publisher {
    const publisher = this.#publisher;
    if (publisher?.session != null) return publisher;
    const why = 'error' in this.#health && this.#health.error !== null ? `: ${this.#health.error.message}` : '';
    throw new TailraceError('command-refused', `the pipeline ${this.#config.name} is not connected to its source now${why}`);
  }

  async #publish(signal: AbortSignal, healthy: () => void): Promise<void> {
    const publisher = this.#publisher ?? (await this.#open());
    try {
      await publisher.publish(signal, healthy);
    } catch (error) {
      // After a failed append nobody knows what the log holds: only opening it again tells.
      if (error instanceof TailraceError && error.code.startsWith('log-')) await this.#closeLog();
      throw error;
    }
  }

  async #open(): Promise<Publisher> {
    const { name, source, log, format, streams, jobs } = this.#config;
    const context = { pipeline: name, logger: this.#logger };
    const options: PublisherOptions = {
      pipeline: name,
      source: this.#source,
      log: await createLog(log, context),
      codec: await createCodec(format, context),
      snapshot: source.snapshot,
      onGap: this.#config.on_gap,
      sinks: followersOf(this.#config).map((follower) => follower.name),
      streams: streams.map((stream) => ({ name: stream.name, sinks: followersOf(this.#config, stream.name).map((follower) => follower.name) })),
      jobs: jobs.map((job) => job.name),
      onStreamAsked: (stream, ask) => this.#streamAsked.get(stream)?.(ask),
      copyParallel: source.copy.parallel,
      logger: this.#logger,
    };
    this.#publisher = await Publisher.open(options);
    this.#retention = new Retention(this.#publisher, { topics: topicNames(name), retention: log.retention, sinks: followersOf(this.#config) }, this.#logger);
    this.#whenOpen.resolve(this.#publisher);
    send({ kind: 'log-open', shared: this.#publisher.writer.shared });
    return this.#publisher;
  }

  async #openStream(name: string, of: StreamOpening): Promise<StreamPublisher> {
    const stream = await (await this.#whenOpen.promise).openStream(name, of);
    const { name: pipeline, log, streams } = this.#config;
    const topics = streamTopics(pipeline, name);
    const { cleanup, delete_retention: deleteRetention } = streams.find((each) => each.name === name) ?? { cleanup: 'delete', delete_retention: 0 };
    // What has no key is an event of its own, and none is newer than it.
    const keyed = of.shapes.filter((shape) => shape.key.length > 0).map((shape) => topics.events(shape));
    const compacted = cleanup === 'compact' ? { topics: new Set(keyed), deleteRetention, counts: this.#compactions } : undefined;
    const rules = { topics, retention: log.retention, sinks: followersOf(this.#config, name), compacted };
    this.#streams.set(name, new Retention(stream, rules, this.#logger));
    return stream;
  }

  async #closeLog(): Promise<void> {
    const publisher = this.#publisher;
    this.#publisher = null;
    // They begin anew with the log that is opened next.
    this.#streams.clear();
    this.#whenOpen = Promise.withResolvers();
    await publisher?.close().catch(() => undefined);
  }

  async #retain(): Promise<void> {
    const publisher = this.#publisher;
    if (publisher === null || this.#retaining) return;
    this.#retaining = true;
    try {
      await this.#retention?.enforce();
      for (const stream of this.#streams.values()) await stream.enforce();
      // On Kafka such a topic has settings of its own for that.
      const age = this.#config.log.retention?.age;
      if (age !== undefined && publisher.isOnlyWriter) await trimProduced(publisher, age);
      // Where old data goes by whole segments, a larger one would stay longer.
      if (this.#config.log.retention === undefined) await mergeSmallSegments(publisher.writer, this.#logger);
    } catch (error) {
      // At a stop the log is closed in the midst of it.
      if (!this.#stop.signal.aborted) this.#logger.warn({ err: error }, 'old data could not be let go of; it is tried again');
    } finally {
      this.#retaining = false;
    }
  }

  #heard(health: Health, error: unknown): void {
    this.#health = health;
    if (health.state === 'retrying') this.#logger.warn({ err: error }, 'publishing is interrupted; it is tried again');
    if (health.state === 'stopped') this.#logger.error({ err: error }, 'publishing has stopped');
    this.#report();
  }

  #report(): void {
    send({ kind: 'publisher', report: this.#view() });
  }

  /** Of the slot also while nobody has it, as long as the source can be asked. */
  #sourceView(session: Publisher['session']): SourceStatus | null {
    const { health } = this.#wal;
    if (session === null && health === null) return null;
    if (session !== null) this.#reached = { lastEnd: formatLsn(session.durableLsn), lastCommitAt: session.lastCommitAt };
    const flushed = session?.durableLsn ?? health?.confirmedFlush ?? null;
    return {
      slot: session?.source.server.slot ?? health?.slot ?? '',
      confirmedFlush: flushed === null ? null : formatLsn(flushed),
      walHeldBytes: health?.walHeldBytes ?? null,
      ...this.#reached,
      events: this.#counted.changes,
      transactions: this.#counted.transactions,
    };
  }

  #view(): PublisherReport {
    const session = this.#publisher?.session ?? null;
    if (session !== null) this.#counted = { changes: session.counts.changes, transactions: session.counts.transactions };
    const transactionTopic = `${this.#config.name}.transaction`;
    return {
      // Between two connections nothing streams, whatever was heard last.
      state: this.#health.state !== 'running' ? this.#health.state : session === null ? 'starting' : 'streaming',
      error: 'error' in this.#health ? this.#health.error : null,
      source: this.#sourceView(session),
      copies: session?.progress ?? [],
      leftOut: (session?.source.leftOut ?? []).map((finding) => finding.message),
      transactionEnd: this.#publisher?.writer.range(transactionTopic, 0).end ?? 0,
      streamEnds: Object.fromEntries(this.#config.streams.map((stream) => [stream.name, this.#publisher?.writer.range(streamTopics(this.#config.name, stream.name).transaction, 0).end ?? 0])),
      compaction: this.#publisher?.writer.compact === undefined ? null : this.#compactions.status,
    };
  }
}

function send(message: FromPublisher): void {
  parentPort?.postMessage(message);
}

await (await PublisherThread.create(workerData as PublisherThreadData)).run();

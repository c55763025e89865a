import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { portableConfig } from '../config/portable.ts';
import type { PipelineConfig, StreamConfig } from '../config/pipeline-schema.ts';
import type { JobStatus, PipelineStatus } from '../pipeline/status.ts';
import { statusError } from '../pipeline/supervision.ts';
import { createLog, logs } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import type { CommandName, Handlers, PublisherCommand, ReplyOf, RequestOf } from './control/commands.ts';
import { ControlServer } from './control/control-server.ts';
import type { SocketPlace } from './control/place.ts';
import { ThreadCalls } from './control/thread-calls.ts';
import { followerStatus } from './follower-status.ts';
import { SpreadMembership } from './spread-membership.ts';
import { isSpread, partsOfStream, resultsTask, shardName } from './spread-streams.ts';
import { emptyReport, type FromJobs, type FromPublisher, type FromSink, type JobsThreadData, type LogOpen, type PublisherReport, type PublisherThreadData, type SinkReport, type SinkThreadData, type SpreadThreadData, type ToThread } from './thread-messages.ts';

/** Threads that are not a sink's or a stream's, which have no such names. */
const publisher = '(publisher)';
const jobs = '(jobs)';

/** A thread that doesn't end within this time after a stop is ended. */
const stopTimeout = 10_000;

/** Most of what a thread makes dies within one batch; V8's own choice for its nursery is four times this, in each thread. */
const youngGenerationMb = 12;

/** In a checkout the threads are TypeScript, in the published package JavaScript: the same ending as this file's. */
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));

/** What of a pipeline a process does; on a log that takes many writers the rest may be done elsewhere. */
export interface Parts {
  /** With the jobs, and the streams that are computed by one worker. */
  readonly publisher: boolean;
  /** A part of the streams that are spread over workers. */
  readonly streams: boolean;
  /** Names; undefined: all of them. */
  readonly sinks: readonly string[] | undefined;
}

/**
 * One pipeline's threads: the publisher, and a thread a sink and stream, which begin once the log is open. They share the log
 * and nothing else: one that waits, retries or dies holds up neither the capture nor another.
 */
export class PipelineHost {
  readonly #config: PipelineConfig;
  readonly #logger: Logger;
  readonly #place: SocketPlace;
  readonly #parts: Parts;
  /** Whether sinks write their own topics. */
  readonly #manyWriters: boolean;
  readonly #calls: ThreadCalls | null;
  #control: ControlServer | null = null;
  readonly #threads = new Map<string, Worker>();
  readonly #ended: Promise<number>;
  #end: (exit: number) => void = () => {};
  #publisher: PublisherReport | null = null;
  readonly #sinks = new Map<string, SinkReport>();
  readonly #memberships: SpreadMembership[] = [];
  #jobs: readonly JobStatus[] = [];
  #stopping = false;
  #publisherOver = false;
  /** Of the first sink that stopped for good. */
  #exit = 0;
  /** Threads that begin with the log. */
  readonly #followers: Worker[] = [];
  #logWasOpen = false;

  constructor(config: PipelineConfig, { logger, place, parts }: { readonly logger: Logger; readonly place: SocketPlace; readonly parts: Parts }) {
    this.#config = config;
    this.#parts = parts;
    this.#manyWriters = logs[config.log.type].writers === 'many';
    this.#logger = logger;
    this.#place = place;
    this.#ended = new Promise((resolve) => (this.#end = resolve));
    this.#calls = parts.publisher ? this.#startPublisher() : null;
    this.#startSinks();
    if (!parts.publisher) this.#logIsOpen({ kind: 'log-open', shared: undefined });
  }

  #startPublisher(): ThreadCalls {
    const data: PublisherThreadData = { role: 'publisher', config: portableConfig(this.#config), logLevel: this.#logger.level };
    const worker = this.#start(publisher, 'publisher-thread', data);
    const calls = new ThreadCalls((call) => worker.postMessage(call));
    worker.on('message', (message: FromPublisher) => this.#heard(message));
    worker.on('exit', () => {
      calls.gone();
      // It said so itself, or was ended because it did not end in time.
      if (!this.#publisherOver) this.#publisherEnded(1);
    });
    return calls;
  }

  /** Resolves with the exit code once the publisher has ended and every thread with it; without one here, once all sinks have. */
  get ended(): Promise<number> {
    return this.#ended;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    // Others have the tasks of streams at once.
    await Promise.all(this.#memberships.map((membership) => membership.leave()));
    // Sinks first: what they have under way needs the publisher's writer to be said in the log.
    await this.#stopThreads((name) => name !== publisher);
    await this.#stopThreads((name) => name === publisher);
  }

  status(): PipelineStatus {
    const publisher = this.#publisher;
    const copying = publisher?.copies.some(({ state: copy }) => copy !== 'done' && copy !== 'stopped') ?? false;
    const state = this.#parts.publisher ? (publisher?.state ?? 'starting') : 'elsewhere';
    return {
      pipeline: this.#config.name,
      state: state === 'streaming' && copying ? 'snapshotting' : state,
      error: publisher?.error ?? null,
      source: publisher?.source ?? null,
      snapshot: publisher?.copies ?? [],
      leftOut: publisher?.leftOut ?? [],
      sinks: [
        ...this.#config.streams.flatMap((stream) => partsOfStream(stream).map((name) => followerStatus({ name, kind: 'stream', from: stream.from }, this.#sinks.get(name), publisher))),
        ...this.#config.sinks.map(({ name, from }) => followerStatus({ name, kind: 'sink', from }, this.#sinks.get(name), publisher)),
      ].map((status) => (this.#isHere(status) ? status : { ...status, state: 'elsewhere' as const })),
      jobs: this.#jobs,
      compaction: publisher?.compaction ?? null,
    };
  }

  #heard(message: FromPublisher): void {
    switch (message.kind) {
      case 'publisher':
        this.#publisher = message.report;
        break;
      case 'log-open':
        // Who has the log has the pipeline, and the place where its commands arrive.
        this.#control ??= new ControlServer(this.#place, this.#handlers(), this.#logger.child({ pipeline: this.#config.name }));
        this.#logIsOpen(message);
        break;
      case 'call-ended':
        this.#calls?.ended(message);
        break;
      case 'ended':
        this.#publisherEnded(message.exit);
        break;
    }
  }

  /** Every command, by the part that does it. */
  #handlers(): Handlers<CommandName> {
    return {
      status: async () => this.status(),
      snapshot: (request) => this.#askPublisher('snapshot', request),
      log: (request) => this.#askPublisher('log', request),
    };
  }

  async #askPublisher<Name extends PublisherCommand>(name: Name, request: RequestOf<Name>): Promise<ReplyOf<Name>> {
    if (this.#calls === null) throw new TailraceError('command-refused', 'the publisher of this pipeline is another process');
    return this.#calls.ask(name, request);
  }

  /** They load their code while the publisher loads its own, and begin once the log is there. */
  #startSinks(): void {
    for (const { name } of this.#config.sinks) if (this.#isHere({ kind: 'sink', name })) this.#followers.push(this.#startFollower('sink', name));
  }

  #logIsOpen(message: LogOpen): void {
    // The log was opened again after a failure: its readers find what is new by themselves.
    if (this.#logWasOpen || this.#stopping) return;
    this.#logWasOpen = true;
    const streams = this.#config.streams.filter((stream) => !isSpread(stream) && this.#isHere({ kind: 'stream', name: stream.name }));
    this.#followers.push(...streams.map(({ name }) => this.#startFollower('stream', name)));
    for (const follower of this.#followers) follower.postMessage(message);
    if (this.#parts.streams) for (const { name } of this.#config.streams.filter(isSpread)) this.#startSpread(name);
    if (this.#parts.publisher && this.#config.jobs.length > 0) this.#startJobs(message.shared);
  }

  #startJobs(shared: SharedArrayBuffer | undefined): void {
    const port = this.#portToPublisher((port) => ({ kind: 'jobs-port', port }));
    const data: JobsThreadData = { role: 'jobs', config: portableConfig(this.#config), logLevel: this.#logger.level, shared, port };
    this.#start(jobs, 'jobs-thread', data).on('message', ({ report }: FromJobs) => (this.#jobs = report));
  }

  /** Streams that one worker computes publish through the thread that has the log's writer. */
  #isHere({ kind, name }: { readonly kind: 'sink' | 'stream'; readonly name: string }): boolean {
    const { publisher, sinks } = this.#parts;
    if (kind === 'sink') return sinks?.includes(name) ?? true;
    const isWhole = this.#config.streams.some((stream) => stream.name === name && !isSpread(stream));
    return isWhole ? publisher : this.#sinks.has(name);
  }

  #startSpread(stream: string): void {
    const data: SpreadThreadData = { role: 'spread', config: portableConfig(this.#config), logLevel: this.#logger.level, stream };
    const worker = this.#start(stream, 'spread-thread', data);
    const own = this.#config.streams.filter(isSpread).find(({ name }) => name === stream) as StreamConfig & { readonly shards: number };
    const log = () => createLog(this.#config.log, { pipeline: this.#config.name, logger: this.#logger });
    const membership = new SpreadMembership({ log, stream: own, post: (message) => worker.postMessage(message), logger: this.#logger });
    this.#memberships.push(membership);
    worker.on('message', (received: FromSink) => {
      if (received.kind === 'tasks-ready') {
        membership.join();
      } else if (received.kind === 'task-ended') {
        membership.ended(received.task);
      } else if (received.kind === 'tasks') {
        // What is not among them is with another worker.
        for (const name of partsOfStream(own)) this.#sinks.delete(name);
        for (const [task, report] of Object.entries(received.reports)) this.#sinks.set(task === resultsTask ? stream : shardName(stream, task), report);
      } else if (received.kind === 'ended' && received.exit !== 0) {
        this.#exit ||= received.exit;
      }
    });
    worker.on('exit', () => {
      membership.gone();
      void membership.leave().then(() => this.#followerEnded());
    });
  }

  #startFollower(role: SinkThreadData['role'], name: string): Worker {
    const port = this.#manyWriters ? undefined : this.#portToPublisher((port) => ({ kind: 'sink-port', sink: name, port }));
    const outputs = role === 'stream' ? this.#portToPublisher((port) => ({ kind: 'stream-port', stream: name, port })) : undefined;
    const data: SinkThreadData = { role, config: portableConfig(this.#config), logLevel: this.#logger.level, sink: name, port, outputs };
    const worker = this.#start(name, `${role}-thread`, data);
    worker.on('message', (received: FromSink) => {
      if (received.kind === 'sink') this.#sinks.set(name, received.report);
      else if (received.kind === 'ended' && received.exit !== 0) this.#exit ||= received.exit;
    });
    worker.on('exit', () => this.#followerEnded());
    return worker;
  }

  #followerEnded(): void {
    if (!this.#parts.publisher && this.#threads.size === 0) this.#end(this.#exit);
  }

  #portToPublisher(message: (port: MessagePort) => ToThread): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#threads.get(publisher)?.postMessage(message(port1), [port1]);
    return port2;
  }

  #start(name: string, file: string, data: PublisherThreadData | SinkThreadData | JobsThreadData | SpreadThreadData): Worker {
    const ports = data.role === 'publisher' || data.role === 'spread' ? [] : data.role === 'jobs' ? [data.port] : [data.port, data.outputs];
    const transferList = ports.filter((port) => port !== undefined);
    const worker = new Worker(new URL(`./${file}${extension}`, import.meta.url), { workerData: data, transferList, name, resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb } });
    this.#threads.set(name, worker);
    worker.on('error', (error) => this.#crashed(name, error));
    worker.on('exit', () => this.#threads.delete(name));
    return worker;
  }

  /** An error that nobody caught: the part has stopped, and says so. */
  #crashed(name: string, error: unknown): void {
    this.#logger.error({ pipeline: this.#config.name, part: name, err: error }, 'a thread ended unexpectedly');
    const stopped = { state: 'stopped' as const, error: statusError(error) };
    if (name === jobs) {
      this.#jobs = this.#config.jobs.map((job) => ({ name: job.name, state: 'stopped', next: null, last: null }));
      return;
    }
    if (name !== publisher) {
      this.#sinks.set(name, { ...(this.#sinks.get(name) ?? emptyReport), ...stopped });
      this.#exit ||= 1;
      return;
    }
    if (this.#publisher !== null) this.#publisher = { ...this.#publisher, ...stopped };
    this.#publisherEnded(1);
  }

  /** Without its publisher a pipeline is over: a dead pipeline must not look alive. */
  #publisherEnded(exit: number): void {
    this.#publisherOver = true;
    void Promise.all([this.#stopThreads(() => true), this.#control?.close()]).then(() => this.#end(exit));
  }

  async #stopThreads(which: (name: string) => boolean): Promise<void> {
    const threads = [...this.#threads].filter(([name]) => which(name));
    await Promise.all(threads.map(([name, worker]) => this.#stopThread(name, worker)));
  }

  async #stopThread(name: string, worker: Worker): Promise<void> {
    const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    if (!this.#threads.has(name)) return;
    const message: ToThread = { kind: 'stop' };
    worker.postMessage(message);
    const timer = setTimeout(() => {
      this.#logger.warn({ pipeline: this.#config.name, part: name }, 'a thread did not end in time and is ended; nothing durable is lost');
      void worker.terminate();
    }, stopTimeout);
    await gone;
    clearTimeout(timer);
  }
}

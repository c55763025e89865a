import { parentPort } from 'node:worker_threads';
import { configFromPortable } from '../config/portable.ts';
import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { Lead, Log, LogReader } from '../log/log.ts';
import { Replayer, type ReplayerOptions } from '../pipeline/replayer.ts';
import type { SinkReporter } from '../pipeline/sink-start.ts';
import { SinkTopicWriter } from '../pipeline/sink-topic-writer.ts';
import { supervise, type Health } from '../pipeline/supervision.ts';
import { createCodec, createLog, loadCode } from '../registry.ts';
import { exitCodeFor, TailraceError } from '../runtime/errors.ts';
import { createLogger, type Logger, type LogLevel } from '../runtime/logger.ts';
import { reporterOver, reportOf, type FromSink, type LogOpen, type SinkReport, type SinkThreadData, type ToFollower } from './thread-messages.ts';

const reportInterval = 250;
/** Where no publisher in this process says where the log ends, this thread looks itself. */
const lookInterval = 1000;

/** What a thread replays into, and how: that is all in which a stream's thread differs from a sink's. */
export type Follower = Pick<ReplayerOptions, 'sink' | 'topics' | 'filter' | 'needs' | 'onError'>;

export interface FollowerContext {
  readonly config: PipelineConfig;
  readonly logger: Logger;
}

export type MakeFollower = (context: FollowerContext) => Follower | Promise<Follower>;

/**
 * A thread that follows the log, shares nothing with the others, and is begun again by itself as the error catalogue says. It is
 * started before the log is there, because code takes a while to load.
 */
export async function runFollower(data: SinkThreadData, makeFollower: MakeFollower): Promise<void> {
  const thread = new ReplayThread(data, makeFollower);
  const stop = new AbortController();
  const begin = Promise.withResolvers<LogOpen | null>();
  parentPort?.on('message', (message: ToFollower) => {
    if (message.kind === 'log-open') begin.resolve(message);
    if (message.kind !== 'stop') return;
    stop.abort(new TailraceError('internal', 'stopped'));
    begin.resolve(null);
  });
  await thread.load();
  const open = await begin.promise;
  const error = open === null ? null : await thread.run(open, stop.signal);
  send({ kind: 'ended', exit: error === null ? 0 : exitCodeFor(error) });
  data.port?.close();
  data.outputs?.close();
  parentPort?.close();
}

class ReplayThread {
  readonly #data: SinkThreadData;
  readonly #makeFollower: MakeFollower;
  readonly #config: PipelineConfig;
  readonly #logger: Logger;
  readonly #overPort: SinkReporter | null;
  #follower: Follower | null = null;
  #replayer: Replayer | null = null;
  #health: Health | { readonly state: 'starting' | 'standby' } = { state: 'starting' };
  #transactionEnd: number | null = null;

  constructor(data: SinkThreadData, makeFollower: MakeFollower) {
    this.#data = data;
    this.#makeFollower = makeFollower;
    this.#config = configFromPortable(data.config);
    this.#logger = createLogger({ level: data.logLevel as LogLevel }).child({ pipeline: this.#config.name, [data.role]: data.sink });
    this.#overPort = data.port === undefined ? null : reporterOver(data.port);
  }

  load(): Promise<void> {
    const { log, format, sinks } = this.#config;
    return loadCode({ log, format, sink: this.#data.role === 'sink' ? sinks.find(({ name }) => name === this.#data.sink) : undefined });
  }

  /** Resolves with the error that stopped it for good, or null after the signal. */
  async run({ shared }: LogOpen, stop: AbortSignal): Promise<unknown> {
    const log = await createLog(this.#config.log, { pipeline: this.#config.name, logger: this.#logger, shared });
    const timer = setInterval(() => this.#report(), reportInterval);
    const error = await supervise({ run: (signal, healthy) => this.#lead(log, signal, healthy), onHealth: (health, cause) => this.#heard(health, cause) }, stop);
    clearInterval(timer);
    this.#report();
    return error;
  }

  /** One worker at a time does a sink; the others stand by until it is gone. */
  async #lead(log: Log, signal: AbortSignal, healthy: () => void): Promise<void> {
    if (log.writers === 'many') this.#health = { state: 'standby' };
    const lead = await log.lead(`${this.#data.role}.${this.#data.sink}`, signal);
    try {
      this.#health = { state: 'starting' };
      await this.#replay(log, AbortSignal.any([signal, lead.lost]), healthy);
    } catch (error) {
      throw signal.aborted ? error : underLead(error, log, lead);
    } finally {
      this.#replayer = null;
      await lead.release();
    }
    if (lead.lost.aborted && !signal.aborted) throw lead.lost.reason;
  }

  async #replay(log: Log, signal: AbortSignal, healthy: () => void): Promise<void> {
    const { sink: sinkName } = this.#data;
    const codec = await createCodec(this.#config.format, { pipeline: this.#config.name, logger: this.#logger });
    this.#follower ??= await this.#makeFollower({ config: this.#config, logger: this.#logger });
    const { topics } = this.#follower;
    const reader = await log.openReader();
    const looking = this.#overPort === null ? setInterval(() => void this.#look(reader), lookInterval) : undefined;
    let own: SinkTopicWriter | null = null;
    try {
      const reporter = this.#overPort ?? (own = await SinkTopicWriter.open(log, topics, sinkName));
      const { snapshot } = this.#config.source;
      this.#replayer = await Replayer.open({ ...this.#follower, sinkName, reader, codec, snapshot, reporter, logger: this.#logger }, signal);
      healthy();
      await this.#replayer.run(signal);
    } finally {
      clearInterval(looking);
      await own?.close();
      await reader.close();
    }
  }

  async #look(reader: LogReader): Promise<void> {
    const topic = this.#follower?.topics.transaction;
    // An error is met by the replay too, which says so.
    if (topic !== undefined) this.#transactionEnd = await reader.range(topic, 0).then(({ end }) => end, () => this.#transactionEnd);
  }

  #heard(health: Health, error: unknown): void {
    const { role } = this.#data;
    this.#health = health;
    if (health.state === 'retrying') this.#logger.warn({ err: error }, `the ${role} is interrupted; it is tried again`);
    if (health.state === 'stopped') this.#logger.error({ err: error }, `the ${role} has stopped`);
    this.#report();
  }

  #report(): void {
    const health = this.#health;
    const report: SinkReport = { ...reportOf(this.#replayer?.progress), state: health.state, error: 'error' in health ? health.error : null, transactionEnd: this.#transactionEnd };
    send({ kind: 'sink', report });
  }
}

/** Where workers take turns, to find that another has the replica is no reason to stop: this one waits for its turn again. */
function underLead(error: unknown, log: Log, lead: Lead): unknown {
  if (lead.lost.aborted) return lead.lost.reason;
  if (log.writers === 'one' || !(error instanceof TailraceError && error.code === 'fenced')) return error;
  return new TailraceError('lead-lost', error.message, { cause: error });
}

function send(message: FromSink): void {
  parentPort?.postMessage(message);
}

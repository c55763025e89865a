import { parentPort } from 'node:worker_threads';
import { configFromPortable } from '../config/load.ts';
import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { formatLsn } from '../event/lsn.ts';
import { Replayer, type ReplayerOptions } from '../pipeline/replayer.ts';
import { supervise, type Health } from '../pipeline/supervision.ts';
import { createCodec, createLog } from '../registry.ts';
import { exitCodeFor, TailraceError } from '../runtime/errors.ts';
import { createLogger, type Logger, type LogLevel } from '../runtime/logger.ts';
import { reporterOver, type FromSink, type SinkReport, type SinkThreadData, type ToThread } from './thread-messages.ts';

const reportInterval = 250;

/** What a thread replays into, and how: that is all in which a stream's thread differs from a sink's. */
export type Follower = Pick<ReplayerOptions, 'sink' | 'topics' | 'filter' | 'onError'>;

export interface FollowerContext {
  readonly config: PipelineConfig;
  readonly logger: Logger;
}

/** A thread that follows the log, shares nothing with the others, and is begun again by itself as the error catalogue says. */
export async function runFollower(data: SinkThreadData, makeFollower: (context: FollowerContext) => Follower | Promise<Follower>): Promise<void> {
  const config = configFromPortable(data.config);
  const logger = createLogger({ level: data.logLevel as LogLevel }).child({ pipeline: config.name, [data.role]: data.sink });
  const context = { pipeline: config.name, logger };
  const log = createLog(config.log, { ...context, shared: data.shared });
  const reporter = reporterOver(data.port);
  const stop = new AbortController();
  let follower: Follower | null = null;
  let replayer: Replayer | null = null;
  let health: Health | { readonly state: 'starting' } = { state: 'starting' };

  const report = (): void => send({ kind: 'sink', report: view(replayer, health) });
  const run = async (signal: AbortSignal, healthy: () => void): Promise<void> => {
    const reader = await log.openReader();
    try {
      follower ??= await makeFollower({ config, logger });
      replayer = await Replayer.open({
        ...follower, sinkName: data.sink, reader, codec: createCodec(config.format, context), snapshot: config.source.snapshot, reporter, logger,
      }, signal);
      healthy();
      await replayer.run(signal);
    } finally {
      await reader.close();
    }
  };
  const onHealth = (next: Health, error: unknown): void => {
    health = next;
    if (next.state === 'retrying') logger.warn({ err: error }, `the ${data.role} is interrupted; it is tried again`);
    if (next.state === 'stopped') logger.error({ err: error }, `the ${data.role} has stopped`);
    report();
  };

  parentPort?.on('message', (message: ToThread) => {
    if (message.kind === 'stop') stop.abort(new TailraceError('internal', 'stopped'));
  });
  const timer = setInterval(report, reportInterval);
  const error = await supervise({ run, onHealth }, stop.signal);
  clearInterval(timer);
  report();
  send({ kind: 'ended', exit: error === null ? 0 : exitCodeFor(error) });
  data.port.close();
  data.outputs?.close();
  parentPort?.close();
}

function view(replayer: Replayer | null, health: Health | { readonly state: 'starting' }): SinkReport {
  const progress = replayer?.progress;
  return {
    state: health.state,
    error: 'error' in health ? health.error : null,
    position: progress?.position == null ? null : formatLsn(progress.position.commitLsn),
    endLsn: formatLsn(progress?.endLsn ?? 0n),
    offset: progress?.offset ?? 0,
    commitAt: Number((progress?.commitTime ?? 0n) / 1000n),
    applied: progress?.applied ?? 0,
    missing: progress?.missing ?? 0,
    blockedKeys: progress?.blockedKeys ?? 0,
  };
}

function send(message: FromSink): void {
  parentPort?.postMessage(message);
}

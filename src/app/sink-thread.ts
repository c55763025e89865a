import { parentPort, workerData } from 'node:worker_threads';
import { configFromPortable } from '../config/load.ts';
import { formatLsn } from '../event/lsn.ts';
import { Replayer } from '../pipeline/replayer.ts';
import { topicNames } from '../pipeline/topics.ts';
import { supervise, type Health } from '../pipeline/supervision.ts';
import { createCodec, createLog, createSink } from '../registry.ts';
import { exitCodeFor, TailraceError } from '../runtime/errors.ts';
import { createLogger, type LogLevel } from '../runtime/logger.ts';
import { reporterOver, type FromSink, type SinkReport, type SinkThreadData, type ToThread } from './thread-messages.ts';

const reportInterval = 250;

/** The thread of one sink: it reads the log, writes its replica, and shares nothing with the others. */
async function runSink(data: SinkThreadData): Promise<void> {
  const config = configFromPortable(data.config);
  const own = config.sinks.find((sink) => sink.name === data.sink);
  if (own === undefined) throw new TailraceError('internal', `there is no sink ${data.sink}`);
  const logger = createLogger({ level: data.logLevel as LogLevel }).child({ pipeline: config.name, sink: own.name });
  const context = { pipeline: config.name, logger };
  const log = createLog(config.log, { ...context, shared: data.shared });
  const sink = createSink(own, { ...context, sink: own.name });
  const reporter = reporterOver(data.port);
  const stop = new AbortController();
  let replayer: Replayer | null = null;
  let health: Health | { readonly state: 'starting' } = { state: 'starting' };

  const report = (): void => send({ kind: 'sink', report: view(replayer, health) });
  const run = async (signal: AbortSignal, healthy: () => void): Promise<void> => {
    const reader = await log.openReader();
    try {
      replayer = await Replayer.open({
        topics: topicNames(config.name), sinkName: own.name, sink, reader, codec: createCodec(config.format, context), filter: own.tables,
        snapshot: config.source.snapshot, onError: own.on_error, reporter, logger,
      }, signal);
      healthy();
      await replayer.run(signal);
    } finally {
      await reader.close();
    }
  };
  const onHealth = (next: Health, error: unknown): void => {
    health = next;
    if (next.state === 'retrying') logger.warn({ err: error }, 'the sink is interrupted; it is tried again');
    if (next.state === 'stopped') logger.error({ err: error }, 'the sink has stopped');
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

await runSink(workerData as SinkThreadData);

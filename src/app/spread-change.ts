import type { PipelineConfig, StreamConfig } from '../config/pipeline-schema.ts';
import type { Log } from '../log/log.ts';
import { forgetTask } from '../pipeline/state-log.ts';
import { streamOfTask, taskTopics } from '../pipeline/topics.ts';
import { createLog } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import { LoggedState } from '../stream/logged-state.ts';
import { keepAs } from '../stream/spread.ts';
import { tasksOf } from './spread-streams.ts';
import { openStateLog, spreadContext, stateShapes, taskPath, type SpreadContext } from './spread-task.ts';

/** A worker that died a moment ago still counts for as long as its session. */
const longestWait = 12_000;

/**
 * As `changeStream`, for a stream in shards: forgets the states of all of its tasks, or takes the module as it is now for theirs. Throws
 * `log-locked` while a worker has any of them.
 */
export async function changeSpread(config: PipelineConfig, own: StreamConfig & { readonly shards: number }, of: { readonly change: 'reset' | 'keep'; readonly logger: Logger }): Promise<void> {
  const log = await createLog(config.log, { pipeline: config.name, logger: of.logger });
  const context = await spreadContext(config, own.name, { log, logger: of.logger });
  await withAllTasks(log, own, async () => {
    if (of.change === 'reset') await forgetStates(context);
    else for (const task of tasksOf(own)) await keepState(context, task);
  });
}

/** Takes all tasks of the stream as a worker of it would, so that no other one has any. */
async function withAllTasks(log: Log, own: StreamConfig & { readonly shards: number }, work: () => Promise<void>): Promise<void> {
  const tasks = tasksOf(own);
  const stop = new AbortController();
  const all = Promise.withResolvers<void>();
  let granted = 0;
  const held = (_task: string, signal: AbortSignal): Promise<void> => {
    if (++granted === tasks.length) all.resolve();
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  };
  const sharing = log.share(`stream.${own.name}`, tasks, held, stop.signal);
  const timer = setTimeout(() => all.reject(new TailraceError('log-locked', `workers are at the stream ${own.name}`, { remedy: 'Stop them first.' })), longestWait);
  try {
    await Promise.race([all.promise, sharing]);
    await work();
  } finally {
    clearTimeout(timer);
    stop.abort();
    await sharing;
  }
}

/** Of every task that the log knows: there may have been more shards. */
async function forgetStates({ config, own, log, codec }: SpreadContext): Promise<void> {
  const writer = await log.openWriter();
  const reader = await log.openReader();
  try {
    const found = writer.topics().map(({ topic }) => streamOfTask(config.name, topic)).filter((known) => known?.stream === own.name);
    for (const task of new Set(found.map((known) => known?.task ?? ''))) {
      const topics = taskTopics(config.name, own.name, task);
      await forgetTask({ pipeline: config.name, topics, name: own.name, codec, writer, reader, isOnlyWriter: log.writers === 'one' });
    }
  } finally {
    await reader.close();
    await writer.close();
  }
}

async function keepState(context: SpreadContext, task: string): Promise<void> {
  const log = await openStateLog(context, task);
  let state: LoggedState | null = null;
  try {
    state = await LoggedState.open({ path: taskPath(context, task), log, shapes: stateShapes });
    const step = keepAs(state.state);
    if (step === null) return;
    state.begin();
    state.state.setMeta('fingerprint', context.spread.fingerprint);
    await state.commit(step);
  } finally {
    await (state ?? log).close();
  }
}

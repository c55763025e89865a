import type { Codec } from '../codec/codec.ts';
import type { PipelineConfig, StreamConfig } from '../config/pipeline-schema.ts';
import type { Log } from '../log/log.ts';
import { Retention, type Retained, type RetentionRules } from '../pipeline/retention.ts';
import { pieceTuple, piecesShape, rowsShape, StateLog } from '../pipeline/state-log.ts';
import { taskTopics } from '../pipeline/topics.ts';
import { createCodec, type FormatConfig } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import type { SpreadOf } from '../stream/spread.ts';
import type { StateShapes } from '../stream/state-log.ts';
import { loadStreamModule } from '../stream/stream-module.ts';
import { isSpread, resultsTask, shardName } from './spread-streams.ts';
import { statePath, tablesOf } from './streams.ts';
import type { SinkReport } from './thread-messages.ts';

/** One task of a stream, for as long as this worker has it. */
export interface SpreadTask {
  /** Until the signal aborts; called again after an error that passes. */
  run(signal: AbortSignal, healthy: () => void): Promise<void>;
  report(): Omit<SinkReport, 'state' | 'error'>;
}

/** What all tasks of a stream have in common. */
export interface SpreadContext {
  readonly config: PipelineConfig;
  readonly own: StreamConfig & { readonly shards: number };
  readonly spread: SpreadOf;
  /** The tables that it reads, `schema.table`. */
  readonly tables: readonly string[];
  readonly log: Log;
  /** Of what tasks write for each other and for themselves. */
  readonly codec: Codec;
  readonly logger: Logger;
}

export const stateShapes: StateShapes = { pieces: piecesShape, rows: rowsShape, piece: pieceTuple };

const plainCodec = { type: 'tuple' } as FormatConfig;

/** What is older than this, and what nobody needs any more, of what tasks write for each other. */
const keptFor = 60_000;
const retentionInterval = 10_000;

export async function spreadContext(config: PipelineConfig, stream: string, { log, logger }: { readonly log: Log; readonly logger: Logger }): Promise<SpreadContext> {
  const own = config.streams.find((candidate) => candidate.name === stream);
  if (own === undefined || !isSpread(own)) throw new TailraceError('internal', `there is no stream ${stream} in shards`);
  const { definition, fingerprint } = await loadStreamModule(own.module);
  const codec = await createCodec(plainCodec, { pipeline: config.name, logger });
  return { config, own, spread: { name: own.name, definition, fingerprint, shards: own.shards }, tables: tablesOf(definition), log, codec, logger };
}

/** The file of a task's state on this machine. */
export function taskPath({ config, own }: SpreadContext, task: string): string {
  return statePath(config.name, own).replace(/(\.sqlite)?$/, `.${task}$1`);
}

export function openStateLog({ config, own, log, codec }: SpreadContext, task: string): Promise<StateLog> {
  const shapes = task === resultsTask ? [piecesShape] : [piecesShape, rowsShape];
  return StateLog.open({ log, pipeline: config.name, topics: taskTopics(config.name, own.name, task), name: shardName(own.name, task), codec, shapes });
}

/** Lets go of what tasks no longer need; returns how it is ended. */
export function retain(log: StateLog, rules: RetentionRules, logger: Logger): () => void {
  const { publisher } = log;
  const retained: Retained = {
    reader: publisher.reader, writer: publisher.writer, isOnlyWriter: publisher.isOnlyWriter, exclusively: (work) => publisher.exclusively(work),
    get start() {
      return log;
    },
  };
  return everySoOften(new Retention(retained, { ...rules, retention: { age: keptFor } }, logger), logger);
}

export function everySoOften(retention: Retention, logger: Logger): () => void {
  let isEnded = false;
  let isBusy = false;
  const timer = setInterval(() => {
    if (isBusy) return;
    isBusy = true;
    retention.enforce()
      .catch((error: unknown) => { if (!isEnded) logger.warn({ err: error }, 'old data could not be let go of; it is tried again'); })
      .finally(() => { isBusy = false; });
  }, retentionInterval);
  return () => {
    isEnded = true;
    clearInterval(timer);
  };
}

import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { Log } from '../log/log.ts';
import { lastStart, moveLog, type Moved, type MovedLog } from '../pipeline/move/move-log.ts';
import { createCodec, createLog, type LogConfig } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import { commandLogger } from '../runtime/logger.ts';
import { moveGroups } from './moved-groups.ts';

/** Copies the log of a pipeline, with its consumer groups, to where the other configuration of it says; the old one ends there. */
export async function copyLog(from: PipelineConfig, to: PipelineConfig, onProgress: (moved: Moved) => void): Promise<void> {
  checkPair(from, to);
  const context = { pipeline: from.name, logger: commandLogger };
  const { tombstones } = await createCodec(from.format, context);
  const source = await createLog(from.log, context);
  // A path that is wrong is told, and no log is made there.
  await (await source.openReader()).close();
  await withLog(source, async (old) => {
    const { logId } = await lastStart(old.reader, from.name);
    const target = await createLog(to.log, { ...context, logId });
    await withLog(target, async (made) => {
      const known = made.reader.logId;
      if (known !== undefined && known !== logId) throw new TailraceError('log-not-empty', `the log to copy to is another one (${known})`);
      const whenCopied = (): Promise<void> => moveGroups({ pipeline: from.name, from: { log: source, reader: old.reader }, to: { log: target, reader: made.reader } });
      await moveLog({ pipeline: from.name, from: old, to: made, place: placeOf(to.log), tombstones, onProgress, whenCopied });
    });
  });
}

/** For people: where a log is. */
export function placeOf(log: LogConfig): string {
  return log.type === 'kafka' ? `Kafka at ${log.brokers.join(', ')}` : log.directory;
}

function checkPair(from: PipelineConfig, to: PipelineConfig): void {
  const refuse = (why: string, remedy: string): never => {
    throw new TailraceError('usage', why, { remedy });
  };
  if (from.name !== to.name) refuse(`the files are of two pipelines, ${from.name} and ${to.name}`, 'topics, slot and positions are named by the pipeline: copy the file, and change only its log');
  if (placeOf(from.log) === placeOf(to.log)) refuse(`both files have the log at ${placeOf(to.log)}`, 'name the file with the old log first, and the one with the new log behind it');
  if (from.format.type !== to.format.type) refuse(`the log is written as ${from.format.type}, and the new file says ${to.format.type}`, `events are copied as they are: write format: ${from.format.type} into the new file`);
}

async function withLog<T>(log: Log, use: (log: MovedLog) => Promise<T>): Promise<T> {
  const writer = await log.openWriter();
  try {
    const reader = await log.openReader();
    try {
      return await use({ reader, writer });
    } finally {
      await reader.close();
    }
  } finally {
    await writer.close();
  }
}

import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { LogWriter } from '../log/log.ts';
import { encodeControl } from '../pipeline/control-json.ts';
import { appendRecord } from '../pipeline/group.ts';
import { topicNames } from '../pipeline/topics.ts';
import { createLog, createSink } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import { shortened } from '../runtime/printable.ts';

/** A worker that died a moment ago still counts for as long as its session. */
const longestWait = 12_000;

/**
 * Ends a sink: retention no longer waits for it, and its position goes from the replica, whose tables stay. It may be gone
 * from the config already: then only the log is told. Needs the log, or on Kafka the sink, for itself: throws `log-locked` while a
 * daemon runs it.
 */
export async function forgetSink(config: PipelineConfig, name: string, logger: Logger): Promise<{ readonly replica: boolean; readonly log: boolean }> {
  const context = { pipeline: config.name, logger };
  const own = config.sinks.find((sink) => sink.name === name);
  const log = await createLog(config.log, context);
  const lead = await log.lead(`sink.${name}`, AbortSignal.timeout(longestWait)).catch((error: unknown) => {
    if (error instanceof DOMException) throw new TailraceError('log-locked', `a worker runs the sink ${shortened(name, 60)}`);
    throw error;
  });
  const writer = await log.openWriter();
  try {
    const inLog = has(writer, topicNames(config.name).sink(name));
    if (own === undefined && !inLog) {
      throw new TailraceError('usage', `the pipeline ${config.name} has no sink ${shortened(name, 60)}`, { remedy: `it has ${config.sinks.map((sink) => sink.name).join(', ') || 'none'}` });
    }
    if (own !== undefined) await (await createSink(own, { ...context, sink: name, ddl: config.ddl })).forget();
    if (inLog) await forgetTopics(writer, config.name, { name, stays: own !== undefined });
    return { replica: own !== undefined, log: inLog };
  } finally {
    await writer.close();
    await lead.release();
  }
}

/**
 * A sink that stays in the configuration has no past from here on, and what stood there before goes. Of one that is gone from it, so does the
 * topic; but dead letters stay, for whoever still wants to look at them.
 */
async function forgetTopics(writer: LogWriter, pipeline: string, { name, stays }: { readonly name: string; readonly stays: boolean }): Promise<void> {
  const topics = topicNames(pipeline);
  const [said, letters] = [topics.sink(name), topics.deadLetter(name)];
  if (stays) {
    const { end } = writer.range(said, 0);
    writer.roll?.(said, 0);
    await appendRecord(writer, said, { value: encodeControl({ type: 'forgotten' }) });
    await writer.trim(said, 0, end);
    return;
  }
  await writer.deleteTopic(said);
  if (!has(writer, letters)) return;
  const { start, end } = writer.range(letters, 0);
  if (start === end) await writer.deleteTopic(letters);
}

function has(writer: LogWriter, topic: string): boolean {
  return writer.topics().some((spec) => spec.topic === topic);
}

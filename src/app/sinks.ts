import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { encodeControl } from '../pipeline/control-records.ts';
import { controlDraft } from '../pipeline/group.ts';
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
  const log = createLog(config.log, context);
  const lead = await log.lead(`sink.${name}`, AbortSignal.timeout(longestWait)).catch((error: unknown) => {
    if (error instanceof DOMException) throw new TailraceError('log-locked', `a worker runs the sink ${shortened(name, 60)}`);
    throw error;
  });
  const writer = await log.openWriter();
  try {
    const topic = topicNames(config.name).sink(name);
    const inLog = writer.topics().some((spec) => spec.topic === topic);
    if (own === undefined && !inLog) {
      throw new TailraceError('usage', `the pipeline ${config.name} has no sink ${shortened(name, 60)}`, { remedy: `it has ${config.sinks.map((sink) => sink.name).join(', ') || 'none'}` });
    }
    if (own !== undefined) await createSink(own, { ...context, sink: name, ddl: config.ddl }).forget();
    if (inLog) {
      const batch = writer.batch(topic, 0);
      batch.add(controlDraft(encodeControl({ type: 'forgotten' }), Date.now()));
      await writer.append([batch]);
    }
    return { replica: own !== undefined, log: inLog };
  } finally {
    await writer.close();
    await lead.release();
  }
}

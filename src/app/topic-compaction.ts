import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { Rewriting } from '../log/log.ts';
import { writerOf } from '../pipeline/topics.ts';
import { isMerged } from '../pipeline/merge/mark.ts';
import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import { LogDoor } from './log-door.ts';
import { kindOf } from './topic-kind.ts';
import { findTopic, withLogReader } from './topics.ts';

export interface CompactOrder {
  readonly topic: string;
  /** Milliseconds. */
  readonly deleteRetention: number;
  readonly runtimeFolder: string | undefined;
}

/** Compacts a topic that people produce to, now; by its daemon where one runs. */
export async function compactNow(configs: readonly PipelineConfig[], order: CompactOrder): Promise<{ readonly topic: string; readonly sizes: Rewriting }> {
  const { config, topic } = await findTopic(configs, order.topic);
  if (kindOf(config.name, topic) !== 'produced') throw ofThePipeline(config.name, topic);
  if (await withLogReader(config, (reader) => isMerged(reader, topic))) {
    throw new TailraceError('usage', `${shortened(topic, 80)} is merged from other topics: rows of two tables may have the same key, and an update may lack columns`, {
      remedy: 'Let a stream map the tables, and set cleanup: compact for it (docs/streams.md, Compacted results).',
    });
  }
  const door = new LogDoor(config, order.runtimeFolder);
  try {
    const { sizes } = await door.ask({ do: 'compact', topic, deleteRetention: order.deleteRetention });
    if (sizes === undefined) throw new TailraceError('usage', `the topic ${shortened(topic, 80)} was deleted meanwhile`);
    return { topic, sizes };
  } finally {
    await door.close();
  }
}

function ofThePipeline(pipeline: string, topic: string): TailraceError {
  const ofStream = writerOf(pipeline, topic) !== pipeline;
  const what = `${shortened(topic, 80)} is a topic that the pipeline ${pipeline} writes: whoever reads its transactions would take an event that is missing for lost`;
  if (kindOf(pipeline, topic) !== 'events') return new TailraceError('usage', what, { remedy: 'Only topics that people produce to are compacted by this command.' });
  return new TailraceError('usage', what, {
    remedy: ofStream
      ? 'Set cleanup: compact for its stream in the connector file: the daemon then compacts what no transaction names any more.'
      : "Let a stream map the table, and set cleanup: compact for it (docs/streams.md, Compacted results): its topic then has the newest row of each key.",
  });
}

import { isProduced, topicNames, writerOf } from '../pipeline/topics.ts';

/** What a topic holds: the `events` of a table or of a stream's output, what people `produced`, or one of the pipeline's own. */
export type TopicKind = 'events' | 'produced' | 'message' | 'transaction' | 'schema' | 'sink' | 'dead-letter' | 'job' | 'shapes';

export function kindOf(pipeline: string, topic: string): TopicKind {
  const names = topicNames(writerOf(pipeline, topic));
  if (topic === names.transaction) return 'transaction';
  if (topic === names.schema) return 'schema';
  if (topic === names.message) return 'message';
  if (topic === names.mergedShapes) return 'shapes';
  if (topic.startsWith(names.sink(''))) return 'sink';
  if (topic.startsWith(names.job(''))) return 'job';
  if (topic.startsWith(names.deadLetter(''))) return 'dead-letter';
  return isProduced(topic) ? 'produced' : 'events';
}

/** Whether commands write to the topic, and the pipeline itself never does. */
export function isOthers(pipeline: string, topic: string): boolean {
  const kind = kindOf(pipeline, topic);
  return kind === 'produced' || kind === 'shapes';
}

/** What would be gone with a topic that the pipeline writes. */
export function lossOf(pipeline: string, topic: string): string {
  if (writerOf(pipeline, topic) !== pipeline) return 'what the stream has computed goes: sinks that have not applied it all stop with a gap';
  switch (kindOf(pipeline, topic)) {
    case 'events': return `the changes of its table go: sinks that have not applied them all stop with a gap, and new ones need the table copied anew (tailrace snapshot ${topic.slice(pipeline.length + 1)})`;
    case 'transaction': return 'where the pipeline stands goes: it stops with a gap, or with on_gap: snapshot copies every table anew';
    case 'schema': return 'the shapes of all tables go: no event that the log holds can be read any more';
    case 'message': return 'the logical messages of the source go';
    case 'sink': return 'what the sink has asked for goes, and retention no longer waits for it';
    case 'dead-letter': return 'what the sink could not apply goes, and cannot be mended any more';
    case 'job': return 'what became of the runs of the job goes';
    case 'shapes': return 'what was merged from other logs cannot be read any more';
    case 'produced': return 'what was produced to it goes';
  }
}

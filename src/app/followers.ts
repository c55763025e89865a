import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { streamTopics, topicNames, type TopicNames } from '../pipeline/topics.ts';
import { readersOf } from './spread-streams.ts';

/** Which topics a sink or a stream follows: the pipeline's own, or those of the stream that it names. */
export function inputTopics(pipeline: string, { from }: { readonly from?: string | undefined }): TopicNames {
  return from === undefined ? topicNames(pipeline) : streamTopics(pipeline, from);
}

/** Who follows what the stream `from` gives, or without one the captured tables: streams and sinks. */
export function followersOf({ streams, sinks }: Pick<PipelineConfig, 'streams' | 'sinks'>, from?: string): readonly { readonly name: string; readonly hold: boolean }[] {
  return [...streams.filter((stream) => stream.from === from).flatMap(readersOf), ...sinks.filter((sink) => sink.from === from)];
}

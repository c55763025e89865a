import type { StreamConfig } from '../config/pipeline-schema.ts';

/** What lies behind the shards of a stream, among its tasks; the others are the shards' numbers. */
export const resultsTask = 'results';

export function isSpread(stream: StreamConfig): stream is StreamConfig & { readonly shards: number } {
  return stream.shards !== undefined;
}

export function tasksOf({ shards }: { readonly shards: number }): readonly string[] {
  return [resultsTask, ...Array.from({ length: shards }, (_, index) => String(index))];
}

/** By what name a shard follows the pipeline's log, as sinks do. */
export function shardName(stream: string, index: number | string): string {
  return `${stream}.${index}`;
}

/** Whom of a stream the pipeline's publisher and retention know: itself, or its shards. */
export function readersOf(stream: StreamConfig): readonly { readonly name: string; readonly hold: boolean }[] {
  if (!isSpread(stream)) return [stream];
  return Array.from({ length: stream.shards }, (_, index) => ({ name: shardName(stream.name, index), hold: stream.hold }));
}

/** By what names a stream is shown: its own, and those of its shards. */
export function partsOfStream(stream: StreamConfig): readonly string[] {
  return isSpread(stream) ? [stream.name, ...readersOf(stream).map(({ name }) => name)] : [stream.name];
}

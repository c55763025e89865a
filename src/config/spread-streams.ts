import { valueAt } from './schema-walk.ts';
import type { ConfigProblem, SourceFile } from './source-file.ts';
import type { YamlTree } from './yaml-tree.ts';

/** A stream in shards, where there are no workers to share them, or with what it cannot do. */
export function spreadStreams(file: SourceFile, tree: YamlTree): readonly ConfigProblem[] {
  const streams = valueAt(tree.value, ['streams']);
  if (!Array.isArray(streams)) return [];
  const isKafka = valueAt(tree.value, ['log', 'type']) === 'kafka';
  return streams.flatMap((stream: unknown, i) => {
    if (valueAt(stream, ['shards']) === undefined) return [];
    const problem = (key: string, message: string, remedy: string): ConfigProblem[] => {
      const place = tree.place(['streams', i, key]);
      return place === undefined ? [] : [file.problem(place.at, { path: `streams[${i}].${key}`, message, remedy })];
    };
    if (!isKafka) return problem('shards', 'shards are shared by workers in several processes, and this log is one process\'s', 'leave shards out, or let the topics live in Kafka (log: { type: kafka })');
    if (valueAt(stream, ['from']) !== undefined) return problem('from', 'a stream in shards reads captured tables', 'leave from or shards out');
    if (valueAt(stream, ['on_error']) !== 'dead-letter') return [];
    return problem('on_error', 'every shard would set the same row aside, and what lies behind them cannot tell whose a row is', 'leave on_error or shards out');
  });
}

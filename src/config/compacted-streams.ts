import { valueAt } from './schema-walk.ts';
import type { ConfigProblem, SourceFile } from './source-file.ts';
import type { YamlTree } from './yaml-tree.ts';

/** A stream whose results are to be compacted, where that cannot be, or would never come to pass. */
export function compactedStreams(file: SourceFile, tree: YamlTree): readonly ConfigProblem[] {
  const streams = valueAt(tree.value, ['streams']);
  const why = problemOf(tree.value);
  if (why === undefined || !Array.isArray(streams)) return [];
  return streams.flatMap((stream: unknown, i) => {
    const place = tree.place(['streams', i, 'cleanup']);
    return valueAt(stream, ['cleanup']) === 'compact' && place !== undefined ? [file.problem(place.at, { path: `streams[${i}].cleanup`, ...why })] : [];
  });
}

function problemOf(config: unknown): { readonly message: string; readonly remedy: string } | undefined {
  if (valueAt(config, ['log', 'type']) === 'kafka') {
    return {
      message: "Kafka's brokers compact without knowing what the ENDs of transactions name, and whoever reads those would take what is missing for lost",
      remedy: 'leave it out; to have a compacted topic on Kafka, produce into one that was made with tailrace topics create --config cleanup.policy=compact',
    };
  }
  const limited = ['age', 'size'].some((limit) => valueAt(config, ['log', 'retention', limit]) !== undefined);
  if (limited) return undefined;
  return { message: 'only what retention would delete is compacted, and this log keeps everything', remedy: 'set log.retention, for example { age: 1h }: that long results are kept with their history' };
}

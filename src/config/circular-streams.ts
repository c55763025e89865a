import { valueAt } from './schema-walk.ts';
import type { ConfigProblem, SourceFile } from './source-file.ts';
import type { YamlTree } from './yaml-tree.ts';

/** Streams that read each other's outputs in a circle: none of them would ever have anything to read. */
export function circularStreams(file: SourceFile, tree: YamlTree): readonly ConfigProblem[] {
  const streams = valueAt(tree.value, ['streams']);
  if (!Array.isArray(streams)) return [];
  const from = new Map(streams.map((stream: unknown) => [valueAt(stream, ['name']), valueAt(stream, ['from'])]));
  return streams.flatMap((stream: unknown, i) => {
    const own = valueAt(stream, ['name']);
    const way = [own];
    for (let next = from.get(own); next !== undefined && !way.includes(next); next = from.get(next)) way.push(next);
    const place = tree.place(['streams', i, 'from']);
    if (place === undefined || typeof own !== 'string' || from.get(way.at(-1)) !== own) return [];
    const message = `the stream reads its own results${way.length === 1 ? '' : `, by way of ${way.slice(1).join(' and ')}`}`;
    return [file.problem(place.at, { path: `streams[${i}].from`, message, remedy: 'leave from out once: the first stream of a chain reads the captured tables' })];
  });
}

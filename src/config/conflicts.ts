import { claimsOf } from '../registry.ts';
import type { LoadedPipeline } from './load.ts';
import type { ConfigProblem } from './source-file.ts';
import { formatPath, type Path } from './yaml-tree.ts';

interface Held {
  readonly pipeline: LoadedPipeline;
  readonly path: Path;
  readonly what: string;
}

/** What each file is right about and all of them together are not: two pipelines of one name, on one slot, in one folder. */
export function findConflicts(pipelines: readonly LoadedPipeline[]): readonly ConfigProblem[] {
  const held = new Map<string, Held>();
  const problems: ConfigProblem[] = [];
  const claim = (identity: string, mine: Held, remedy: string): void => {
    const other = held.get(identity);
    if (other === undefined) {
      held.set(identity, mine);
      return;
    }
    const there = at(other, { path: '', message: '' });
    const message = `${mine.what} is taken already, at ${there.file}:${there.line}:${there.column} ${formatPath(other.path)}`;
    problems.push(at(mine, { path: formatPath(mine.path), message, remedy }));
  };
  for (const pipeline of pipelines) {
    const { config } = pipeline;
    claim(`pipeline ${config.name}`, { pipeline, path: ['name'], what: `the pipeline name ${config.name}` }, 'give each pipeline a name of its own');
    for (const { identity, what, path, remedy } of claimsOf(config)) claim(identity, { pipeline, path, what }, remedy);
  }
  return problems;
}

/** At the key itself, or at the nearest thing above it that is written: the key may be a default. */
function at({ pipeline, path }: Held, what: { path: string; message: string; remedy?: string }): ConfigProblem {
  for (let length = path.length; length > 0; length--) {
    const place = pipeline.tree.place(path.slice(0, length));
    if (place !== undefined) return pipeline.file.problem(place.keyAt >= 0 ? place.keyAt : place.at, what);
  }
  return pipeline.file.problem(0, what);
}

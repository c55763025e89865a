import { readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { didYouMean } from '../runtime/did-you-mean.ts';
import { TailraceError } from '../runtime/errors.ts';
import { checkedConfig } from './checked.ts';
import { circularStreams } from './circular-streams.ts';
import { compactedStreams } from './compacted-streams.ts';
import { findConflicts } from './conflicts.ts';
import { spreadStreams } from './spread-streams.ts';
import { explainIssues } from './explain.ts';
import { pipelineSchema, withFormat, type PipelineConfig } from './pipeline-schema.ts';
import { valueAt } from './schema-walk.ts';
import { formatProblem, readSourceFile, type ConfigProblem, type SourceFile } from './source-file.ts';
import type { Environment } from './substitute.ts';
import { meantIssues } from './union-issues.ts';
import { readYaml, type Path, type YamlTree } from './yaml-tree.ts';

/** A connector file that was read and is right. */
export interface LoadedPipeline {
  readonly config: PipelineConfig;
  readonly file: SourceFile;
  readonly tree: YamlTree;
}

export interface Loaded {
  readonly pipelines: readonly LoadedPipeline[];
  /** Every problem of every file; empty when all is well. */
  readonly problems: readonly ConfigProblem[];
}

/** Where `run` and others look when they are given no path. */
export const DEFAULT_FOLDER = 'connectors';

/** Reads the files, and of folders every *.yaml and *.yml directly in them. Never throws for what stands in a file. */
export function loadPipelines(paths: readonly string[], environment: Environment): Loaded {
  const problems: ConfigProblem[] = [];
  const pipelines: LoadedPipeline[] = [];
  const files = listFiles(paths.length === 0 ? [DEFAULT_FOLDER] : paths, problems);
  for (const path of files) {
    const file = readSourceFile(path);
    if (!('text' in file)) {
      problems.push(file);
      continue;
    }
    const parsed = parsePipeline(file, environment);
    problems.push(...parsed.problems);
    if (parsed.pipeline !== undefined) pipelines.push(parsed.pipeline);
  }
  problems.push(...findConflicts(pipelines));
  return { pipelines, problems };
}

/** As `loadPipelines`; throws `config-invalid` with all problems in one message. */
export function requirePipelines(paths: readonly string[], environment: Environment): readonly LoadedPipeline[] {
  const { pipelines, problems } = loadPipelines(paths, environment);
  if (problems.length > 0) throw configError(problems);
  return pipelines;
}

export function configError(problems: readonly ConfigProblem[]): TailraceError {
  const count = problems.length === 1 ? '' : `\n\n${problems.length} problems`;
  return new TailraceError('config-invalid', problems.map(formatProblem).join('\n\n') + count, { remedy: '' });
}

/** One file's text to one frozen config. */
export function parsePipeline(
  file: SourceFile,
  environment: Environment,
): { readonly pipeline?: LoadedPipeline | undefined; readonly problems: readonly ConfigProblem[] } {
  const tree = readYaml(file, environment);
  if (tree.isBroken([])) return { problems: tree.problems };
  let result = pipelineSchema.safeParse(withFormat(tree.value));
  if (!result.success && convertVariables(meantIssues(result.error.issues, tree.value), tree)) result = pipelineSchema.safeParse(withFormat(tree.value));
  const problems = [...tree.problems, ...(result.success ? [] : explainIssues(meantIssues(result.error.issues, tree.value), file, tree, pipelineSchema)), ...namesOfParts(file, tree), ...compactedStreams(file, tree), ...spreadStreams(file, tree), ...circularStreams(file, tree)];
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  if (!result.success || problems.length > 0) return { problems };
  // The schema is put together from the plug-ins' own, which the compiler cannot follow; the types say the same.
  const config = checkedConfig(result.data as unknown as PipelineConfig, tree.value);
  return { pipeline: { config, file, tree }, problems: [] };
}

/**
 * Sinks and streams have names of their own, jobs too, and what names one of them names one that is there. Looked for in the plain data, so
 * that it is told in one run with whatever else is wrong in the file.
 */
function namesOfParts(file: SourceFile, tree: YamlTree): readonly ConfigProblem[] {
  return [
    ...sharedNames(file, tree, ['streams', 'sinks']),
    ...sharedNames(file, tree, ['jobs']),
    ...unknownNames(file, tree, { list: 'streams', key: 'from', among: 'streams' }),
    ...unknownNames(file, tree, { list: 'sinks', key: 'from', among: 'streams' }),
    ...unknownNames(file, tree, { list: 'jobs', key: 'on', among: 'sinks' }),
  ];
}

function sharedNames(file: SourceFile, tree: YamlTree, lists: readonly ('streams' | 'sinks' | 'jobs')[]): readonly ConfigProblem[] {
  const first = new Map<string, number>();
  return lists.flatMap((list) =>
    listAt(tree, list).flatMap((part, i) => {
      const name = valueAt(part, ['name']);
      const place = tree.place([list, i, 'name']);
      if (typeof name !== 'string' || place === undefined) return [];
      const other = first.get(name);
      if (other === undefined) {
        first.set(name, place.keyAt);
        return [];
      }
      const message = `this name has another ${list.slice(0, -1)} already, on line ${file.problem(other, { path: '', message: '' }).line}`;
      return [file.problem(place.keyAt, { path: `${list}[${i}].name`, message, remedy: `give each ${lists.map((each) => each.slice(0, -1)).join(' and ')} of a pipeline a name of its own` })];
    }),
  );
}

function unknownNames(file: SourceFile, tree: YamlTree, of: { readonly list: 'streams' | 'sinks' | 'jobs'; readonly key: string; readonly among: 'streams' | 'sinks' }): readonly ConfigProblem[] {
  const { list, key, among } = of;
  const known = listAt(tree, among).map((part) => valueAt(part, ['name'])).filter((name) => typeof name === 'string');
  return listAt(tree, list).flatMap((part, i) => {
    const name = valueAt(part, [key]);
    const place = tree.place([list, i, key]);
    if (typeof name !== 'string' || place === undefined || known.includes(name)) return [];
    const near = didYouMean(name, known);
    const message = `there is no ${among.slice(0, -1)} ${name} in this pipeline${near === undefined ? '' : `, did you mean ${near}?`}`;
    return [file.problem(place.at, { path: `${list}[${i}].${key}`, message, remedy: `name one that stands under ${among}` })];
  });
}

function listAt(tree: YamlTree, key: string): readonly unknown[] {
  const list = valueAt(tree.value, [key]);
  return Array.isArray(list) ? list : [];
}

/** A variable's value is text; where the schema wants a number or a switch and the text is one, it is converted. */
function convertVariables(issues: readonly { readonly code?: string | undefined; readonly path: readonly PropertyKey[] }[], tree: YamlTree): boolean {
  let converted = false;
  for (const issue of issues) {
    const path = issue.path as Path;
    const last = path.at(-1);
    const text = valueAt(tree.value, path);
    if (issue.code !== 'invalid_type' || last === undefined || typeof text !== 'string' || (tree.place(path)?.variables.length ?? 0) === 0) continue;
    const value = /^-?(?:0|[1-9]\d{0,14})(?:\.\d{1,9})?$/.test(text) ? Number(text) : text === 'true' ? true : text === 'false' ? false : undefined;
    if (value === undefined) continue;
    (valueAt(tree.value, path.slice(0, -1)) as Record<string | number, unknown>)[last] = value;
    converted = true;
  }
  return converted;
}

function listFiles(paths: readonly string[], problems: ConfigProblem[]): readonly string[] {
  const seen = new Set<string>();
  return paths.flatMap((path) => expand(path, problems)).filter((path) => {
    const real = realOrSame(path);
    const isNew = !seen.has(real);
    seen.add(real);
    return isNew;
  });
}

function expand(path: string, problems: ConfigProblem[]): readonly string[] {
  const tell = (message: string, remedy: string): readonly string[] => {
    problems.push({ file: path, line: 0, column: 0, path: '', message, remedy });
    return [];
  };
  try {
    if (!statSync(path).isDirectory()) return [path];
    const names = readdirSync(path).filter((name) => /\.ya?ml$/i.test(name) && !name.startsWith('.')).toSorted();
    return names.length > 0 ? names.map((name) => join(path, name)) : tell('there is no .yaml file in this folder', 'put a connector file there, or name another path');
  } catch (error) {
    // What is wrong with a named file is said by whoever reads it.
    if (path !== DEFAULT_FOLDER || (error as { code?: string }).code !== 'ENOENT') return [path];
    return tell(`there is no folder ${path}/ in ${process.cwd()}`, 'name a connector file or a folder, or change to where connectors/ is');
  }
}

function realOrSame(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

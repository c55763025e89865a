import type { z } from 'zod';
import { didYouMean } from '../runtime/did-you-mean.ts';
import { printable, shortened } from '../runtime/printable.ts';
import { exampleOf, keysAt, schemaAt, schemaKeys, valueAt } from './schema-walk.ts';
import type { ConfigProblem, SourceFile } from './source-file.ts';
import { formatPath, type Path, type Place, type YamlTree } from './yaml-tree.ts';

type Issue = z.core.$ZodIssue;

/** Turns what the schema found into messages that say where, what, and what to write instead. */
export function explainIssues(issues: readonly Issue[], file: SourceFile, tree: YamlTree, schema: z.ZodType): readonly ConfigProblem[] {
  return issues.flatMap((issue) => {
    const path = issue.path as Path;
    if (issue.code === 'unrecognized_keys') return issue.keys.filter((key) => !tree.isBroken([...path, key])).map((key) => unknownKey(key, path, { file, tree, schema }));
    if (tree.isBroken(path)) return [];
    const place = placeOf(tree, path);
    const example = exampleOf(schemaAt(schema, tree.value, path));
    const what = describe(issue, tree, example);
    // A missing key has no place of its own: the key of the map that lacks it has.
    const at = place.exact ? place.at : place.keyAt >= 0 ? place.keyAt : place.at;
    const problem = file.problem(at, { path: formatPath(path), ...what });
    return [!place.exact && path.length === 1 ? { ...problem, excerpt: undefined } : problem];
  });
}

interface Scope {
  readonly file: SourceFile;
  readonly tree: YamlTree;
  readonly schema: z.ZodType;
}

function unknownKey(key: string, path: Path, { file, tree, schema }: Scope): ConfigProblem {
  const place = tree.place([...path, key]);
  const at = place?.keyAt ?? 0;
  const allowed = keysAt(schema, tree.value, path);
  const near = didYouMean(key, allowed);
  const elsewhere = schemaKeys(schema).find((other) => other.name === key);
  const shown = shortened(key, 60);
  const message = `unknown key ${shown}${near === undefined ? '' : `, did you mean ${near}?`}`;
  const remedy = near === undefined && elsewhere !== undefined ? `it belongs at ${elsewhere.path}` : `known here: ${allowed.join(', ')}`;
  // Whatever stands behind an unknown key may be a misspelt password's value.
  return file.problem(at, { path: formatPath([...path, key]), message, remedy, hideFrom: at + key.length + 1 });
}

function placeOf(tree: YamlTree, path: Path): Place & { readonly exact: boolean } {
  for (let length = path.length; length >= 0; length--) {
    const place = tree.place(path.slice(0, length));
    if (place !== undefined) return { ...place, exact: length === path.length };
  }
  return { keyAt: -1, at: 0, variables: [], source: undefined, exact: false };
}

const nouns: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map of keys',
  record: 'a map of keys',
};

function describe(issue: Issue, tree: YamlTree, example: string | undefined): { message: string; remedy?: string | undefined } {
  const path = issue.path as Path;
  const place = tree.place(path);
  const value = valueAt(tree.value, path);
  const found = shown(place, value, path);
  if (place === undefined) return missing(issue, example);
  switch (issue.code) {
    case 'invalid_type':
      return wrongType({ expected: issue.expected, place, value, found, example });
    case 'invalid_value':
      return notOneOf(issue.values.map(String), value, found);
    case 'invalid_union': {
      const options = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
      return options.length > 0 ? notOneOf(options, value, found) : { message: issue.message };
    }
    case 'too_small':
      if (isEmpty(value)) return { message: place.variables.length > 0 ? `empty, because ${place.variables.join(', ')} is` : 'must not be empty' };
      return { message: `too small${found}: at least ${issue.minimum}` };
    case 'too_big':
      return { message: `too large${found}: at most ${issue.maximum}` };
    case 'invalid_format':
      return { message: `not valid${found}: ${issue.message}` };
    default:
      if (isEmpty(value) && place.variables.length > 0) return { message: `empty, because ${place.variables.join(', ')} is`, remedy: issue.message };
      return { message: `${lowerFirst(issue.message)}${found}`, remedy: remedyOf(issue) };
  }
}

/** A schema may give its own advice: `context.addIssue({ code: 'custom', message, params: { remedy } })`. */
function remedyOf(issue: Issue): string | undefined {
  const remedy = issue.code === 'custom' ? (issue.params as { remedy?: unknown } | undefined)?.remedy : undefined;
  return typeof remedy === 'string' ? remedy : undefined;
}

function missing(issue: Issue, example = '…'): { message: string; remedy?: string } {
  const options = issue.code === 'invalid_union' && 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : undefined;
  const values = issue.code === 'invalid_value' ? issue.values.map(String) : options;
  const name = String(issue.path.at(-1) ?? 'value');
  if (values !== undefined) return { message: `missing: one of ${values.join(', ')}`, remedy: `write ${name}: ${values[0] ?? '…'}` };
  const expected = issue.code === 'invalid_type' ? nouns[issue.expected] : undefined;
  return { message: `missing${expected === undefined ? '' : `: ${expected}`}`, remedy: `write ${name}: ${example}` };
}

interface WrongType {
  readonly expected: string;
  readonly place: Place;
  readonly value: unknown;
  readonly found: string;
  readonly example: string | undefined;
}

function wrongType({ expected, place, value, found, example }: WrongType): { message: string; remedy?: string } {
  const noun = nouns[expected] ?? expected;
  if (value === null) return { message: `expected ${noun}, but there is nothing here` };
  const got = Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a map of keys' : `the ${typeof value === 'string' ? 'text' : typeof value}`;
  const message = `expected ${noun}, got ${got}${found.replace(/^ \((.*)\)$/, ' $1')}`;
  if (example !== undefined) return { message, remedy: `write for example ${example}` };
  if (expected === 'string' && place.source !== undefined && found !== '') return { message, remedy: `put it in quotes: "${printable(place.source)}"` };
  if (expected === 'array') return { message, remedy: 'begin each item with - on a line of its own, or write [a, b]' };
  return { message };
}

function notOneOf(allowed: readonly string[], value: unknown, found: string): { message: string; remedy: string } {
  const near = typeof value === 'string' ? didYouMean(value, allowed) : undefined;
  const nothing = value === null ? ', but there is nothing here' : '';
  return { message: `not one of ${allowed.join(', ')}${found}${nothing}`, remedy: near === undefined ? `write ${allowed.join(' or ')}` : `did you mean ${near}?` };
}

const secretName = /url|uri|dsn|passw|pwd|secret|token|sasl|credential/i;

/** ` (value)`, or nothing where the value came from the environment or may be a secret. */
function shown(place: Place | undefined, value: unknown, path: Path): string {
  if (place?.source === undefined || place.variables.length > 0 || value === null || place.source.trim() === '') return '';
  if (path.some((part) => typeof part === 'string' && secretName.test(part))) return '';
  return ` (${shortened(place.source, 40)})`;
}

function isEmpty(value: unknown): boolean {
  return value === '' || (Array.isArray(value) && value.length === 0);
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

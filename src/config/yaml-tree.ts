import { isAlias, isMap, isScalar, isSeq, parseDocument, visit, type Document, type Node, type Scalar, type YAMLError, type YAMLMap } from 'yaml';
import { printable } from '../runtime/printable.ts';
import type { ConfigProblem, SourceFile } from './source-file.ts';
import { substitute, type Environment } from './substitute.ts';

export type Path = readonly (string | number)[];

/** Where a value stands in the file, and what may be said of it. */
export interface Place {
  /** Offset of its key; -1 for an item of a list or the document. */
  readonly keyAt: number;
  readonly at: number;
  /** Variables that it was made of; such a value is never printed. */
  readonly variables: readonly string[];
  /** The scalar as it is written, for messages. */
  readonly source: string | undefined;
}

export interface YamlTree {
  /** Plain data; maps are objects without a prototype, so that `__proto__` and `constructor` are keys like others. */
  readonly value: unknown;
  readonly problems: readonly ConfigProblem[];
  place(path: Path): Place | undefined;
  /** Whether a problem was already told of the value at `path` or something above it. */
  isBroken(path: Path): boolean;
}

const MAX_VALUES = 10_000;
const MAX_DEPTH = 40;
const knownTags = new Set(['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((name) => `tag:yaml.org,2002:${name}`));

/** Parses YAML 1.2 (core schema: `no`, `on` and dates are strings) and puts the environment's values in. */
export function readYaml(file: SourceFile, environment: Environment): YamlTree {
  const walker = new Walker(file, environment);
  const nul = file.text.indexOf('\0');
  if (nul >= 0) {
    walker.tell(nul, [], 'there is a NUL byte here', 'is this a text file?');
    return walker.tree(undefined);
  }
  // Duplicate keys are looked for in the walk: the library's own look is quadratic, and names one place only.
  const document = parseDocument(file.text, { schema: 'core', version: '1.2', uniqueKeys: false, prettyErrors: false, logLevel: 'error' });
  // The first only: what follows a syntax error is mostly its echo.
  const [error] = document.errors;
  if (error !== undefined) {
    walker.tell(openedAt(document, error), [], ...syntaxMessage(error, file.text));
    return walker.tree(undefined);
  }
  if (document.contents === null) {
    walker.tell(0, [], 'the file is empty', 'start from connectors/shop.yaml');
    return walker.tree(undefined);
  }
  return walker.tree(walker.walkDocument(document));
}

/** Raised to end a walk that would become too long, and nothing else. */
class TooMuch extends Error {}

class Walker {
  readonly #file: SourceFile;
  readonly #environment: Environment;
  readonly #problems: ConfigProblem[] = [];
  readonly #places = new Map<string, Place>();
  readonly #broken = new Set<string>();
  readonly #open = new Set<Node>();
  #document: Document | undefined;
  #values = 0;

  constructor(file: SourceFile, environment: Environment) {
    this.#file = file;
    this.#environment = environment;
  }

  tree(value: unknown): YamlTree {
    return {
      value,
      problems: this.#problems,
      place: (path) => this.#places.get(JSON.stringify(path)),
      isBroken: (path) => path.some((_, i) => this.#broken.has(JSON.stringify(path.slice(0, i)))) || this.#broken.has(JSON.stringify(path)),
    };
  }

  tell(at: number, path: Path, message: string, remedy?: string): undefined {
    this.#broken.add(JSON.stringify(path));
    this.#problems.push(this.#file.problem(at, { path: formatPath(path), message, remedy }));
  }

  walkDocument(document: Document): unknown {
    this.#document = document;
    try {
      return this.#walk(document.contents, [], -1);
    } catch (error) {
      if (!(error instanceof TooMuch)) throw error;
      this.#broken.add('[]');
      return undefined;
    }
  }

  #walk(node: Node | null, path: Path, keyAt: number): unknown {
    const at = node?.range?.[0] ?? Math.max(keyAt, 0);
    if (++this.#values > MAX_VALUES || path.length > MAX_DEPTH) {
      this.tell(at, path, this.#values > MAX_VALUES ? `more than ${MAX_VALUES} values, aliases expanded` : `nested more than ${MAX_DEPTH} levels deep`);
      throw new TooMuch();
    }
    if (node === null) return this.#put(path, { keyAt, at, variables: [], source: '' }, null);
    if (isAlias(node)) {
      const target = node.resolve(this.#document as Document);
      if (target === undefined) return this.tell(at, path, `there is no anchor &${printable(node.source)} before this alias`);
      if (this.#open.has(target)) return this.tell(at, path, `the alias *${printable(node.source)} contains itself`);
      return this.#walk(target, path, keyAt);
    }
    if (node.tag !== undefined && !knownTags.has(node.tag)) {
      return this.tell(at, path, `the tag ${printable(node.tag).slice(0, 40)} is not known`, 'a connector file is plain data: no tags, no includes');
    }
    if (isScalar(node)) return this.#scalar(node, path, keyAt);
    this.#open.add(node);
    this.#places.set(JSON.stringify(path), { keyAt, at, variables: [], source: undefined });
    const value = isMap(node) ? this.#map(node, path) : isSeq(node) ? node.items.map((item, i) => this.#walk(item as Node | null, [...path, i], -1)) : undefined;
    this.#open.delete(node);
    return value;
  }

  #map(node: YAMLMap, path: Path): Record<string, unknown> {
    const map = Object.create(null) as Record<string, unknown>;
    const seen = new Map<string, number>();
    for (const pair of node.items) {
      const key = pair.key as Node | null;
      const keyAt = key?.range?.[0] ?? node.range?.[0] ?? 0;
      const name = isScalar(key) && typeof key.value === 'string' ? key.value : isScalar(key) ? key.source : undefined;
      if (name === undefined || name === '') {
        this.tell(keyAt, [...path, '?'], 'a key must be a plain name');
        continue;
      }
      const first = seen.get(name);
      const valuePath = [...path, name];
      if (name === '<<') {
        this.tell(keyAt, valuePath, 'merge keys (<<) are not supported', 'write the keys out, or use an alias for a whole value');
        continue;
      }
      if (first !== undefined) {
        const other = this.#file.problem(first, { path: '', message: '' });
        this.tell(keyAt, valuePath, `the key ${printable(name)} stands here a second time; the first is on line ${other.line}`, 'keep one of them');
        continue;
      }
      seen.set(name, keyAt);
      map[name] = this.#walk(pair.value as Node | null, valuePath, keyAt);
    }
    return map;
  }

  #scalar(node: Scalar, path: Path, keyAt: number): unknown {
    const at = node.range?.[0] ?? 0;
    const { value, source } = node;
    if (typeof value !== 'string') {
      if (typeof value === 'number' && /^[-+]?0\d/.test(source ?? '')) {
        return this.tell(at, path, `the number ${source} has a leading zero`, 'write it without, or in quotes if it is a text');
      }
      return this.#put(path, { keyAt, at, variables: [], source }, value);
    }
    const result = substitute(value, this.#environment);
    if ('problems' in result) {
      // Offsets in the value are offsets in the file for plain scalars only; quotes shift, escapes and folds do more.
      const plain = node.type === 'PLAIN' && value === source;
      for (const problem of result.problems) this.tell(plain ? at + problem.at : at, path, problem.message, problem.remedy);
      return undefined;
    }
    return this.#put(path, { keyAt, at, variables: result.variables, source }, result.text);
  }

  #put<T>(path: Path, place: Place, value: T): T {
    this.#places.set(JSON.stringify(path), place);
    return value;
  }
}

/** Where the quote or bracket was opened that the file never closes: the library points at the end of the file. */
function openedAt(document: Document.Parsed, error: YAMLError): number {
  let opened = error.pos[0];
  if (error.code !== 'MISSING_CHAR') return opened;
  visit(document, {
    Node(_, node) {
      const range = (node).range;
      const quoted = isScalar(node) && (node.type === 'QUOTE_DOUBLE' || node.type === 'QUOTE_SINGLE');
      const flow = (isMap(node) || isSeq(node)) && node.flow === true;
      if ((quoted || flow) && range != null && range[0] < error.pos[0] && range[1] >= error.pos[0]) opened = range[0];
    },
  });
  return opened;
}

/** `sinks[1].url`; keys that are no plain names are quoted. */
export function formatPath(path: Path): string {
  const parts = path.slice(0, 12);
  const text = parts
    .map((part, i) => {
      if (typeof part === 'number') return `[${part}]`;
      const name = /^[\w-]+$/.test(part) ? part : JSON.stringify(printable(part).slice(0, 60));
      return i === 0 ? name : `.${name}`;
    })
    .join('');
  return parts.length < path.length ? `${text}…` : text;
}

/** Our own words by the library's code: its messages quote the text, which may be a secret. */
function syntaxMessage(error: YAMLError, text: string): [message: string, remedy?: string | undefined] {
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return ['a tab cannot indent', 'use spaces'];
    case 'MULTIPLE_DOCS':
      return ['a second document begins here (---)', 'one file is one pipeline: put the other into a file of its own'];
    case 'MISSING_CHAR':
      return ['the quote, bracket or brace that opens here is not closed', hint(text, error.pos[0])];
    case 'BAD_ALIAS':
    case 'ALIAS_PROPS':
      return ['this alias is not valid', 'a text that begins with * must stand in quotes'];
    case 'BAD_SCALAR_START':
      return ['a text cannot begin with this character', 'put it in quotes'];
    case 'BAD_INDENT':
    case 'BLOCK_AS_IMPLICIT_KEY':
    case 'BLOCK_IN_FLOW':
    case 'MULTILINE_IMPLICIT_KEY':
      return ['the indentation is not right, or a text with ": " is not in quotes', 'keys of one level begin in one column'];
    case 'RESOURCE_EXHAUSTION':
      return ['the file is nested too deeply'];
    case 'BAD_DQ_ESCAPE':
      return ['this escape is not known', 'in single quotes a backslash is a backslash'];
    case 'TAG_RESOLVE_FAILED':
    case 'MULTIPLE_TAGS':
      return ['this tag is not known', 'a connector file is plain data: no tags, no includes'];
    default:
      return ['this is not valid YAML', hint(text, error.pos[0])];
  }
}

/** The one slip that the syntax itself invites: `[${A}]`, where the brace ends the text. */
function hint(text: string, at: number): string | undefined {
  const line = text.slice(text.lastIndexOf('\n', Math.max(at - 1, 0)) + 1, at + 1);
  return line.includes('${') ? 'inside [ ] and { } put "${NAME}" in quotes' : undefined;
}

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { printable } from '../runtime/printable.ts';
import { redact } from '../runtime/secret.ts';

/** What is wrong at one place of a file. Lines and columns count from 1; a problem with the file itself has line 0. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** `sinks[1].url`, or empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
  readonly remedy?: string | undefined;
  /** The line and a caret under the place, secrets masked. */
  readonly excerpt?: string | undefined;
}

/** A connector file is a page or two. What is larger is something else, and the parser is not to be fed with it. */
export const MAX_FILE_BYTES = 1_000_000;

/** A file's text with its lines, and everything that a message about a place in it needs. */
export interface SourceFile {
  /** As it is shown: relative to the working directory where it lies below that. */
  readonly name: string;
  readonly text: string;
  problem(offset: number, what: { path: string; message: string; remedy?: string | undefined; hideFrom?: number }): ConfigProblem;
}

/** Reads a file, or says why it is no text that could be parsed. */
export function readSourceFile(path: string): SourceFile | ConfigProblem {
  const name = shownName(path);
  const whole = (message: string, remedy?: string): ConfigProblem => ({ file: name, line: 0, column: 0, path: '', message, remedy });
  let bytes: Buffer;
  try {
    bytes = readBounded(path);
  } catch (error) {
    return whole(...unreadable(error, path));
  }
  if (bytes.length > MAX_FILE_BYTES) return whole('the file is larger than 1 MB', 'a connector file is YAML of a page or two; is this the right file?');
  const utf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff) || (bytes.length > 3 && (bytes[0] === 0) !== (bytes[1] === 0));
  if (utf16) return whole('the file is UTF-16', 'save it as UTF-8');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return whole('the file is not valid UTF-8', 'save it as UTF-8');
  }
  return sourceFile(name, text);
}

/** For text that does not come from a file too: tests, and what was read elsewhere. */
export function sourceFile(name: string, text: string): SourceFile {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  let masked: readonly string[] | undefined;
  return {
    name,
    text,
    problem(offset, { path, message, remedy, hideFrom }) {
      const line = lineAt(starts, offset);
      const column = offset - (starts[line] ?? 0) + 1;
      masked ??= maskedLines(text);
      const hidden = hideFrom === undefined ? undefined : hideFrom - (starts[line] ?? 0);
      return { file: name, line: line + 1, column, path, message, remedy, excerpt: excerpt(masked[line] ?? '', line + 1, column, hidden) };
    },
  };
}

/** `connectors/shop.yaml:3:5 source.url: what and why`, then the excerpt and the remedy, indented. */
export function formatProblem(problem: ConfigProblem): string {
  const place = problem.line === 0 ? problem.file : `${problem.file}:${problem.line}:${problem.column}`;
  const head = `${place}${problem.path === '' ? '' : ` ${problem.path}`}: ${problem.message}`;
  const remedy = problem.remedy === undefined ? '' : `\n  → ${problem.remedy}`;
  return `${head}${problem.excerpt === undefined ? '' : `\n${problem.excerpt}`}${remedy}`;
}

function shownName(path: string): string {
  const short = relative(process.cwd(), resolve(path));
  return printable(short === '' || short.startsWith('..') ? path : short);
}

function readBounded(path: string): Buffer {
  // O_NONBLOCK: opening a named pipe must not hang.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(file);
    if (stat.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
    const buffer = Buffer.alloc(Math.min(stat.isFile() ? stat.size : MAX_FILE_BYTES, MAX_FILE_BYTES) + 1);
    let length = 0;
    for (;;) {
      const got = readSync(file, buffer, length, buffer.length - length, null);
      if (got === 0) return buffer.subarray(0, length);
      length += got;
    }
  } finally {
    closeSync(file);
  }
}

function unreadable(error: unknown, path: string): [message: string, remedy?: string] {
  const code = (error as { code?: string }).code ?? 'unknown error';
  if (code === 'ENOENT') return ['there is no such file', `looked for ${resolve(path)}`];
  if (code === 'EISDIR') return ['this is a folder, not a file'];
  if (code === 'EACCES') return ['the file may not be read', 'give the user that runs Tailrace the right to read it'];
  return [`the file cannot be read (${code})`];
}

/** The index of the line that holds `offset`. */
function lineAt(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

const shownWidth = 100;

function excerpt(line: string, number: number, column: number, hideFrom: number | undefined): string {
  const visible = hideFrom === undefined ? line : `${line.slice(0, hideFrom)}…`;
  const from = column > shownWidth ? column - 60 : 0;
  const gutter = `${String(number).padStart(5)} | `;
  const shown = printable(visible.slice(from, from + shownWidth).replaceAll('\t', ' ').trimEnd());
  return `${gutter}${shown}\n${' '.repeat(gutter.length + Math.min(column - 1 - from, shown.length))}^`;
}

const secretKey = /(?:^|[\s{,-])(["']?)([\w.-]*(?:url|uri|dsn|passw|pwd|secret|token|sasl|credential)[\w.-]*)\1\s*:(?=\s|$)/i;
const onlyReference = /^\s*(["']?)\$\{[A-Za-z_]\w*\}\1\s*(?:#.*)?$/;

/**
 * The lines as they may be printed: behind a key that holds a secret everything is `***`, also on the lines that continue
 * it, and so is the user info of every URL. Works on lines, not on the parsed tree, because it must also hold for files
 * that do not parse. Masking keeps the columns before the value, which is where carets point.
 */
function maskedLines(text: string): readonly string[] {
  let deeperThan = -1;
  return text.split('\n').map((raw) => {
    const line = raw.replace(/\r$/, '');
    const indent = line.search(/\S/);
    if (deeperThan >= 0 && (indent < 0 || indent > deeperThan)) return `${line.slice(0, Math.max(indent, 0))}${indent < 0 ? '' : '***'}`;
    deeperThan = -1;
    const key = secretKey.exec(line);
    if (key === null) return redact(line);
    // The column of the key itself: in a list its siblings are indented like it, behind the dash.
    deeperThan = key.index + key[0].search(/[\w"']/);
    const valueAt = key.index + key[0].length;
    const value = line.slice(valueAt);
    if (value.trim() === '' || onlyReference.test(value)) return redact(line);
    return `${redact(line.slice(0, valueAt))} ***`;
  });
}

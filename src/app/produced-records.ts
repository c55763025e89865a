import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import type { ProducedRecord } from './control/log-request.ts';

/** How a line is read; names and defaults are those of Kafka's console producer. */
export interface LineFormat {
  readonly parseKey: boolean;
  readonly keySeparator: string;
  readonly parseHeaders: boolean;
  readonly headersDelimiter: string;
  readonly headersSeparator: string;
  readonly headersKeySeparator: string;
  /** A key or value of this text is null. */
  readonly nullMarker: string | null;
}

const properties: Readonly<Record<string, keyof LineFormat>> = {
  'parse.key': 'parseKey', 'key.separator': 'keySeparator', 'parse.headers': 'parseHeaders', 'headers.delimiter': 'headersDelimiter',
  'headers.separator': 'headersSeparator', 'headers.key.separator': 'headersKeySeparator', 'null.marker': 'nullMarker',
};

/** Reads one line, without its end. Throws `usage` that says what is wrong with it. */
export type LineReader = (line: string, now: number) => ProducedRecord;

/** `given`: properties by name. A separator may be written `\t`. */
export function lineFormat(given: Readonly<Record<string, string>>): LineFormat {
  const format: Record<string, string | boolean | null> = { parseKey: false, keySeparator: '\t', parseHeaders: false, headersDelimiter: '\t', headersSeparator: ',', headersKeySeparator: ':', nullMarker: null };
  for (const [name, value] of Object.entries(given)) {
    const key = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (key === undefined) throw new TailraceError('usage', `there is no property ${shortened(name, 60)}`, { remedy: `There are ${Object.keys(properties).join(', ')}.` });
    const isFlag = typeof format[key] === 'boolean';
    if (isFlag && value !== 'true' && value !== 'false') throw new TailraceError('usage', `the property ${name} is true or false, not ${shortened(value, 40)}`);
    if (value === '') throw new TailraceError('usage', `the property ${name} is empty`);
    format[key] = isFlag ? value === 'true' : value.replaceAll('\\t', '\t');
  }
  return format as unknown as LineFormat;
}

/** `HEADERS⇥KEY⇥VALUE`, with what the format says of it. */
export function readLines(format: LineFormat): LineReader {
  const bytesOf = (text: string): string | null => (text === format.nullMarker ? null : base64(text));
  const cut = (line: string, separator: string, what: string): readonly [string, string] => {
    const at = line.indexOf(separator);
    if (at < 0) throw new TailraceError('usage', `it has no ${JSON.stringify(separator)} behind its ${what}`, { remedy: `Write it, or say another with --property ${what === 'key' ? 'key.separator' : 'headers.delimiter'}=…` });
    return [line.slice(0, at), line.slice(at + separator.length)];
  };
  return (line, now) => {
    let rest = line;
    let headers: ProducedRecord['headers'] = [];
    let key: string | null = null;
    if (format.parseHeaders) {
      const [text, behind] = cut(rest, format.headersDelimiter, 'headers');
      headers = text === '' || text === format.nullMarker ? [] : text.split(format.headersSeparator).map((pair) => header(...cut(pair, format.headersKeySeparator, 'header name')));
      rest = behind;
    }
    if (format.parseKey) {
      const [text, behind] = cut(rest, format.keySeparator, 'key');
      key = bytesOf(text);
      rest = behind;
    }
    return { key, value: bytesOf(rest), headers, timestamp: now, partition: null };
  };
}

const members = new Set(['key', 'value', 'headers', 'partition', 'timestamp']);

/** An object a line: `{"key": …, "value": …, "headers": {…}, "partition": 0, "timestamp": "2026-01-31T12:00:00Z"}`, with nothing but `value` needed. */
export const readJsonLine: LineReader = (line, now) => {
  const given = parse(line);
  for (const name of Object.keys(given)) if (!members.has(name)) throw new TailraceError('usage', `${shortened(name, 40)} is none of ${[...members].join(', ')}`);
  if (!Object.hasOwn(given, 'value')) throw new TailraceError('usage', 'it has no value', { remedy: 'A value of null is a tombstone.' });
  const { partition = null, timestamp = now, headers = {} } = given;
  if (partition !== null && !(Number.isSafeInteger(partition) && (partition as number) >= 0)) throw new TailraceError('usage', 'partition is no whole number from 0');
  const at = typeof timestamp === 'string' ? Date.parse(timestamp) : timestamp;
  if (!Number.isSafeInteger(at) || (at as number) < 0) throw new TailraceError('usage', 'timestamp is neither a time nor milliseconds since 1970');
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) throw new TailraceError('usage', 'headers is no object');
  return {
    key: json(given['key'] ?? null), value: json(given['value']), timestamp: at as number, partition: partition as number | null,
    headers: Object.entries(headers).map(([name, value]) => header(name, typeof value === 'string' ? value : JSON.stringify(value))),
  };
};

const remedy = 'Each line is an object, for example {"key": "ann", "value": {"page": "/"}}; without --format json a line is the value as it is.';

function parse(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    throw new TailraceError('usage', `it is no JSON: ${(error as Error).message}`, { remedy, cause: error });
  }
  throw new TailraceError('usage', 'it is no JSON object', { remedy });
}

/** A text as it is, anything else as JSON. */
function json(value: unknown): string | null {
  return value === null ? null : base64(typeof value === 'string' ? value : JSON.stringify(value));
}

function header(name: string, value: string): readonly [string, string] {
  if (!/^[\x21-\x7e]{1,120}$/.test(name)) throw new TailraceError('usage', `the header name ${shortened(name, 40)} is not 1 to 120 plain ASCII characters`);
  if (name === 'tailrace' || name.startsWith('tailrace.')) throw new TailraceError('usage', `the header ${name} marks changes of tables: it is Tailrace's own`);
  return [name, base64(value)];
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import type { RecordView } from './event-view.ts';

/**
 * What `--filter` says: conditions joined by `and`. Each is a field, an operator and a value, or a field and `is null` or `is not null`.
 *
 * - fields: `op`, `table`, `from_topic`, `key.COLUMN`, `before.COLUMN`, `after.COLUMN`, and a column's name alone, which is that of the new row, or of the
 *   old one where the row was deleted; of a record that is no event `key`, `value`, `headers.NAME`, and `key.NAME` and `value.NAME` where these are JSON; names
 *   of other characters than letters, digits and _ stand in "…"
 * - operators: `=`, `!=`, `<`, `<=`, `>`, `>=` (as numbers where both are numbers, else as text), and `~`, where `*` stands for any characters
 * - values: a word, or a text in '…', in which '' is a quote
 *
 * A field that is not there, or is NULL, fulfils `is null` alone.
 */
export type RecordFilter = (record: RecordView) => boolean;

type Field = (record: RecordView) => unknown;

const ops: Readonly<Record<string, string>> = { insert: 'c', read: 'r', update: 'u', delete: 'd', truncate: 't', message: 'm' };
const name = /^\s*(?:"((?:[^"]|"")+)"|([\p{L}_$][\p{L}\p{N}_$]*))/u;
const operator = /^\s*(is\s+not\s+null\b|is\s+null\b|!=|<=|>=|=|<|>|~)/i;
const literal = /^\s*(?:'((?:[^']|'')*)'|([^\s']+))/;
const decimal = /^([+-]?)0*(\d+)(?:\.(\d+?)0*)?$/;

/** Throws `usage` that says where it is not understood. */
export function parseFilter(text: string): RecordFilter {
  const conditions: RecordFilter[] = [];
  const left = { text };
  do conditions.push(condition(left, text));
  while (taken(left, /^\s+and\b/i) !== null);
  if (left.text.trim() !== '') throw misread(text, left.text, 'and, or the end');
  return (record) => conditions.every((holds) => holds(record));
}

function condition(left: { text: string }, whole: string): RecordFilter {
  const field = fieldOf(left, whole);
  const how = taken(left, operator)?.[1]?.toLowerCase().replace(/\s+/g, ' ');
  if (how === undefined) throw misread(whole, left.text, 'one of = != < <= > >= ~, is null, is not null');
  if (how.startsWith('is')) return (record) => (textOf(field.of(record)) === null) === (how === 'is null');
  const value = taken(left, literal);
  if (value === null) throw misread(whole, left.text, "a value: a word, or a text in '…'");
  const given = value[1]?.replaceAll("''", "'") ?? value[2] ?? '';
  const wanted = field.isOp ? (ops[given.toLowerCase()] ?? given) : given;
  const holds = comparison(how, wanted);
  return (record) => {
    const found = textOf(field.of(record));
    return found !== null && holds(found);
  };
}

function fieldOf(left: { text: string }, whole: string): { readonly of: Field; readonly isOp: boolean } {
  const first = nameOf(left);
  if (first === null) throw misread(whole, left.text, 'op, table or a column');
  const path = [first];
  while (taken(left, /^\./) !== null) {
    const next = nameOf(left);
    if (next === null) throw misread(whole, left.text, 'a name behind the dot');
    path.push(next);
  }
  const [head = '', ...rest] = path;
  if (rest.length === 0) {
    if (head === 'op' || head === 'table' || head === 'from_topic') return { of: (record) => record[head], isOp: head === 'op' };
    // A table may have a column of that name.
    if (head === 'key' || head === 'value') return { of: (record) => (hasRow(record) ? columnOf(record, head) : record[head]), isOp: false };
    return { of: (record) => columnOf(record, head), isOp: false };
  }
  if (head !== 'key' && head !== 'before' && head !== 'after' && head !== 'value' && head !== 'headers') throw misread(whole, path.join('.'), 'key, before, after, value or headers in front of the dot');
  return { of: (record) => rest.reduce<unknown>(own, record[head]), isOp: false };
}

function hasRow({ before, after }: RecordView): boolean {
  return before != null || after != null;
}

function columnOf({ before, after }: RecordView, column: string): unknown {
  return own(after ?? before, column);
}

function nameOf(left: { text: string }): string | null {
  const found = taken(left, name);
  return found === null ? null : (found[1]?.replaceAll('""', '"') ?? (found[2] as string));
}

function own(from: unknown, field: string): unknown {
  return typeof from === 'object' && from !== null && Object.hasOwn(from, field) ? (from as Record<string, unknown>)[field] : undefined;
}

function textOf(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function comparison(how: string, wanted: string): (found: string) => boolean {
  if (how === '~') {
    const parts = wanted.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    const pattern = new RegExp(`^${parts.join('.*')}$`, 'su');
    return (found) => pattern.test(found);
  }
  return (found) => {
    const order = compare(found, wanted);
    switch (how) {
      case '=': return order === 0;
      case '!=': return order !== 0;
      case '<': return order < 0;
      case '<=': return order <= 0;
      case '>': return order > 0;
      default: return order >= 0;
    }
  };
}

/** Exact, however many digits there are. */
function compare(a: string, b: string): number {
  const [left, right] = [decimal.exec(a), decimal.exec(b)];
  if (left === null || right === null) return a < b ? -1 : a > b ? 1 : 0;
  const places = Math.max(left[3]?.length ?? 0, right[3]?.length ?? 0);
  const scaled = ([, sign, digits, fraction = '']: RegExpExecArray): bigint => BigInt(`${digits}${fraction.padEnd(places, '0')}`) * (sign === '-' ? -1n : 1n);
  const difference = scaled(left) - scaled(right);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

function taken(left: { text: string }, pattern: RegExp): RegExpExecArray | null {
  const found = pattern.exec(left.text);
  if (found !== null) left.text = left.text.slice(found[0].length);
  return found;
}

function misread(whole: string, at: string, wanted: string): TailraceError {
  const place = at.trim() === '' ? 'at its end' : `at ${shortened(at.trim(), 40)}`;
  return new TailraceError('usage', `the filter ${shortened(whole, 120)} is not understood ${place}: ${wanted} is needed there`, { remedy: "For example: --filter \"op = update and after.status != 'paid' and total >= 100\"" });
}

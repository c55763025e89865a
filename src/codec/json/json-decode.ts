import { isUtf8 } from 'node:buffer';
import type { ByteWriter } from '../byte-writer.ts';
import type { EncodedRow } from '../codec.ts';
import { JsonReader } from './json-reader.ts';
import { type JsonRowPlan, readAbsent, readImage } from './json-row.ts';

export interface JsonRowParts {
  oldAt: number;
  newAt: number;
  oldKey: boolean;
}

interface Scratch {
  readonly writer: ByteWriter;
  /** A flag a column, reused. */
  readonly absent: Uint8Array;
}

const reader = new JsonReader();
const encoder = new TextEncoder();
const names = {
  after: encoder.encode('after'), before: encoder.encode('before'), old: encoder.encode('old'), key: encoder.encode('key'),
  absent: encoder.encode('absent'), absentBefore: encoder.encode('absentBefore'),
};

/** Writes the images of one record as tuples into `scratch.writer` and says where they stand. Throws a `SyntaxError`. */
export function readJsonRow(record: EncodedRow, plan: JsonRowPlan, scratch: Scratch): JsonRowParts {
  const parts: JsonRowParts = { oldAt: -1, newAt: -1, oldKey: false };
  const { value, extra } = record;
  scratch.writer.reset();
  scratch.absent.fill(0, 0, plan.names.length);
  const absentBefore = extra.start >= 0 ? readExtra(record, plan, scratch, parts) : undefined;
  if (value.start < 0 || !isUtf8(value.bytes.subarray(value.start, value.end))) throw new SyntaxError('no text');

  const seen = { before: false, after: false };
  reader.reset(value.bytes, value.start, value.end).take(0x7b);
  for (let first = true; reader.member(first); first = false) {
    if (reader.is(names.before)) {
      once(seen, 'before');
      if (!skipNull()) parts.oldAt = image(plan, absentBefore ?? noneAbsent, scratch.writer, parts.oldAt);
    } else if (reader.is(names.after)) {
      once(seen, 'after');
      if (!skipNull()) parts.newAt = image(plan, scratch.absent, scratch.writer, parts.newAt);
    } else reader.skip();
  }
  reader.finish();

  const { op } = record;
  const fits = op === 'd' ? parts.oldAt >= 0 && parts.newAt < 0 : parts.newAt >= 0 && (op === 'u' || parts.oldAt < 0);
  if (!fits || (parts.oldKey && parts.oldAt < 0)) throw new SyntaxError('the images are not those of its op');
  return parts;
}

const noneAbsent = new Uint8Array(0);

/** Reads `extra`; returns the flags of the columns that the old image lacks. */
function readExtra(record: EncodedRow, plan: JsonRowPlan, scratch: Scratch, parts: JsonRowParts): Uint8Array | undefined {
  const { bytes, start, end } = record.extra;
  if (!isUtf8(bytes.subarray(start, end))) throw new SyntaxError('no text');
  let absentBefore: Uint8Array | undefined;
  reader.reset(bytes, start, end).take(0x7b);
  for (let first = true; reader.member(first); first = false) {
    if (reader.is(names.absent)) readAbsent(reader, plan, scratch.absent);
    else if (reader.is(names.absentBefore)) readAbsent(reader, plan, (absentBefore = new Uint8Array(plan.names.length)));
    else if (reader.is(names.before)) parts.oldAt = image(plan, absentBefore ?? noneAbsent, scratch.writer, parts.oldAt);
    else if (reader.is(names.old)) {
      reader.string();
      if (!reader.is(names.key)) throw new SyntaxError('an old image of an unknown kind');
      parts.oldKey = true;
    } else throw new SyntaxError('an unknown member of extra');
  }
  reader.finish();
  return absentBefore;
}

function once(seen: Record<'before' | 'after', boolean>, member: 'before' | 'after'): void {
  if (seen[member]) throw new SyntaxError(`${member} stands there twice`);
  seen[member] = true;
}

function skipNull(): boolean {
  if (reader.peek() !== 0x6e) return false;
  reader.scalar();
  return true;
}

function image(plan: JsonRowPlan, absent: Uint8Array, writer: ByteWriter, already: number): number {
  if (already >= 0) throw new SyntaxError('an old image stands there twice');
  const at = writer.length;
  readImage(reader, plan, absent, writer);
  return at;
}

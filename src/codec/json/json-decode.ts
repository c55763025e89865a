import { isUtf8 } from 'node:buffer';
import type { Slice } from '../../runtime/slice.ts';
import type { ByteWriter } from '../byte-writer.ts';
import type { EncodedRow } from '../codec.ts';
import { type Extra, ExtraReader, type ImageNotes } from '../extra.ts';
import { JsonReader } from '../json-reader.ts';
import { type JsonRowPlan, readImage } from '../json-row.ts';

export interface JsonRowParts {
  oldAt: number;
  newAt: number;
  oldKey: boolean;
}

const reader = new JsonReader();
const extras = new ExtraReader();
const encoder = new TextEncoder();
const names = { after: encoder.encode('after'), before: encoder.encode('before'), payload: encoder.encode('payload') };

/** Writes the images of one record as tuples into `writer` and says where they stand. Throws a `SyntaxError`. */
export function readJsonRow(record: EncodedRow, plan: JsonRowPlan, writer: ByteWriter): JsonRowParts {
  const { value } = record;
  writer.reset();
  const extra = extras.read(record.extra, plan, writer);
  const parts: JsonRowParts = { oldAt: extra.beforeAt, newAt: -1, oldKey: extra.oldIsKey };
  if (value.start < 0 || !isUtf8(value.bytes.subarray(value.start, value.end))) throw new SyntaxError('no text');

  reader.reset(value.bytes, value.start, value.end);
  readEnvelope({ plan, extra, parts, writer, seen: { before: false, after: false, payload: false } });
  reader.finish();

  const { op } = record;
  const fits = op === 'd' ? parts.oldAt >= 0 && parts.newAt < 0 : parts.newAt >= 0 && (op === 'u' || parts.oldAt < 0);
  if (!fits || (parts.oldKey && parts.oldAt < 0)) throw new SyntaxError('the images are not those of its op');
  return parts;
}

interface Reading {
  readonly plan: JsonRowPlan;
  readonly extra: Extra;
  readonly parts: JsonRowParts;
  readonly writer: ByteWriter;
  readonly seen: Record<'before' | 'after' | 'payload', boolean>;
}

/** The envelope, or the one with a schema beside it, whose `payload` it is then. */
function readEnvelope(reading: Reading): void {
  const { plan, extra, parts, writer, seen } = reading;
  reader.take(0x7b);
  for (let first = true; reader.member(first); first = false) {
    if (reader.is(names.before)) {
      once(seen, 'before');
      if (!skipNull()) parts.oldAt = image(plan, extra.before, writer, parts.oldAt);
    } else if (reader.is(names.after)) {
      once(seen, 'after');
      if (!skipNull()) parts.newAt = image(plan, extra.after, writer, parts.newAt);
    } else if (reader.is(names.payload)) {
      // So it is no deeper than one.
      once(seen, 'payload');
      readEnvelope(reading);
    } else reader.skip();
  }
}

function once(seen: Reading['seen'], member: keyof Reading['seen']): void {
  if (seen[member]) throw new SyntaxError(`${member} stands there twice`);
  seen[member] = true;
}

function skipNull(): boolean {
  if (reader.peek() !== 0x6e) return false;
  reader.scalar();
  return true;
}

function image(plan: JsonRowPlan, notes: ImageNotes, writer: ByteWriter, already: number): number {
  if (already >= 0) throw new SyntaxError('an old image stands there twice');
  const at = writer.length;
  readImage(reader, plan, notes, writer);
  return at;
}

interface MessageEnvelope {
  readonly message?: { readonly prefix?: unknown; readonly content?: unknown } | null;
}

/** What `encodeMessage` wrote. Throws a `SyntaxError`, with nothing of the content in it. */
export function readJsonMessage(value: Slice): { readonly prefix: string; readonly content: Uint8Array } {
  const parsed = parse(value) as MessageEnvelope & { readonly payload?: MessageEnvelope | null } | null;
  const { message } = parsed?.payload ?? parsed ?? {};
  const { prefix, content } = message ?? {};
  if (typeof prefix !== 'string' || typeof content !== 'string') throw new SyntaxError("no message in Debezium's envelope");
  return { prefix, content: Buffer.from(content, 'base64') };
}

function parse({ bytes, start, end }: Slice): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.subarray(Math.max(start, 0), end)).toString());
  } catch {
    // The parser's own message quotes what it could not read.
    throw new SyntaxError('no JSON');
  }
}

import { isUtf8 } from 'node:buffer';
import { type TableSchema, tableName } from '../../event/table.ts';
import { KIND_ABSENT, KIND_NULL, KIND_TEXT, TupleReader } from '../../event/tuple.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Slice } from '../../runtime/slice.ts';
import type { ByteWriter } from '../byte-writer.ts';
import type { EncodedRow } from '../codec.ts';
import { ExtraReader, type ImageNotes } from '../extra.ts';
import { writeNullOr } from '../json-row.ts';
import { AvroReader } from './avro-bytes.ts';
import { NULL, PRESENT } from './avro-envelope.ts';
import type { AvroPlan } from './avro-plan.ts';
import { type AvroForm, readAvroValue, writeAvroValue } from './avro-value.ts';

const tuple = new TupleReader();
const none: readonly number[] = [];

/**
 * Writes the tuple at `at` as a `Value` that is there. Null stands for NULL, for a column that Postgres did not send (how many is
 * returned) and for one whose form cannot say it (returned as `unsaid`).
 */
export function writeAvroImage(writer: ByteWriter, plan: AvroPlan, bytes: Uint8Array, at: number): { readonly absent: number; readonly unsaid: readonly number[] } {
  let absent = 0;
  let unsaid: number[] | undefined;
  writer.byte(PRESENT);
  tuple.reset(bytes, at);
  while (tuple.next()) {
    if (tuple.kind === KIND_TEXT) {
      writer.byte(PRESENT);
      const form = plan.forms[tuple.index] as AvroForm;
      if (writeAvroValue(writer, form, tuple)) continue;
      if (form.kind === 'string') throw notText(plan.table, tuple.index);
      writer.length--;
      (unsaid ??= []).push(tuple.index);
    } else if (tuple.kind === KIND_ABSENT) absent++;
    else if (tuple.kind !== KIND_NULL) throw new TailraceError('internal', `a binary value of ${tableName(plan.table)} reached the Avro codec, which carries texts`);
    writer.byte(NULL);
  }
  return { absent, unsaid: unsaid ?? none };
}

function notText(table: TableSchema, column: number): TailraceError {
  return new TailraceError('source-unreadable', `a value of ${tableName(table)}.${table.columns[column]?.name} is not UTF-8, which Avro's strings have to be`);
}

export interface AvroRowParts {
  readonly oldAt: number;
  readonly newAt: number;
  readonly oldIsKey: boolean;
}

const reader = new AvroReader();
const extras = new ExtraReader();

/** Writes the images of one record as tuples into `writer` and says where they stand. Throws a `SyntaxError`. */
export function readAvroRow(record: EncodedRow, plan: AvroPlan, writer: ByteWriter): AvroRowParts {
  const { op, value } = record;
  writer.reset();
  const extra = extras.read(record.extra, plan.texts, writer);
  const id = begin(value);
  if (id !== plan.valueId) throw new SyntaxError(`schema id ${id}, and its version has ${plan.valueId}`);
  const before = readImage(plan, extra.before, writer);
  const newAt = readImage(plan, extra.after, writer);
  skipEnvelope();
  if (before >= 0 && extra.beforeAt >= 0) throw new SyntaxError('an old image stands there twice');
  const oldAt = before >= 0 ? before : extra.beforeAt;
  const fits = op === 'd' ? oldAt >= 0 && newAt < 0 : newAt >= 0 && (op === 'u' || oldAt < 0);
  if (!fits || (extra.oldIsKey && oldAt < 0)) throw new SyntaxError('the images are not those of its op');
  return { oldAt, newAt, oldIsKey: extra.oldIsKey };
}

/** What `encodeMessage` wrote. Throws a `SyntaxError`. */
export function readAvroMessage(value: Slice): { readonly prefix: string; readonly content: Uint8Array } {
  begin(value);
  const text = (): Uint8Array => {
    if (reader.isNull()) throw new SyntaxError('a message without its parts');
    const size = reader.size();
    reader.skip(size);
    return reader.bytes.subarray(reader.at - size, reader.at);
  };
  const prefix = text();
  if (!isUtf8(prefix)) throw new SyntaxError('a prefix that is not UTF-8');
  const content = text();
  skipEnvelope();
  return { prefix: Buffer.from(prefix).toString(), content };
}

/** Points the reader behind the id, and returns that. */
function begin(value: Slice): number {
  if (value.start < 0) throw new SyntaxError('no value');
  reader.reset(value.bytes, value.start, value.end);
  if (reader.byte() !== 0) throw new SyntaxError('no magic byte');
  return reader.byte() * 0x1000000 + ((reader.byte() << 16) | (reader.byte() << 8) | reader.byte());
}

/** Returns where the tuple begins, -1 for none. */
function readImage(plan: AvroPlan, { absent, exact }: ImageNotes, writer: ByteWriter): number {
  if (reader.isNull()) return -1;
  const at = writer.length;
  writer.uint16(plan.forms.length);
  for (let column = 0; column < plan.forms.length; column++) {
    if (reader.isNull()) {
      if (absent[column]) writer.byte(KIND_ABSENT);
      else writeNullOr(writer, exact.get(column));
      continue;
    }
    if (absent[column] || exact.has(column)) throw new SyntaxError('a value that is said to be missing');
    writer.byte(KIND_TEXT);
    const sizeAt = writer.length;
    writer.uint32(0);
    readAvroValue(writer, plan.forms[column] as AvroForm, reader);
    writer.setUint32(sizeAt, writer.length - sizeAt - 4);
  }
  return at;
}

const skipText = (): void => reader.skip(reader.size());
const skipLong = (): void => reader.skipLong();
const skipOptionalText = (): void => void (reader.isNull() || skipText());
const skipOptionalLong = (): void => void (reader.isNull() || skipLong());
const skipTransaction = (): void => {
  if (reader.isNull()) return;
  skipText();
  skipLong();
  skipLong();
};
const behindImages: readonly (() => void)[] = [
  // source
  skipText, skipText, skipText, skipLong, skipOptionalText, skipText, skipOptionalText, skipOptionalLong, skipOptionalLong, skipText, skipText,
  skipOptionalLong, skipOptionalLong, skipOptionalLong,
  // op, ts_ms, ts_us, ts_ns, transaction
  skipText, skipOptionalLong, skipOptionalLong, skipOptionalLong, skipTransaction,
];

/** What stands behind the images, field by field, so that what is cut or too long is noticed. */
function skipEnvelope(): void {
  for (const skip of behindImages) skip();
  reader.finish();
}

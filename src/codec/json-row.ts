import { type TableSchema, tableName } from '../event/table.ts';
import { KIND_ABSENT, KIND_NULL, KIND_TEXT, TupleReader } from '../event/tuple.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Slice } from '../runtime/slice.ts';
import type { ByteWriter } from './byte-writer.ts';
import type { JsonReader } from './json-reader.ts';
import { literals } from './json-text.ts';
import { type JsonForm, jsonFormOf, readJsonValue, typedFormOf, writeJsonValue } from './json-value.ts';

/** What is worked out once a table: each column's name as JSON, without and with quotes and colon, and its form. */
export interface JsonRowPlan {
  readonly table: TableSchema;
  readonly names: readonly Uint8Array[];
  readonly members: readonly Uint8Array[];
  readonly forms: readonly JsonForm[];
}

export function planJsonRow(table: TableSchema): JsonRowPlan {
  const encoder = new TextEncoder();
  const names = table.columns.map((column) => encoder.encode(JSON.stringify(column.name).slice(1, -1)));
  const members = table.columns.map((column) => encoder.encode(`${JSON.stringify(column.name)}:`));
  return { table, names, members, forms: table.columns.map(jsonFormOf) };
}

/** As records with schemas are written; it reads those without them too. */
export function planTypedRow(table: TableSchema): JsonRowPlan {
  return { ...planJsonRow(table), forms: table.columns.map(typedFormOf) };
}

/** Every value as a string with Postgres's text. */
export function planJsonTexts(table: TableSchema): JsonRowPlan {
  return { ...planJsonRow(table), forms: table.columns.map(() => 'text') };
}

/** Writes one column's value; the name is the caller's. */
export function writeColumn(writer: ByteWriter, plan: JsonRowPlan, index: number, value: Readonly<Slice>): void {
  if (writeJsonValue(writer, plan.forms[index] as JsonForm, value)) return;
  const { table } = plan;
  throw new TailraceError('source-unreadable', `a value of ${tableName(table)}.${table.columns[index]?.name} is not in the form that the session's settings ask for`);
}

const tuple = new TupleReader();

/** Writes the tuple at `at` as an object, in column order; absent columns are left out. Returns how many were. */
export function writeImage(writer: ByteWriter, plan: JsonRowPlan, bytes: Uint8Array, at: number): number {
  let absent = 0;
  let first = true;
  writer.byte(0x7b);
  tuple.reset(bytes, at);
  while (tuple.next()) {
    if (tuple.kind === KIND_ABSENT) {
      absent++;
      writer.odd++;
      continue;
    }
    if (!first) writer.byte(0x2c);
    first = false;
    writer.append(plan.members[tuple.index] as Uint8Array);
    if (tuple.kind === KIND_TEXT) writeColumn(writer, plan, tuple.index, tuple);
    else if (tuple.kind === KIND_NULL) {
      if (plan.table.columns[tuple.index]?.notNull === true) writer.odd++;
      writer.append(literals.null);
    }
    else throw new TailraceError('internal', `a binary value of ${tableName(plan.table)} reached the JSON codec, which carries texts`);
  }
  writer.byte(0x7d);
  return absent;
}

/** Writes the names of the columns that the tuple at `at` lacks, as an array. */
export function writeAbsent(writer: ByteWriter, plan: JsonRowPlan, bytes: Uint8Array, at: number): void {
  let first = true;
  writer.byte(0x5b);
  tuple.reset(bytes, at);
  while (tuple.next()) {
    if (tuple.kind !== KIND_ABSENT) continue;
    if (!first) writer.byte(0x2c);
    first = false;
    writer.byte(0x22);
    writer.append(plan.names[tuple.index] as Uint8Array);
    writer.byte(0x22);
  }
  writer.byte(0x5d);
}

/** Reads what `writeAbsent` wrote: sets the flag of each column that is named. */
export function readAbsent(reader: JsonReader, plan: JsonRowPlan, flags: Uint8Array): void {
  let column = -1;
  reader.take(0x5b);
  for (let first = true; reader.element(first); first = false) {
    reader.string();
    column = nextNamed(reader, plan, column);
    flags[column] = 1;
  }
}

/** What is known of an image's columns from elsewhere (extra.ts). */
interface Notes {
  readonly absent: Uint8Array;
  readonly exact: ReadonlyMap<number, Uint8Array>;
}

/**
 * Reads what `writeImage` wrote and writes it as a tuple. Columns stand in the table's order; one that is missing must
 * have its flag in `absent`, so that a lost member is damage and never an absent value. Null may stand for a text in `exact`.
 */
export function readImage(reader: JsonReader, plan: JsonRowPlan, { absent, exact }: Notes, writer: ByteWriter): void {
  const { length } = plan.names;
  writer.uint16(length);
  let column = -1;
  reader.take(0x7b);
  for (let first = true; reader.member(first); first = false) {
    const named = nextNamed(reader, plan, column);
    writeAbsentKinds(writer, absent, column + 1, named);
    if (absent[named]) throw new SyntaxError('a column that is said to be absent');
    reader.scalar();
    if (reader.type === 'null') writeNullOr(writer, exact.get(named));
    else {
      writer.byte(KIND_TEXT);
      const sizeAt = writer.length;
      writer.uint32(0);
      readJsonValue(writer, plan.forms[named] as JsonForm, reader);
      writer.setUint32(sizeAt, writer.length - sizeAt - 4);
    }
    column = named;
  }
  writeAbsentKinds(writer, absent, column + 1, length);
}

/** NULL, or the text that the envelope could not say. */
export function writeNullOr(writer: ByteWriter, text: Uint8Array | undefined): void {
  if (text === undefined) return writer.byte(KIND_NULL);
  writer.byte(KIND_TEXT);
  writer.uint32(text.length);
  writer.append(text);
}

function writeAbsentKinds(writer: ByteWriter, absent: Uint8Array, from: number, to: number): void {
  for (let i = from; i < to; i++) {
    if (!absent[i]) throw new SyntaxError('a column is missing');
    writer.byte(KIND_ABSENT);
  }
}

/** The column behind `after` whose name the reader's token is. */
function nextNamed(reader: JsonReader, plan: JsonRowPlan, after: number): number {
  for (let i = after + 1; i < plan.names.length; i++) if (reader.is(plan.names[i] as Uint8Array)) return i;
  throw new SyntaxError('a column that the table does not have there');
}

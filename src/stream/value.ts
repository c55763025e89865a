import type { Column, TableSchema } from '../event/table.ts';
import { KIND_NULL, KIND_TEXT, TupleReader } from '../event/tuple.ts';
import { bareObject } from './bare.ts';

/**
 * A column's value as a stream's functions see it. `boolean`, `smallint`, `integer`, `oid` and the two floats are what JavaScript
 * has for them, `bigint` is a bigint; everything else is Postgres's own exact text, `numeric` and timestamps too.
 */
export type Value = string | number | bigint | boolean | null;

/** A row of a table: has no prototype, because a column may be called anything. */
export type Row = Readonly<Record<string, Value>>;

/** Under a domain too: columns name the type beneath (`baseTypeOid`). */
const OID = { bool: 16, int8: 20, int2: 21, int4: 23, oid: 26, float4: 700, float8: 701 } as const;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Makes rows of a table's tuples; one reader a table version. */
export class RowReader {
  readonly #columns: readonly Column[];
  /** Places of the columns in the order of their names, in which rows are kept: so nobody has to sort them. */
  readonly #order: readonly number[];
  readonly #values: (Value | undefined)[];
  readonly #tuple = new TupleReader();

  constructor(table: TableSchema) {
    this.#columns = table.columns;
    const name = (index: number): string => (table.columns[index] as Column).name;
    this.#order = [...table.columns.keys()].sort((a, b) => (name(a) < name(b) ? -1 : 1));
    this.#values = table.columns.map(() => undefined);
  }

  /** Columns that are absent in the tuple are not in the row. */
  read(bytes: Uint8Array, at: number): Row {
    const values = this.#values.fill(undefined);
    const tuple = this.#tuple.reset(bytes, at);
    while (tuple.next()) {
      const column = this.#columns[tuple.index];
      if (column === undefined) break;
      if (tuple.kind === KIND_NULL) values[tuple.index] = null;
      else if (tuple.kind === KIND_TEXT) values[tuple.index] = valueOf(column.baseTypeOid, bytes, tuple);
    }
    const row = bareObject<Value>();
    for (const index of this.#order) {
      const value = values[index];
      if (value !== undefined) row[(this.#columns[index] as Column).name] = value;
    }
    return row;
  }
}

function valueOf(oid: number, bytes: Uint8Array, { start, end }: TupleReader): Value {
  if (oid === OID.int4 || oid === OID.int8 || oid === OID.int2) {
    const integer = smallInteger(bytes, start, end);
    if (integer !== null) return oid === OID.int8 ? BigInt(integer) : integer;
  }
  return fromText(oid, decoder.decode(bytes.subarray(start, end)));
}

/** An integer of up to fifteen digits, without a text between; null for anything else. */
function smallInteger(bytes: Uint8Array, start: number, end: number): number | null {
  const negative = bytes[start] === 0x2d;
  const first = negative ? start + 1 : start;
  if (end - first > 15 || end === first) return null;
  let value = 0;
  for (let at = first; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (digit < 0 || digit > 9) return null;
    value = value * 10 + digit;
  }
  return negative && value !== 0 ? -value : value;
}

function fromText(oid: number, text: string): Value {
  switch (oid) {
    case OID.bool:
      return text === 't';
    case OID.int8:
      return BigInt(text);
    case OID.int2: case OID.int4: case OID.oid: case OID.float4: case OID.float8:
      return Number(text);
    default:
      return text;
  }
}

/** Postgres's text for a value that a function returned; objects and arrays become JSON. Undefined is NULL. */
export function toText(value: unknown): string | null {
  switch (typeof value) {
    case 'string':
      return value;
    case 'boolean':
      return value ? 't' : 'f';
    case 'number': case 'bigint':
      return String(value);
    case 'undefined':
      return null;
    case 'object':
      if (value === null) return null;
      if (value instanceof Date) return value.toISOString();
      return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? part.toString() : part));
    default:
      throw new TypeError(`a ${typeof value} is no column's value`);
  }
}

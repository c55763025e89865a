import type { Column, TableSchema } from '../event/table.ts';
import { KIND_NULL, KIND_TEXT, TupleReader } from '../event/tuple.ts';

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
  readonly #tuple = new TupleReader();

  constructor(table: TableSchema) {
    this.#columns = table.columns;
  }

  /** Columns that are absent in the tuple are not in the row. */
  read(bytes: Uint8Array, at: number): Row {
    const row = Object.create(null) as Record<string, Value>;
    const tuple = this.#tuple.reset(bytes, at);
    while (tuple.next()) {
      const column = this.#columns[tuple.index];
      if (column === undefined) break;
      if (tuple.kind === KIND_NULL) row[column.name] = null;
      else if (tuple.kind === KIND_TEXT) row[column.name] = fromText(column.baseTypeOid, decoder.decode(bytes.subarray(tuple.start, tuple.end)));
    }
    return row;
  }
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

import type { Column, TableShape } from '../../event/table.ts';
import { numericLimits } from '../numeric-limits.ts';
import { fieldNames, namespaceOf } from './avro-names.ts';

/** A schema as the Avro specification writes it in JSON. */
export type AvroSchema = string | readonly AvroSchema[] | { readonly [key: string]: unknown };

/** `natural`: Avro's own types, where a value that they cannot say is null and stands in the header; `text`: Postgres's text. */
export type AvroTypes = 'natural' | 'text';

/**
 * The schemas of one table: Debezium's envelope, and the key. Their text is what an id stands for, so that an equal table has to
 * give equal text: what is released here is changed by new kinds of types only, never for types that were there.
 */
export function valueSchema(table: TableShape, topic: string, types: AvroTypes): AvroSchema {
  const names = fieldNames(table.columns);
  const columns = table.columns.map((column, i) => ({
    ...fieldOf(names[i] as string, column),
    // A column may be NULL, unknown (the rest of an old key) or absent (unchanged TOAST) whatever its own constraint says; and
    // so a column that comes or goes never makes a schema that the registry has to refuse.
    type: ['null', typeOf(column, types)],
    default: null,
  }));
  return envelope(topic, [
    { name: 'before', type: ['null', { type: 'record', name: 'Value', fields: columns }], default: null },
    { name: 'after', type: ['null', 'Value'], default: null },
  ]);
}

/** Undefined for a table without a key. */
export function keySchema(table: TableShape, topic: string, types: AvroTypes): AvroSchema | undefined {
  if (table.key.length === 0) return undefined;
  const names = fieldNames(table.columns);
  const fields = table.key.map((index) => {
    const column = table.columns[index] as Column;
    const type = typeOf(column, types);
    return { ...fieldOf(names[index] as string, column), type: column.notNull ? type : ['null', type] };
  });
  return { type: 'record', name: 'Key', namespace: namespaceOf(topic), fields };
}

/** Debezium's logical message: `{prefix, content}` in the envelope's `message`. */
export function messageSchemas(topic: string): { readonly key: AvroSchema; readonly value: AvroSchema } {
  const message = { type: 'record', name: 'Message', fields: [{ name: 'prefix', type: ['null', 'string'], default: null }, { name: 'content', type: ['null', 'bytes'], default: null }] };
  return {
    key: { type: 'record', name: 'MessageKey', namespace: namespaceOf(topic), fields: [{ name: 'prefix', type: ['null', 'string'], default: null }] },
    value: envelope(topic, [{ name: 'message', type: message }]),
  };
}

function fieldOf(name: string, column: Column): { readonly name: string; readonly 'tailrace.column'?: string } {
  return name === column.name ? { name } : { name, 'tailrace.column': column.name };
}

function envelope(topic: string, images: readonly object[]): AvroSchema {
  const optionalLong = { type: ['null', 'long'], default: null };
  return {
    type: 'record',
    name: 'Envelope',
    namespace: namespaceOf(topic),
    fields: [
      ...images,
      { name: 'source', type: source },
      { name: 'op', type: 'string' },
      { name: 'ts_ms', ...optionalLong },
      { name: 'ts_us', ...optionalLong },
      { name: 'ts_ns', ...optionalLong },
      { name: 'transaction', type: ['null', block], default: null },
    ],
  };
}

const source: AvroSchema = {
  type: 'record',
  name: 'Source',
  namespace: 'io.debezium.connector.postgresql',
  fields: [
    { name: 'version', type: 'string' },
    { name: 'connector', type: 'string' },
    { name: 'name', type: 'string' },
    { name: 'ts_ms', type: 'long' },
    { name: 'snapshot', type: ['null', 'string'], default: null },
    { name: 'db', type: 'string' },
    { name: 'sequence', type: ['null', 'string'], default: null },
    { name: 'ts_us', type: ['null', 'long'], default: null },
    { name: 'ts_ns', type: ['null', 'long'], default: null },
    { name: 'schema', type: 'string' },
    { name: 'table', type: 'string' },
    { name: 'txId', type: ['null', 'long'], default: null },
    { name: 'lsn', type: ['null', 'long'], default: null },
    { name: 'xmin', type: ['null', 'long'], default: null },
  ],
};

const block: AvroSchema = {
  type: 'record',
  name: 'block',
  namespace: 'event',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'total_order', type: 'long' },
    { name: 'data_collection_order', type: 'long' },
  ],
};

/** The type under which a column's values stand (docs/formats.md has the table). */
function typeOf(column: Column, types: AvroTypes): AvroSchema {
  const natural = types === 'natural';
  switch (column.baseTypeOid) {
    case 16: // bool
      return 'boolean';
    case 17: // bytea
      return 'bytes';
    case 20: // int8
    case 26: // oid
      return 'long';
    case 21: // int2
    case 23: // int4
      return 'int';
    case 700:
      return 'float';
    case 701:
      return 'double';
    case 1082:
      return natural ? { type: 'int', logicalType: 'date' } : 'string';
    case 1083: // time
      return natural ? { type: 'long', logicalType: 'time-micros' } : 'string';
    case 1114: // timestamp
      return natural ? { type: 'long', logicalType: 'local-timestamp-micros' } : 'string';
    case 1184: // timestamptz
      return natural ? { type: 'long', logicalType: 'timestamp-micros' } : 'string';
    case 1700: // numeric
      return (natural ? decimalOf(column.typmod) : undefined) ?? 'string';
    case 2950:
      return { type: 'string', logicalType: 'uuid' };
    default:
      return 'string';
  }
}

/**
 * `numeric(p, s)` as Avro's decimal, which knows a scale from 0 to the precision. A `numeric` alone has no limits and no scale of
 * its own: only a text says it.
 */
function decimalOf(typmod: number): AvroSchema | undefined {
  const limits = numericLimits(typmod);
  return limits === undefined ? undefined : { type: 'bytes', logicalType: 'decimal', ...limits };
}

import type { Column } from '../../event/table.ts';
import { numericLimits } from '../numeric-limits.ts';

/** A type as Kafka Connect's JsonConverter writes it; `name` says what is meant, as Debezium's and Connect's own readers know it. */
export interface ConnectType {
  readonly type: 'boolean' | 'int16' | 'int32' | 'int64' | 'float' | 'double' | 'bytes' | 'string';
  readonly name?: string;
  readonly parameters?: Readonly<Record<string, string>>;
}

/** The type of what the typed forms (json-value.ts) write for a column's values; docs/formats.md has the table. */
export function connectTypeOf(column: Column): ConnectType {
  const millis = column.typmod >= 0 && column.typmod <= 3;
  switch (column.baseTypeOid) {
    case 16: // bool
      return { type: 'boolean' };
    case 17: // bytea
      return { type: 'bytes' };
    case 21: // int2
      return { type: 'int16' };
    case 23: // int4
      return { type: 'int32' };
    case 20: // int8
    case 26: // oid
      return { type: 'int64' };
    case 700: // float4
      return { type: 'float' };
    case 701: // float8
      return { type: 'double' };
    case 1082:
      return { type: 'int32', name: 'io.debezium.time.Date' };
    case 1083: // time
      return millis ? { type: 'int32', name: 'io.debezium.time.Time' } : { type: 'int64', name: 'io.debezium.time.MicroTime' };
    case 1114: // timestamp
      return { type: 'int64', name: millis ? 'io.debezium.time.Timestamp' : 'io.debezium.time.MicroTimestamp' };
    case 1184: // timestamptz
      return { type: 'string', name: 'io.debezium.time.ZonedTimestamp' };
    case 1700:
      return decimal(column.typmod);
    case 114: // json
    case 3802: // jsonb
      return { type: 'string', name: 'io.debezium.data.Json' };
    case 142:
      return { type: 'string', name: 'io.debezium.data.Xml' };
    case 2950:
      return { type: 'string', name: 'io.debezium.data.Uuid' };
    default:
      return { type: 'string' };
  }
}

function decimal(typmod: number): ConnectType {
  const limits = numericLimits(typmod);
  if (limits === undefined) return { type: 'string' };
  const parameters = { 'scale': String(limits.scale), 'connect.decimal.precision': String(limits.precision) };
  return { type: 'bytes', name: 'org.apache.kafka.connect.data.Decimal', parameters };
}

/** One field of a struct, with its comma left to the caller. */
export function connectField(field: string, { type, name, parameters }: ConnectType, optional: boolean): string {
  return JSON.stringify({ type, optional, ...(name === undefined ? {} : { name, version: 1 }), ...(parameters === undefined ? {} : { parameters }), field });
}

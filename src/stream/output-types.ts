import type { Column, TableShape } from '../event/table.ts';
import type { Output } from './plan.ts';
import { toText } from './value.ts';

/** Types that a column of an output may have, with their oids: names and aliases as Postgres writes them. */
const types: Readonly<Record<string, { readonly oid: number; readonly name: string }>> = {
  bool: { oid: 16, name: 'boolean' }, boolean: { oid: 16, name: 'boolean' },
  bytea: { oid: 17, name: 'bytea' },
  int8: { oid: 20, name: 'bigint' }, bigint: { oid: 20, name: 'bigint' },
  int2: { oid: 21, name: 'smallint' }, smallint: { oid: 21, name: 'smallint' },
  int4: { oid: 23, name: 'integer' }, integer: { oid: 23, name: 'integer' }, int: { oid: 23, name: 'integer' },
  text: { oid: 25, name: 'text' },
  json: { oid: 114, name: 'json' },
  float4: { oid: 700, name: 'real' }, real: { oid: 700, name: 'real' },
  float8: { oid: 701, name: 'double precision' }, 'double precision': { oid: 701, name: 'double precision' },
  date: { oid: 1082, name: 'date' },
  time: { oid: 1083, name: 'time without time zone' },
  timestamp: { oid: 1114, name: 'timestamp without time zone' },
  timestamptz: { oid: 1184, name: 'timestamp with time zone' },
  interval: { oid: 1186, name: 'interval' },
  numeric: { oid: 1700, name: 'numeric' },
  uuid: { oid: 2950, name: 'uuid' },
  jsonb: { oid: 3802, name: 'jsonb' },
};

/** Their short names. */
export const columnTypes: readonly string[] = ['bool', 'bytea', 'int8', 'int2', 'int4', 'text', 'json', 'float4', 'float8', 'date', 'time', 'timestamp', 'timestamptz', 'interval', 'numeric', 'uuid', 'jsonb'];

/** The shape of an output as the log's `schema` topic holds it. Throws a TypeError for a type that is not known. */
export function shapeOf(output: Output): TableShape {
  const columns = output.columns.map(({ name, type }, i): Column => {
    const known = Object.hasOwn(types, type) ? types[type] : undefined;
    if (known === undefined) throw new TypeError(`${output.schema}.${output.name}: the type ${JSON.stringify(type)} of ${name} is none of ${Object.keys(types).join(', ')}`);
    return { name, attnum: i + 1, typeOid: known.oid, typmod: -1, type: known.name, baseTypeOid: known.oid, notNull: output.key.includes(name) };
  });
  const key = output.key.map((name) => output.columns.findIndex((column) => column.name === name));
  return { relid: relidOf(output), schema: output.schema, name: output.name, columns, key, replicaIdentity: key.length === 0 ? 'nothing' : 'full' };
}

/** A number that stands for the output where a table of Postgres has its oid: the same for the same name, and never 0. */
function relidOf({ schema, name }: Output): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(`${schema}.${name}`)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash | 1;
}

/** A row's columns as Postgres's texts, in the output's order. Numbers in columns of time are milliseconds since 1970. */
export function outputTexts(output: Output, row: unknown): (string | null)[] {
  if (typeof row !== 'object' || row === null) throw new TypeError(`${output.schema}.${output.name} got a ${typeof row} for a row`);
  return output.columns.map(({ name, type }) => {
    // A name that is misspelt in one of the two places would be a column of NULLs.
    if (!(name in row)) throw new TypeError(`a row for ${output.schema}.${output.name} has no ${name}: it has ${Object.keys(row).join(', ') || 'nothing'}; null stands for no value`);
    const value = (row as Record<string, unknown>)[name];
    if (typeof value === 'number' && (type === 'timestamptz' || type === 'timestamp' || type === 'date')) return timeText(value, type);
    if (value instanceof Date) return timeText(value.getTime(), type);
    return toText(value);
  });
}

function timeText(at: number, type: string): string {
  if (at === Infinity) return 'infinity';
  if (at === -Infinity) return '-infinity';
  const [date = '', clock = ''] = new Date(at).toISOString().replace(/^\+0*/, '').slice(0, -1).split('T');
  if (type === 'date') return date;
  return `${date} ${clock.replace(/\.?0+$/, '')}${type === 'timestamptz' ? '+00' : ''}`;
}


import assert from 'node:assert/strict';
import avsc from 'avsc';
import type { TableSchema } from '../../../src/event/table.ts';

/** Longs as bigint: a double would lose what this is about. */
const long = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: BigInt,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: (a: bigint, b: bigint) => (a === b ? 0 : a < b ? -1 : 1),
});

/** A record in the Confluent wire format as another implementation of Avro reads it, by the schema that was registered. */
export function readByAvsc(bytes: Uint8Array, table: TableSchema, which: 'key' | 'value'): Record<string, unknown> {
  const registered = table.registered?.find(({ subject }) => subject.endsWith(`-${which}`));
  assert.ok(registered);
  const record = Buffer.from(bytes);
  assert.equal(record[0], 0, 'the magic byte');
  assert.equal(record.readInt32BE(1), registered.id);
  return plain(typeOf(registered.schema).fromBuffer(record.subarray(5))) as Record<string, unknown>;
}

export function typeOf(schema: string): avsc.Type {
  return avsc.Type.forSchema(JSON.parse(schema) as avsc.Schema, { typeHook: (part) => (part === 'long' || (part as { type?: unknown }).type === 'long' ? long : undefined), wrapUnions: false });
}

/** Without avsc's own classes. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeControl, encodeControl } from '../../src/pipeline/control-json.ts';
import type { ControlRecord } from '../../src/pipeline/control-records.ts';
import { formatLsn } from '../../src/event/lsn.ts';
import { readEnd } from '../../src/pipeline/end-json.ts';
import { TailraceError } from '../../src/runtime/errors.ts';

/** Plain objects, as literals make them. */
function object<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true });
}

const text = fc.oneof(fc.string({ unit: 'binary' }).filter((value) => value.isWellFormed()), fc.constantFrom('', '__proto__', 'type', '0/0', '"'));
const lsn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const nat = fc.maxSafeNat();
const place = object({ epoch: nat, commitLsn: lsn });
const part = object({ topic: text, partition: nat, count: nat, first: nat, last: nat, bytes: nat });
const orNull = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary);
/** Own properties alone: `{ __proto__: … }` would set a prototype. */
const byName = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> => fc.dictionary(text.filter((name) => name !== '__proto__'), value, { noNullPrototype: true });

const start = object({
  type: fc.constant('start' as const), logId: text, epoch: nat, startId: text, systemIdentifier: text, timeline: nat, slot: text,
  tables: fc.array(text), continues: orNull(object({ epoch: nat, commitLsn: lsn, endLsn: lsn })), gap: orNull(text),
});
const end = object({
  type: fc.constant('end' as const), startId: text, epoch: nat, commitLsn: lsn, endLsn: lsn, commitTime: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n }),
  previous: place, parts: fc.array(part), snapshot: orNull(object({ record: text, table: text, first: fc.boolean(), last: fc.boolean(), sink: orNull(text) })),
});
const progress = object({ type: fc.constant('progress' as const), startId: text, epoch: nat, commitLsn: lsn, parts: fc.array(part) });
const snapshot = object({
  type: fc.constant('snapshot' as const), id: text, confirmed: fc.boolean(), table: text, relid: nat, key: fc.array(text), sink: orNull(text), ask: orNull(text), where: orNull(text),
  copy: text, first: fc.boolean(), last: fc.boolean(), ranges: fc.array(object({ after: orNull(fc.array(text)), until: orNull(fc.array(text)) })), rows: nat, rereads: fc.array(fc.array(text)), from: nat, place, begin: place,
  visibility: orNull(object({ xmin: text, xmax: text, running: fc.array(text), lsn })),
});
const reread = object({ type: fc.constant('reread' as const), copy: text, keys: fc.array(fc.array(text)) });
const order = object({
  type: fc.constant('copy-order' as const), id: text, action: fc.constantFrom('copy' as const, 'pause' as const, 'resume' as const, 'stop' as const, 'stop-rows' as const),
  table: orNull(text), where: orNull(text),
});
const version = object({
  type: fc.constant('version' as const), version: object({ epoch: nat, number: nat }),
  shape: object({
    relid: nat, schema: text, name: text, key: fc.array(nat), replicaIdentity: fc.constantFrom('default' as const, 'nothing' as const, 'full' as const, 'index' as const),
    columns: fc.array(object({ name: text, attnum: orNull(nat), typeOid: nat, typmod: fc.integer(), type: text, baseTypeOid: nat, notNull: fc.boolean() })),
  }),
});
const sinks = fc.oneof(
  object({ type: fc.constant('register' as const), filter: object({ include: fc.array(text), exclude: fc.array(text) }), tables: byName(place), at: place, offset: nat }),
  object({ type: fc.constant('ask' as const), table: text, id: text }),
  object({ type: fc.constant('position' as const), startId: text, endLsn: lsn, offset: nat, epoch: nat, commitLsn: lsn }),
  object({ type: fc.constant('forgotten' as const) }),
);
const anyRecord: fc.Arbitrary<ControlRecord> = fc.oneof(start, end, progress, snapshot, reread, order, version, sinks);

function decode(value: Uint8Array): ControlRecord {
  // Records lie anywhere in what was fetched.
  const bytes = Buffer.concat([Buffer.from('{"'), value, Buffer.from('}')]);
  return decodeControl({ bytes, start: 2, end: 2 + value.length }, 'shop.transaction at offset 3');
}

test('every control record is read as it was written, LSNs of 64 bits and integers beyond 2^53 included', () => {
  fc.assert(fc.property(anyRecord, (record) => assert.deepEqual(decode(encodeControl(record)), record)), { numRuns: 500 });
});

test('LSNs stand in Postgres\'s own form, other large integers as decimal digits', () => {
  const written = JSON.parse(Buffer.from(encodeControl({
    type: 'end', startId: 'aa', epoch: 2, commitLsn: 0x16b374d848n, endLsn: 0n, commitTime: -5n, previous: { epoch: 1, commitLsn: 1n }, parts: [], snapshot: null,
  })).toString()) as Record<string, unknown>;
  assert.equal(written['commitLsn'], '16/B374D848');
  assert.equal(written['endLsn'], '0/0');
  assert.equal(written['commitTime'], '-5');
  assert.deepEqual(Object.keys(written).slice(0, 2), ['type', 'startId'], 'ENDs are told apart by their first bytes');
});

test('what is no control record is damage, and the message names the place', () => {
  for (const value of ['', '{', '[]', 'null', '7', '{"type":"eXd"}', '{}', '{"type":"end","epoch":1,"commitLsn":"zzz"}', '{"type":"position"}', '\u0000']) {
    assert.throws(() => decode(Buffer.from(value)), (error: unknown) => error instanceof TailraceError && error.code === 'log-damaged' && error.message.includes('shop.transaction at offset 3'), value);
  }
});

test('an END that is written by hand has the bytes that JSON would write, and is read as what JSON would read', () => {
  const plain = end.filter(({ snapshot }) => snapshot === null).map((record) => ({ ...record, snapshot: null }));
  fc.assert(fc.property(plain, fc.nat(), (record, cut) => {
    const { type, startId, epoch, commitLsn, endLsn, commitTime, previous, parts } = record;
    const ordered = {
      type, startId, epoch, commitLsn: formatLsn(commitLsn), endLsn: formatLsn(endLsn), commitTime: String(commitTime),
      previous: { epoch: previous.epoch, commitLsn: formatLsn(previous.commitLsn) }, snapshot: null,
      parts: parts.map(({ topic, partition, count, first, last, bytes }) => ({ topic, partition, count, first, last, bytes })),
    };
    const bytes = Buffer.from(JSON.stringify(ordered));
    assert.deepEqual(Buffer.from(encodeControl(record)), bytes);
    const read = readEnd({ bytes, start: 0, end: bytes.length });
    // What it cannot read is left to JSON; what it reads is right.
    if (read !== null) assert.deepEqual(read, record);
    assert.equal(readEnd({ bytes, start: 0, end: cut % bytes.length }), null);
  }));
});

test('nearly every END is read by hand, with the topics of any number of tables', () => {
  for (let n = 0; n < 200; n++) {
    const parts = Array.from({ length: 5 }, (_, i) => ({ topic: `shop.public.tafel_ü_${(n + i) % 100}`, partition: 0, count: 2, first: n, last: n + 1, bytes: 400 }));
    const record = { type: 'end' as const, startId: '0011223344556677', epoch: 3, commitLsn: 0x16_b374_d848n, endLsn: 0x16_b374_d900n, commitTime: 1_790_000_000_000_000n, previous: { epoch: 2, commitLsn: 5n }, snapshot: null, parts };
    const bytes = encodeControl(record);
    assert.deepEqual(readEnd({ bytes, start: 0, end: bytes.length }), record);
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newEncoded } from '../../../src/codec/codec.ts';
import { createJsonCodec } from '../../../src/codec/json/index.ts';
import type { RowChange } from '../../../src/event/change.ts';
import { noTable, type TableSchema } from '../../../src/event/table.ts';
import { changeOf, plain, tableOf } from '../../contract/change-samples.ts';
import { codecGolden } from '../../contract/codec-golden.ts';
import { codecContract, content, context, stored } from '../../contract/codec.ts';

codecContract('json', createJsonCodec);
codecGolden('json', createJsonCodec);

const codec = createJsonCodec();
const table = tableOf([['id', 23], ['name', 25], ['big', 25]]);

interface Written {
  key: unknown;
  value: Record<string, unknown>;
  extra: unknown;
}

function written(change: RowChange<TableSchema>, how: 'encodeRow' | 'encodeOldHalf' = 'encodeRow'): Written {
  const out = newEncoded();
  codec[how](change, change.table, context, out);
  const parse = (bytes: Buffer | null): unknown => (bytes === null ? null : JSON.parse(bytes.toString()));
  return { key: parse(content(out.key)), value: parse(content(out.value)) as Record<string, unknown>, extra: parse(content(out.extra)) };
}

test('the envelope is Debezium\'s, member by member', () => {
  const { key, value, extra } = written(changeOf(table, { op: 'c', new: ['1', 'Anne', null], ordinal: 4 }));
  assert.deepEqual(key, { id: 1 });
  assert.equal(extra, null);
  assert.deepEqual(value, {
    before: null,
    after: { id: 1, name: 'Anne', big: null },
    source: {
      version: 'tailrace-1', connector: 'postgresql', name: 'shop', ts_ms: 1_699_999_999_123, snapshot: 'false', db: 'shopdb',
      sequence: '["97500059720","4"]', ts_us: 1_699_999_999_123_456, ts_ns: 1_699_999_999_123_456_000, schema: 'public', table: 'items',
      txId: 757, lsn: 97_500_059_720, xmin: null,
    },
    op: 'c', ts_ms: 1_700_000_000_123, ts_us: 1_700_000_000_123_000, ts_ns: 1_700_000_000_123_000_000,
    transaction: { id: '757:97500059720', total_order: 5, data_collection_order: 5 },
  });
});

test('a snapshot\'s row is op r and says that it is one; the row after it does not', () => {
  assert.deepEqual(pick(written(changeOf(table, { op: 'r', new: ['1', 'x', 'y'] }))), { op: 'r', snapshot: 'incremental' });
  assert.deepEqual(pick(written(changeOf(table, { op: 'c', new: ['1', 'x', 'y'] }))), { op: 'c', snapshot: 'false' });
});

function pick({ value }: Written): object {
  return { op: value['op'], snapshot: (value['source'] as Record<string, unknown>)['snapshot'] };
}

test('an absent column is no member of after and is named in extra', () => {
  const { value, extra } = written(changeOf(table, { op: 'u', new: ['1', 'x', undefined] }));
  assert.deepEqual(value['after'], { id: 1, name: 'x' });
  assert.deepEqual(extra, { absent: ['big'] });
});

test('a key change is a delete of the old key and a create of the new one, which carries the old key along', () => {
  const change = changeOf(table, { op: 'u', old: ['1', null, null], new: ['2', 'x', undefined] });
  const old = written(change, 'encodeOldHalf');
  assert.deepEqual([old.key, old.value['op'], old.value['before'], old.value['after']], [{ id: 1 }, 'd', { id: 1, name: null, big: null }, null]);
  const next = written(change);
  assert.deepEqual([next.key, next.value['op'], next.value['before'], next.value['after']], [{ id: 2 }, 'c', null, { id: 2, name: 'x' }]);
  assert.deepEqual(next.extra, { absent: ['big'], old: 'key', before: { id: 1, name: null, big: null } });
  assert.deepEqual(plain(codec.decodeRow(stored(codec, change), table)), plain(change));
});

test('an old key that comes along unchanged makes no key change', () => {
  const { value, extra } = written(changeOf(table, { op: 'u', old: ['1', null, null], new: ['1', 'x', 'y'] }));
  assert.deepEqual([value['op'], value['before'], extra], ['u', { id: 1, name: null, big: null }, { old: 'key' }]);
});

test('a delete says in extra when the rest of before is unknown', () => {
  const byKey = written(changeOf(table, { op: 'd', old: ['1', null, null] }));
  assert.deepEqual([byKey.value['before'], byKey.value['after'], byKey.extra], [{ id: 1, name: null, big: null }, null, { old: 'key' }]);
  assert.equal(written(changeOf(table, { op: 'd', old: ['1', null, null], oldKind: 'full' })).extra, null);
});

test('a column named __proto__ is a column like any other', () => {
  const evil = tableOf([['__proto__', 23], ['constructor', 25]]);
  const change = changeOf(evil, { op: 'c', new: ['1', 'x'] });
  assert.deepEqual(plain(codec.decodeRow(stored(codec, change), evil)), plain(change));
  assert.equal(content(stored(codec, change).key)?.toString(), '{"__proto__":1}');
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('truncate and message are Debezium\'s', () => {
  const out = newEncoded();
  codec.encodeTruncate({ op: 't', tables: [table], ordinal: 0, cascade: true, restartIdentity: false }, table, context, out);
  const truncate = JSON.parse(String(content(out.value))) as Record<string, unknown>;
  assert.deepEqual([truncate['op'], 'after' in truncate, out.key.start], ['t', false, -1]);
  codec.encodeMessage({ op: 'm', prefix: 'foo', content: Buffer.from('bar'), ordinal: 1 }, noTable, context, out);
  const message = JSON.parse(String(content(out.value))) as Record<string, unknown>;
  assert.deepEqual([message['op'], message['message']], ['m', { prefix: 'foo', content: 'YmFy' }]);
  assert.equal(String(content(out.key)), '{"prefix":"foo"}');
});

test('nesting 100,000 deep in a damaged record overflows no stack', () => {
  const text = Buffer.from(`{"x":${'['.repeat(100_000)}`);
  const value = { bytes: text, start: 0, end: text.length };
  const nothing = { bytes: text, start: -1, end: -1 };
  assert.throws(() => codec.decodeRow({ op: 'c', ordinal: 0, key: nothing, value, extra: nothing }, table), { code: 'log-damaged' });
});

test('bytes that are not UTF-8 are refused, because nobody could read them back', () => {
  const change = changeOf(table, { op: 'c', new: ['1', '~~~', null] });
  const bytes = Uint8Array.from(change.bytes, (byte) => (byte === 0x7e ? 0xff : byte));
  assert.throws(() => written({ ...change, bytes }), { code: 'source-unreadable' });
});

test('a record that says after twice is damaged', () => {
  const text = Buffer.from('{"before":null,"after":{"id":1,"name":null,"big":null},"after":{"id":2,"name":null,"big":null}}');
  const nothing = { bytes: text, start: -1, end: -1 };
  const record = { op: 'c' as const, ordinal: 0, key: nothing, value: { bytes: text, start: 0, end: text.length }, extra: nothing };
  assert.throws(() => codec.decodeRow(record, table), { code: 'log-damaged' });
});

test('a damaged message is named by its place, and nothing of its content is told', () => {
  for (const [text, why] of [['{"message":secret', /: no JSON$/], ['null', /envelope$/], ['{"message":null}', /envelope$/], ['{"message":{"prefix":"secret"}}', /envelope$/]] as const) {
    const bytes = Buffer.from(text);
    const decode = (): unknown => codec.decodeMessage({ bytes, start: 0, end: bytes.length }, 7);
    assert.throws(decode, { code: 'log-damaged', message: why });
    assert.throws(decode, (error: Error) => error.message.includes('ordinal 7') && !error.message.includes('secret'));
  }
});

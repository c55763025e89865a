import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { createAvroCodec } from '../../../src/codec/avro/index.ts';
import { newEncoded } from '../../../src/codec/codec.ts';
import type { RegisteredSchema, TableSchema } from '../../../src/event/table.ts';
import { changeOf, plain, tableOf } from '../../contract/change-samples.ts';
import { codecGolden } from '../../contract/codec-golden.ts';
import { codecContract, content, context, stored, withSchemas } from '../../contract/codec.ts';
import { readByAvsc, typeOf } from './avsc-oracle.ts';

const create = (types: 'natural' | 'text') => () => createAvroCodec({ types });

codecContract('avro', create('natural'));
codecContract('avro with texts', create('text'));
codecGolden('avro', create('natural'));

const codec = create('natural')();
const table = await withSchemas(codec, tableOf([['id', 23], ['name', 25], ['big', 25]]));

test('the envelope is Debezium\'s, field by field, to another reader', () => {
  const change = changeOf(table, { op: 'c', new: ['1', 'Anne', null], ordinal: 4 });
  const record = stored(codec, change);
  assert.deepEqual(readByAvsc(content(record.key) as Buffer, table, 'key'), { id: 1 });
  assert.equal(record.extra.start, -1);
  assert.deepEqual(readByAvsc(content(record.value) as Buffer, table, 'value'), {
    before: null,
    after: { id: 1, name: 'Anne', big: null },
    source: {
      version: 'tailrace-1', connector: 'postgresql', name: 'shop', ts_ms: 1_699_999_999_123n, snapshot: 'false', db: 'shopdb',
      sequence: '["97500059720","4"]', ts_us: 1_699_999_999_123_456n, ts_ns: 1_699_999_999_123_456_000n, schema: 'public', table: 'items',
      txId: 757n, lsn: 97_500_059_720n, xmin: null,
    },
    op: 'c', ts_ms: 1_700_000_000_123n, ts_us: 1_700_000_000_123_000n, ts_ns: 1_700_000_000_123_000_000n,
    transaction: { id: '757:97500059720', total_order: 5n, data_collection_order: 5n },
  });
});

test('a key change, a delete, a truncate and an absent column are told as the json format tells them', () => {
  const out = newEncoded();
  const read = (): Record<string, unknown> => readByAvsc(content(out.value) as Buffer, table, 'value');
  const extra = (): unknown => (out.extra.start < 0 ? null : JSON.parse(String(content(out.extra))));
  const change = changeOf(table, { op: 'u', old: ['1', null, null], new: ['2', 'x', undefined] });
  codec.encodeOldHalf(change, table, context, out);
  assert.deepEqual([read()['op'], read()['before'], read()['after'], extra()], ['d', { id: 1, name: null, big: null }, null, { old: 'key' }]);
  codec.encodeRow(change, table, context, out);
  assert.deepEqual([read()['op'], read()['before'], read()['after']], ['c', null, { id: 2, name: 'x', big: null }]);
  assert.deepEqual(extra(), { absent: ['big'], old: 'key', before: { id: '1', name: null, big: null } });
  codec.encodeTruncate({ op: 't', tables: [table], ordinal: 0, cascade: true, restartIdentity: false }, table, context, out);
  assert.deepEqual([read()['op'], read()['before'], read()['after'], out.key.start, extra()], ['t', null, null, -1, { cascade: true }]);
});

test('what a type cannot say stands in the header, old and new, beside what is absent', async () => {
  const dated = await withSchemas(codec, tableOf([['id', 23], ['until', 1114], ['since', 1082], ['note', 25]]));
  const change = changeOf(dated, { op: 'u', old: ['1', '-infinity', '2024-01-01', 'x'], oldKind: 'full', new: ['1', 'infinity', '0044-03-15 BC', undefined] });
  const record = stored(codec, change);
  assert.deepEqual(JSON.parse(String(content(record.extra))), {
    exactBefore: { until: '-infinity' }, absent: ['note'], exact: { until: 'infinity', since: '0044-03-15 BC' },
  });
  assert.deepEqual(plain(codec.decodeRow(record, dated)), plain(change));
});

suite('names', () => {
  test('what Avro has no name for gets one that is free, and keeps its own beside it', async () => {
    const odd = await withSchemas(codec, tableOf([['a_b', 23], ['a-b', 25], ['a b', 25], ['1', 25], ['é', 25], ['', 25], ['__proto__', 25]], [1], 'odd "name"'));
    const schema = JSON.parse(odd.registered?.[0]?.schema ?? '') as { namespace: string; fields: { type: [string, { fields: Record<string, unknown>[] }] }[] };
    assert.equal(schema.namespace, 'shop.public.odd__name_');
    const fields = schema.fields[0]?.type[1].fields.map((field) => [field['name'], field['tailrace.column']]);
    assert.deepEqual(fields, [['a_b', undefined], ['a_b_2', 'a-b'], ['a_b_3', 'a b'], ['_1', '1'], ['_', 'é'], ['__2', ''], ['__proto__', undefined]]);
    const change = changeOf(odd, { op: 'c', new: ['1', 'k', 'c', 'd', 'e', 'f', 'g'] });
    assert.deepEqual(readByAvsc(content(stored(codec, change).key) as Buffer, odd, 'key'), { a_b_2: 'k' });
    assert.deepEqual(plain(codec.decodeRow(stored(codec, change), odd)), plain(change));
  });
});

suite('ids that Tailrace gives itself', () => {
  const ids = (registered: readonly RegisteredSchema[] | undefined): readonly number[] => (registered ?? []).map(({ id }) => id);
  const prepare = async (of: TableSchema, known: readonly RegisteredSchema[] = []): Promise<readonly RegisteredSchema[]> =>
    (await codec.prepare?.(of, 'shop.public.items', known)) ?? [];

  test('an equal table has equal ids, whoever asks; another one has others', async () => {
    const again = tableOf([['id', 23], ['name', 25], ['big', 25]]);
    assert.deepEqual(ids(await prepare(again)), ids(table.registered));
    const wider = await prepare(tableOf([['id', 23], ['name', 25], ['big', 20]]));
    assert.notEqual(wider[0]?.id, table.registered?.[0]?.id);
    assert.equal(wider[1]?.id, table.registered?.[1]?.id, 'the key is the same');
    for (const id of ids(wider)) assert.ok(Number.isInteger(id) && id > 0 && id < 2 ** 31);
  });

  test('an id that another schema has is not given again', async () => {
    const [first] = table.registered ?? [];
    assert.ok(first);
    const [moved] = await prepare(table, [{ ...first, schema: '"string"' }]);
    assert.equal(moved?.id, first.id + 1);
    const [elsewhere] = await prepare(table, [{ ...first, schema: '"string"', registry: 'http://registry' }]);
    assert.equal(elsewhere?.id, first.id, 'another registry\'s ids are its own');
  });
});

test('a table without its schemas, or with those of other columns, is damage and not a guess', async () => {
  const change = changeOf(table, { op: 'c', new: ['1', 'x', null] });
  const record = stored(codec, change);
  assert.throws(() => codec.decodeRow(record, tableOf([['id', 23], ['name', 25], ['big', 25]])), { code: 'log-damaged', message: /no Avro schema/ });
  const narrow = { ...tableOf([['id', 23]]), registered: table.registered };
  assert.throws(() => codec.decodeRow(record, narrow), { code: 'log-damaged', message: /not those of its columns/ });
  const renamed = { ...table, registered: table.registered?.map((each) => ({ ...each, id: each.id + 1 })) };
  assert.throws(() => codec.decodeRow(record, renamed), { code: 'log-damaged', message: /schema id \d+, and its version has/ });
});

test('a column that comes or goes gives a schema that old records can be read by, and the other way round', async () => {
  const wider = await withSchemas(codec, tableOf([['id', 23], ['name', 25], ['big', 25], ['added', 23]]));
  const types = [table, wider].map((each) => typeOf(each.registered?.[0]?.schema ?? ''));
  for (const [reader, writer] of [[types[0], types[1]], [types[1], types[0]]]) assert.ok(reader && writer && reader.createResolver(writer));
});

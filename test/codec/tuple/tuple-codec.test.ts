import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noTable } from '../../../src/event/table.ts';
import { newEncoded } from '../../../src/codec/codec.ts';
import { createTupleCodec } from '../../../src/codec/tuple/index.ts';
import { changeOf, tableOf } from '../../contract/change-samples.ts';
import { codecContract, content, context } from '../../contract/codec.ts';

codecContract('tuple', createTupleCodec);

const table = tableOf([['id', 23], ['note', 25]]);
const codec = createTupleCodec();

test('a value that lies as pgoutput sent it is a slice of the same memory', () => {
  const changes = [
    changeOf(table, { op: 'c', new: ['1', 'x'] }),
    changeOf(table, { op: 'u', new: ['1', 'x'] }),
    changeOf(table, { op: 'u', old: ['1', null], new: ['2', undefined] }),
    changeOf(table, { op: 'd', old: ['1', null] }),
  ];
  for (const change of changes) {
    const out = newEncoded();
    codec.encodeRow(change, table, context, out);
    assert.equal(out.value.bytes, change.bytes);
    assert.equal(out.value.end, change.end);
    assert.equal(out.extra.start, -1);
  }
});

test('images that lie apart are brought together', () => {
  const out = newEncoded();
  codec.encodeRow(changeOf(table, { op: 'u', old: ['1', null], new: ['2', 'x'], layout: 'apart' }), table, context, out);
  const apart = content(out.value);
  codec.encodeRow(changeOf(table, { op: 'u', old: ['1', null], new: ['2', 'x'] }), table, context, out);
  assert.deepEqual(apart, content(out.value));
});

test('images with the right letters but something between them are copied, not sliced', () => {
  const close = changeOf(table, { op: 'u', old: ['1', null], new: ['2', 'x'] });
  const gap = Buffer.concat([close.bytes.subarray(0, close.newAt - 1), Buffer.from('??N'), close.bytes.subarray(close.newAt)]);
  const out = newEncoded();
  codec.encodeRow({ ...close, bytes: gap, newAt: close.newAt + 2, end: close.end + 2 }, table, context, out);
  const apart = content(out.value);
  codec.encodeRow(close, table, context, out);
  assert.deepEqual(apart, content(out.value));
});

test('a decoded row is a view over the record', () => {
  const out = newEncoded();
  codec.encodeRow(changeOf(table, { op: 'c', new: ['1', 'x'] }), table, context, out);
  const decoded = codec.decodeRow({ op: 'c', ordinal: 1, ...out }, table);
  assert.equal(decoded.bytes, out.value.bytes);
});

test('truncate says its flags, a message its prefix and content', () => {
  const out = newEncoded();
  codec.encodeTruncate({ op: 't', tables: [table], ordinal: 1, cascade: true, restartIdentity: true }, table, context, out);
  assert.deepEqual(content(out.value), Buffer.from([3]));
  assert.equal(out.key.start, -1);
  codec.encodeMessage({ op: 'm', prefix: 'é', content: Buffer.from([0, 1]), ordinal: 1 }, noTable, context, out);
  assert.deepEqual(content(out.value), Buffer.from([0, 0, 0, 2, 0xc3, 0xa9, 0, 1]));
});

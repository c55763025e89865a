import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RecordView } from '../../src/app/event-view.ts';
import { parseFilter } from '../../src/app/record-filter.ts';

const place = { topic: 't', partition: 0, offset: 0, timestamp: '' };
const update: RecordView = { ...place, op: 'u', table: 'public.orders', key: { id: '7' }, before: { id: '7', status: 'new' }, after: { id: '7', status: "it's", total: '12345678901234567890.10', note: null, 'odd name': 'x', when: '2026-01-31 12:00:00' } };
const remove: RecordView = { ...place, op: 'd', table: 'public.orders', key: { id: '7' }, before: { id: '7' }, after: null };
const json: RecordView = { ...place, key: { id: 7 }, headers: { agent: 'curl', 'content-type': 'text' }, value: { user: { name: 'ann' }, n: 5 } };
const text: RecordView = { ...place, from_topic: 'shop.clicks', key: 'ann', value: 'home' };
const tombstone: RecordView = { ...place, op: 'tombstone', key: 'ann' };
const named: RecordView = { ...update, after: { key: 'column', value: '9' } };

const cases: readonly [filter: string, record: RecordView, holds: boolean][] = [
  ['op = u', update, true],
  ['op=update', update, true],
  ['op != delete', remove, false],
  ['table ~ public.*', update, true],
  ['table ~ *.order', update, false],
  ["status = 'it''s'", update, true],
  ['before.status = new AND id = 7.0', update, true],
  ['before.status = new and id = 8', update, false],
  ['total > 12345678901234567890.09', update, true],
  ['total >= 12345678901234567890.10000001', update, false],
  ['id < 10', update, true],
  ['id = 7', remove, true],
  ['note is null', update, true],
  ['note = x', update, false],
  ['note != x', update, false],
  ['status IS NOT NULL', update, true],
  ['status is null', remove, true],
  ['"odd name" = x', update, true],
  ["when >= '2026-01-31'", update, true],
  ['key.id = 7', remove, true],
  ['value.user.name = ann and value.n >= 5', json, true],
  ['toString is null', update, true],
  ['key = ann and value ~ h*', text, true],
  ['key = bob', text, false],
  ['key = ann', tombstone, true],
  ['value is null', tombstone, true],
  ['key = \'{"id":7}\' and key.id >= 7', json, true],
  ['headers.agent = curl and headers."content-type" = text and headers.other is null', json, true],
  ['key = column and value > 8', named, true],
  ['key is null', update, true],
  ['from_topic ~ *.clicks', text, true],
  ['from_topic is null', update, true],
];
for (const [text, record, holds] of cases) test(`${text} is ${holds} of ${record.op ?? 'a value'}`, () => assert.equal(parseFilter(text)(record), holds));

for (const [text, message] of [
  ['', /at its end: op, table or a column/],
  ['op', /at its end: one of = != /],
  ['op = ', /at its end: a value/],
  ['op = u or op = d', /at or op = d: and, or the end/],
  ['other.x = 1', /at other\.x: key, before, after, value or headers/],
  ["a = 'x", /at 'x: a value/],
] as const) test(`the filter ${JSON.stringify(text)} is refused where it is not understood`, () => assert.throws(() => parseFilter(text), { code: 'usage', message }));

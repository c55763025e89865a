import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SourceItem } from '../../../src/event/change.ts';
import type { TableShape } from '../../../src/event/table.ts';
import { StreamDecoder, type Stop } from '../../../src/source/postgres/stream-decoder.ts';
import { describeRow } from './support.ts';
import { wire } from './wire-messages.ts';

function shape(relid: number, name: string): TableShape {
  return { relid, schema: 'public', name, columns: [], key: [], replicaIdentity: 'full' };
}

/** Decodes chunks as a session does: a Relation is answered with a shape, or with null for a table that is called `hidden`. */
function decodeAll(chunks: readonly Uint8Array[], describe: (item: SourceItem) => string = describeItem): string[] {
  const decoder = new StreamDecoder();
  const seen: string[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    const items: SourceItem[] = [];
    for (let stop: Stop | null; (stop = decoder.decode(items)) !== null; ) {
      if (stop.kind === 'relation') {
        const { relid, name, replicaIdentity, columns } = stop.relation;
        seen.push(...items.splice(0).map((item) => describe(item)), `R ${name} ${replicaIdentity} ${columns.map((column) => `${column.name}${column.identity ? '*' : ''}:${column.typeOid}:${column.typmod}`).join(' ')}`);
        decoder.setShape(relid, name === 'hidden' ? null : shape(relid, name));
      } else {
        seen.push(...items.splice(0).map((item) => describe(item)), stop.kind === 'error' ? `E ${stop.fields.get('C')} ${stop.fields.get('M')}` : stop.kind);
      }
    }
    seen.push(...items.map((item) => describe(item)));
  }
  return seen;
}

function describeItem(item: SourceItem): string {
  switch (item.op) {
    case 'begin':
      return `begin ${item.commitLsn} ${item.xid} ${item.commitTime}`;
    case 'commit':
      return `commit ${item.commitLsn} ${item.endLsn}`;
    case 'keepalive':
      return `keepalive ${item.walEnd}`;
    default:
      return describeRow(item) ?? '';
  }
}

const columns = [{ name: 'id', identity: true, typeOid: 23 }, { name: 'v', typmod: 14 }];
const stream = [
  wire.started, wire.keepalive(5n), wire.notice,
  wire.begin(0x1_0000_0010n, 0xffff_fff0), wire.origin, wire.type, wire.relation(4_000_000_000, 'a', columns), wire.insert(4_000_000_000, ['1', 'é']),
  wire.relation(7, 'hidden', [{ name: 'x' }]), wire.insert(7, ['secret']), wire.relation(8, 'b', [{ name: 'v', identity: true }], 'f'),
  wire.update(4_000_000_000, ['1', undefined]), wire.update(4_000_000_000, ['2', null], { kind: 'K', row: ['1', null] }),
  wire.update(8, ['y'], { kind: 'O', row: ['x'.repeat(300)] }), wire.delete(8, 'O', ['']), wire.delete(4_000_000_000, 'K', ['2', null]),
  wire.message('p', 'told'), wire.message('p', 'untold', false), wire.truncate([4_000_000_000, 7, 8], 3), wire.truncate([7]),
  wire.commit(0x1_0000_0010n, 0x1_0000_0040n), wire.keepalive(0xffff_ffff_ffff_ffffn), wire.error('57P01', 'over'),
];
const expected = [
  'started', 'keepalive 5',
  'begin 4294967312 4294967280 946684800000000', 'R a default id*:23:-1 v:25:14', 'c 0 public.a: 1 é', 'R hidden default x:25:-1',
  'R b full v*:25:-1', 'u 2 public.a: 1 ~', 'u 3 public.a: [key 1 ∅] 2 ∅', `u 4 public.b: [full ${'x'.repeat(300)}] y`,
  'd 5 public.b: [full ]', 'd 6 public.a: [key 2 ∅]', 'm 7 p: told', 't 8 public.a public.b cascade restart',
  'commit 4294967312 4294967360', 'keepalive 18446744073709551615', 'E 57P01 over',
];

test('every kind of message is decoded; rows of a table that is not captured count and are not yielded', () => {
  assert.deepEqual(decodeAll([Buffer.concat(stream)]), expected);
});

test('the boundaries of chunks mean nothing: cut in two at every byte', () => {
  const whole = Buffer.concat(stream);
  for (let cut = 0; cut <= whole.length; cut++) {
    assert.deepEqual(decodeAll([Buffer.from(whole.subarray(0, cut)), Buffer.from(whole.subarray(cut))]), expected, `cut at ${cut}`);
  }
});

test('the boundaries of chunks mean nothing: in pieces of any one size', () => {
  const whole = Buffer.concat(stream);
  for (const size of [1, 2, 3, 4, 5, 6, 7, 11, 64, 100]) {
    const chunks = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) => Buffer.from(whole.subarray(i * size, (i + 1) * size)));
    assert.deepEqual(decodeAll(chunks), expected, `pieces of ${size}`);
  }
});

test('an image that lies inside one chunk is not copied', () => {
  const decoder = new StreamDecoder();
  const chunk = Buffer.concat([wire.begin(1n, 1), wire.relation(1, 'a', columns), wire.insert(1, ['1', 'x'])]);
  decoder.push(chunk);
  const items: SourceItem[] = [];
  decoder.decode(items);
  decoder.setShape(1, shape(1, 'a'));
  assert.equal(decoder.decode(items), null);
  const row = items.at(-1);
  assert.ok(row?.op === 'c' && row.bytes === chunk);
});

test('a keepalive that wants an answer says so', () => {
  const decoder = new StreamDecoder();
  decoder.push(wire.keepalive(1n));
  decoder.decode([]);
  assert.equal(decoder.replyRequested, false);
  decoder.push(wire.keepalive(1n, true));
  decoder.decode([]);
  assert.equal(decoder.replyRequested, true);
});

for (const [what, messages] of [
  ['a change outside of a transaction', [wire.relation(1, 'a', columns), wire.insert(1, ['1', 'x'])]],
  ['a change of a relation that was not described', [wire.begin(1n, 1), wire.insert(1, ['1', 'x'])]],
  ['a BEGIN inside a transaction', [wire.begin(1n, 1), wire.begin(2n, 2)]],
  ['a COMMIT outside of a transaction', [wire.commit(1n, 2n)]],
  ['a message of a later protocol', [wire.begin(1n, 1), wire.unknown]],
  ['an empty replication message', [wire.empty]],
  ['a length that no message has', [Uint8Array.of(0x64, 0x7f, 0xff, 0xff, 0xff)]],
  ['a length smaller than itself', [Uint8Array.of(0x64, 0, 0, 0, 3)]],
] as const) {
  test(`${what} is refused`, () => assert.throws(() => decodeAll(messages), RangeError));
}

test('whatever the bytes, decoding ends, or refuses them by a RangeError', () => {
  const whole = Buffer.concat(stream);
  fc.assert(
    fc.property(fc.array(fc.record({ at: fc.nat(whole.length - 1), to: fc.nat(255) }), { minLength: 1, maxLength: 4 }), fc.nat(whole.length), (changes, cut) => {
      const broken = Buffer.from(whole);
      for (const { at, to } of changes) broken[at] = to;
      try {
        // The values are not looked at: what they hold is nobody's concern here.
        decodeAll([broken.subarray(0, cut), broken.subarray(cut)], (item) => item.op);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

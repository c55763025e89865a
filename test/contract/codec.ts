import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { type Codec, type EncodeContext, type EncodedRow, newEncoded, nullSlice } from '../../src/codec/codec.ts';
import type { RowChange } from '../../src/event/change.ts';
import { noTable, tableName, type TableSchema } from '../../src/event/table.ts';
import { TupleReader, tupleEnd } from '../../src/event/tuple.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import type { Slice } from '../../src/runtime/slice.ts';
import { anyChange, anyText, changeOf, plain, tableOf } from './change-samples.ts';

export const context: EncodeContext = {
  pipeline: 'shop', database: 'shopdb', processedAt: 1_700_000_000_123,
  transaction: { op: 'begin', commitLsn: 0x16_b374_d848n, commitTime: 1_699_999_999_123_456n, xid: 757 },
};

/** What a log would hand back: copies at other offsets than those that were written. */
export function stored(codec: Codec, change: RowChange<TableSchema>): EncodedRow {
  const out = newEncoded();
  codec.encodeRow(change, change.table, context, out);
  return { op: change.op, ordinal: change.ordinal, key: copy(out.key), value: copy(out.value), extra: copy(out.extra) };
}

/** The table as the log would have it: with what the format has registered for it. */
export async function withSchemas(codec: Codec, table: TableSchema): Promise<TableSchema> {
  const registered = await codec.prepare?.(table, `shop.${tableName(table)}`, []);
  return registered === undefined ? table : { ...table, registered };
}

function copy(slice: Slice): Slice {
  if (slice.start < 0) return nullSlice();
  const bytes = Buffer.concat([Buffer.from('<<<'), slice.bytes.subarray(slice.start, slice.end), Buffer.from('>>')]);
  return { bytes, start: 3, end: bytes.length - 2 };
}

export function content(slice: Slice): Buffer | null {
  return slice.start < 0 ? null : Buffer.from(slice.bytes.subarray(slice.start, slice.end));
}

/** The rules of src/codec/codec.ts, for any codec. */
export function codecContract(name: string, create: () => Codec): void {
  suite(`${name} keeps the contract of a codec`, () => {
    const codec = create();

    test('what is decoded is what was encoded, value by value', async () => {
      await fc.assert(
        fc.asyncProperty(anyChange, async (drawn) => {
          const change = { ...drawn, table: await withSchemas(codec, drawn.table) };
          assert.deepEqual(plain(codec.decodeRow(stored(codec, change), change.table)), plain(change));
        }),
        { numRuns: 500 },
      );
    });

    test('equal keys of a table give equal key bytes, whatever the op', async () => {
      const table = await withSchemas(codec, tableOf([['note', 25], ['id', 25], ['part', 25]], [2, 1]));
      const keys = [
        changeOf(table, { op: 'c', new: ['x', '1', 'a'] }),
        changeOf(table, { op: 'r', new: [null, '1', 'a'] }),
        changeOf(table, { op: 'u', new: [undefined, '1', 'a'] }),
        changeOf(table, { op: 'u', old: [null, '1', 'a'], new: ['y', '1', undefined] }),
        changeOf(table, { op: 'u', old: ['z', '1', 'b'], oldKind: 'full', new: ['y', '1', 'a'] }),
        changeOf(table, { op: 'd', old: [null, '1', 'a'] }),
        changeOf(table, { op: 'd', old: ['x', '1', 'a'], oldKind: 'full' }),
      ].map((change) => content(stored(codec, change).key)?.toString('latin1'));
      assert.equal(new Set(keys).size, 1);
      assert.notEqual(keys[0], undefined);
      const other = stored(codec, changeOf(table, { op: 'c', new: ['x', '1a', ''] })).key;
      assert.notEqual(content(other)?.toString('latin1'), keys[0]);
    });

    test('the old half of a key change has the key bytes of the row it takes away', async () => {
      const table = await withSchemas(codec, tableOf([['id', 23], ['note', 25]]));
      const out = newEncoded();
      codec.encodeOldHalf(changeOf(table, { op: 'u', old: ['1', null], new: ['2', undefined] }), table, context, out);
      assert.deepEqual(content(out.key), content(stored(codec, changeOf(table, { op: 'c', new: ['1', 'x'] })).key));
      assert.notEqual(out.value.start, -1);
    });

    test('a table without a key has a null key', async () => {
      const table = await withSchemas(codec, tableOf([['a', 25]], []));
      for (const change of [changeOf(table, { op: 'c', new: ['x'] }), changeOf(table, { op: 'd', old: ['x'], oldKind: 'full' })])
        assert.equal(stored(codec, change).key.start, -1);
    });

    test('an update without its key is refused, never encoded under another key', async () => {
      const table = await withSchemas(codec, tableOf([['id', 25], ['note', 25]]));
      const change = changeOf(table, { op: 'u', new: [undefined, 'x'] });
      assert.throws(() => stored(codec, change), { code: 'source-unreadable' });
    });

    test('a row of 1,600 columns and a value of 20 MB come back', async () => {
      const wide = await withSchemas(codec, tableOf(Array.from({ length: 1600 }, (_, i) => [`c${i}`, 25] as const)));
      const huge = await withSchemas(codec, tableOf([['id', 23], ['body', 25]]));
      const rows = [
        changeOf(wide, { op: 'c', new: wide.columns.map((_, i) => (i % 3 === 0 ? String(i) : null)) }),
        changeOf(huge, { op: 'c', new: ['1', 'é"\\'.repeat(5_000_000)] }),
      ];
      for (const change of rows) assert.ok(sameImages(codec.decodeRow(stored(codec, change), change.table), change));
    });

    test('a table of another shape is noticed', async () => {
      const change = changeOf(await withSchemas(codec, tableOf([['id', 23], ['a', 25]])), { op: 'c', new: ['1', 'x'] });
      const wider = await withSchemas(codec, tableOf([['id', 23], ['a', 25], ['b', 25]]));
      assert.throws(() => codec.decodeRow(stored(codec, change), wider), { code: 'log-damaged' });
    });

    test('a logical message comes back byte by byte, and a damaged one is log-damaged', async () => {
      const table = await withSchemas(codec, noTable);
      const out = newEncoded();
      fc.assert(
        fc.property(anyText, fc.uint8Array({ maxLength: 300 }), damage, (prefix, bytes, spoil) => {
          codec.encodeMessage({ op: 'm', prefix, content: bytes, ordinal: 3 }, table, context, out);
          const value = copy(out.value);
          const { content: decoded, ...rest } = codec.decodeMessage(value, 3);
          assert.deepEqual({ ...rest, content: Buffer.from(decoded) }, { op: 'm', prefix, content: Buffer.from(bytes), ordinal: 3 });
          try {
            codec.decodeMessage(spoil(value), 3);
          } catch (error) {
            if (!(error instanceof TailraceError) || error.code !== 'log-damaged') throw error;
          }
        }),
      );
      assert.throws(() => codec.decodeMessage(nullSlice(), 3), { code: 'log-damaged' });
    });

    test('damaged bytes give a change or log-damaged, nothing else', async () => {
      let refused = 0;
      await fc.assert(
        fc.asyncProperty(anyChange, fc.constantFrom<('value' | 'extra')[]>('value', 'extra'), damage, async (drawn, part, spoil) => {
          const change = { ...drawn, table: await withSchemas(codec, drawn.table) };
          const record = stored(codec, change);
          const target = record[part];
          if (target.start < 0) return;
          const spoiled = { ...record, [part]: spoil(target) };
          let decoded: RowChange<TableSchema>;
          try {
            decoded = codec.decodeRow(spoiled, change.table);
          } catch (error) {
            if (!(error instanceof TailraceError) || error.code !== 'log-damaged') throw error;
            refused++;
            return;
          }
          for (const at of [decoded.oldAt, decoded.newAt])
            if (at >= 0) assert.equal(new TupleReader().reset(decoded.bytes, at).columns, change.table.columns.length);
          const last = decoded.newAt >= 0 ? decoded.newAt : decoded.oldAt;
          assert.equal(tupleEnd(decoded.bytes, last), decoded.end);
        }),
        { numRuns: 3000 },
      );
      assert.ok(refused > 100, 'the damage was never noticed');
    });
  });
}

/** Cuts, overwrites, inserts or repeats some bytes. */
const damage: fc.Arbitrary<(slice: Slice) => Slice> = fc
  .tuple(fc.nat(3), fc.double({ min: 0, max: 1, noNaN: true }), fc.uint8Array({ minLength: 1, maxLength: 6 }))
  .map(([how, where, noise]) => (slice: Slice): Slice => {
    const bytes = slice.bytes.subarray(slice.start, slice.end);
    const at = Math.trunc(where * bytes.length);
    const spoiled =
      how === 0 ? bytes.slice(0, at)
      : how === 1 ? Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at + noise.length)])
      : how === 2 ? Buffer.concat([bytes.subarray(0, at), noise, bytes.subarray(at)])
      : Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    return { bytes: spoiled, start: 0, end: spoiled.length };
  });

function sameImages(a: RowChange<TableSchema>, b: RowChange<TableSchema>): boolean {
  return JSON.stringify(plain(a)) === JSON.stringify(plain(b));
}

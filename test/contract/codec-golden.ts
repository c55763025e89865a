import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Codec, newEncoded, nullSlice } from '../../src/codec/codec.ts';
import { noTable, type TableSchema } from '../../src/event/table.ts';
import type { Slice } from '../../src/runtime/slice.ts';
import { changeOf, plain, tableOf } from './change-samples.ts';
import { content, context, withSchemas } from './codec.ts';

const plainTable = tableOf([
  ['id', 20], ['name', 25], ['ok', 16], ['raw', 17], ['price', 1700], ['ratio', 701], ['at', 1114], ['seen', 1184], ['__proto__', 3802],
]);
const row = ['9007199254740993', 'a "quoted"\\\n\u{1f600}', 't', '\\x00ff10', '1.10', 'NaN', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789+00', '{"a": 1e400}'];
const keyOnly = (id: string): (string | null)[] => [id, ...row.slice(1).map(() => null)];
const lacking = row.map((text, i) => (i === 1 || i === 8 ? undefined : text));

/** One of each kind of record; the files in test/golden/codec say what version 1 writes for them. */
const rowsOf = (table: TableSchema) => ({
  'insert': changeOf(table, { op: 'c', new: row }),
  'snapshot row': changeOf(table, { op: 'r', new: ['1', ...row.slice(1).map(() => null)] }),
  'update': changeOf(table, { op: 'u', new: row }),
  'update, unchanged TOAST': changeOf(table, { op: 'u', new: lacking }),
  'update, replica identity full': changeOf(table, { op: 'u', old: row, oldKind: 'full', new: ['9007199254740993', ...row.slice(1)].with(1, '') }),
  'key change, unchanged TOAST': changeOf(table, { op: 'u', old: keyOnly('5'), new: lacking }),
  'delete': changeOf(table, { op: 'd', old: keyOnly('5') }),
  'delete, replica identity full': changeOf(table, { op: 'd', old: row, oldKind: 'full' }),
});

/**
 * Stability: the bytes in test/golden/codec are what released versions wrote. What a codec writes may change (then record
 * the file anew with UPDATE_GOLDEN=1 and keep the old one beside it); that it reads the old bytes may not.
 */
export function codecGolden(name: string, create: () => Codec): void {
  const codec = create();
  const isText = name.startsWith('json');
  const prepared = withSchemas(codec, plainTable);
  const file = new URL(`../golden/codec/${name}.txt`, import.meta.url);
  const write = (slice: Slice): string => {
    const bytes = content(slice);
    return bytes === null ? '-' : isText ? bytes.toString() : bytes.toString('hex');
  };
  const read = (text: string): Slice => {
    if (text === '-') return nullSlice();
    const bytes = Buffer.from(text, isText ? 'utf8' : 'hex');
    return { bytes, start: 0, end: bytes.length };
  };

  test(`${name} writes the golden bytes`, async () => {
    const table = await prepared;
    const rows = rowsOf(table);
    const out = newEncoded();
    const lines: string[] = [];
    const note = (title: string): void => {
      lines.push(`# ${title}`, write(out.key), write(out.value), write(out.extra));
    };
    for (const [title, change] of Object.entries(rows)) {
      codec.encodeRow(change, change.table, context, out);
      note(title);
    }
    codec.encodeOldHalf(rows['key change, unchanged TOAST'], table, context, out);
    note('old half of the key change');
    codec.encodeTruncate({ op: 't', tables: [table], ordinal: 9, cascade: true, restartIdentity: false }, table, context, out);
    note('truncate');
    codec.encodeMessage({ op: 'm', prefix: 'foo', content: Buffer.from('bar'), ordinal: 10 }, await withSchemas(codec, noTable), context, out);
    note('message');
    const text = `${lines.join('\n')}\n`;
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
    assert.equal(text, readFileSync(file, 'utf8'));
  });

  test(`${name} reads the golden bytes`, async () => {
    const table = await prepared;
    const lines = readFileSync(file, 'utf8').split('\n');
    for (const [title, change] of Object.entries(rowsOf(table))) {
      const at = lines.indexOf(`# ${title}`);
      assert.notEqual(at, -1, title);
      const [key, value, extra] = lines.slice(at + 1, at + 4).map(read) as [Slice, Slice, Slice];
      assert.deepEqual(plain(codec.decodeRow({ op: change.op, ordinal: 7, key, value, extra }, table)), plain(change), title);
    }
  });
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { tupleEnd, tupleOf, tupleTexts } from '../../../src/event/tuple.ts';
import { CopyTextReader } from '../../../src/source/postgres/copy-text.ts';
import type { RowBlock } from '../../../src/source/source.ts';

type Row = readonly (string | null)[];

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\v': '\\v' };

/** As the server writes it. */
function copyText(rows: readonly Row[]): Buffer {
  const value = (text: string | null): string => (text === null ? '\\N' : text.replaceAll(/[\\\b\f\n\r\t\v]/g, (char) => escapes[char] as string));
  return Buffer.from(rows.map((row) => `${row.map(value).join('\t')}\n`).join(''));
}

function rowsOf(block: RowBlock): (string | null | undefined)[][] {
  return Array.from({ length: block.count }, (_, i) => tupleTexts(block.bytes, block.starts[i] as number));
}

const rows: readonly Row[] = [['', null, 'a'], ['\\N', 'N', '\\'], ['\t\n\r\b\f\v', '\\\\t', 'é🙂'], [null, null, null], ['x'.repeat(300), '', '\\.']];

test('every escape, NULL and the empty text come back as they were, cut at every byte', () => {
  const text = copyText(rows);
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new CopyTextReader(3, { capacity: 16 });
    reader.push(text.subarray(0, cut), Infinity);
    reader.push(text.subarray(cut), Infinity);
    assert.deepEqual(rowsOf(reader.take()), rows, `cut at ${cut}`);
  }
});

test('a copied row has byte for byte the form of a streamed one', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }).chain((width) => fc.array(fc.array(fc.option(fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'))), { minLength: width, maxLength: width }), { minLength: 1, maxLength: 20 })),
      (any) => {
        const reader = new CopyTextReader((any[0] as Row).length, { capacity: 16 });
        reader.push(copyText(any), Infinity);
        const block = reader.take();
        assert.equal(block.count, any.length);
        assert.deepEqual(Buffer.from(block.bytes.subarray(0, block.length)), Buffer.concat(any.map(tupleOf)));
        assert.equal(tupleEnd(block.bytes, block.starts[block.count - 1] as number), block.length);
      },
    ),
  );
});

test('a block that is taken in the middle of a row leaves the beginning of that row to the next', () => {
  const text = copyText(rows);
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new CopyTextReader(3, { capacity: 16 });
    reader.push(text.subarray(0, cut), Infinity);
    const first = reader.take();
    reader.push(text.subarray(cut), Infinity);
    assert.deepEqual([...rowsOf(first), ...rowsOf(reader.take())], rows, `taken at ${cut}`);
  }
});

test('a block begins in the bytes that are given, whatever is in them, and goes on elsewhere where they are too small', () => {
  const text = copyText(rows);
  for (const size of [0, 10, 100, text.length * 6 + 16]) {
    const bytes = new Uint8Array(size).fill(0x6e);
    const reader = new CopyTextReader(3, { bytes, capacity: 16 });
    reader.push(text, Infinity);
    const block = reader.take();
    assert.deepEqual(rowsOf(block), rows);
    assert.equal(block.bytes === bytes, size > text.length * 6);
    // What comes next is not written over it.
    reader.push(text, Infinity);
    assert.deepEqual(rowsOf(reader.take()), rows);
    assert.deepEqual(rowsOf(block), rows);
  }
});

test('reading stops behind the row that reaches the limit', () => {
  const reader = new CopyTextReader(1);
  assert.equal(reader.push(copyText([['a'], ['b'], ['c']]), 9), false);
  assert.deepEqual(rowsOf(reader.take()), [['a'], ['b']]);
});

test('more rows than the table of starts began with', () => {
  const many = Array.from({ length: 5000 }, (_, i) => [String(i)]);
  const reader = new CopyTextReader(1);
  reader.push(copyText(many), Infinity);
  assert.deepEqual(rowsOf(reader.take()), many);
});

test('a table without columns has rows all the same', () => {
  const reader = new CopyTextReader(0);
  reader.push(Buffer.from('\n\n'), Infinity);
  assert.deepEqual(rowsOf(reader.take()), [[], []]);
});

test('a row with another number of columns is refused', () => {
  assert.throws(() => new CopyTextReader(2).push(Buffer.from('a\n'), Infinity), RangeError);
  assert.throws(() => new CopyTextReader(2).push(Buffer.from('a\tb\tc\n'), Infinity), RangeError);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { tupleOf } from '../../../src/event/tuple.ts';
import { CopyText } from '../../../src/sink/postgres/copy-text.ts';
import { OutBuffer } from '../../../src/sink/postgres/out-buffer.ts';

/** Reads COPY's text format as the manual describes it. */
function parse(text: string): (string | null)[][] {
  const escapes: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };
  const value = (field: string): string | null => (field === '\\N' ? null : field.replaceAll(/\\(.)/gs, (_, letter: string) => escapes[letter] ?? letter));
  return text.split('\n').slice(0, -1).map((line) => line.split('\t').map(value));
}

const texts = fc.array(fc.option(fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', '')), { freq: 4 }), { minLength: 1, maxLength: 6 });

function encode(rows: readonly (readonly (string | null | undefined)[])[], options: ConstructorParameters<typeof CopyText>[0], size = 8): string {
  const out = new OutBuffer(size);
  const copyText = new CopyText(options);
  for (const row of rows) {
    // Amid other bytes, as a tuple stands in its message.
    const bytes = Buffer.concat([Buffer.from('\t\\'), tupleOf(row), Buffer.from('\n')]);
    copyText.append(out, bytes, 2, bytes.length - 1);
  }
  return out.bytes.toString('utf8', 0, out.length);
}

test('what COPY reads is what the tuples hold, whatever bytes stand in them', () => {
  fc.assert(
    fc.property(fc.array(texts, { maxLength: 5 }), (rows) => {
      assert.deepEqual(parse(encode(rows, { leftOut: null })), rows);
    }),
  );
});

test('left-out columns do not come, absent ones are NULL, a number can stand in front', () => {
  assert.equal(encode([['a', 'secret', undefined, null]], { leftOut: Uint8Array.of(0, 1, 0, 0), first: 12 }), '12\ta\t\\N\t\\N\n');
  assert.equal(encode([['secret']], { leftOut: Uint8Array.of(1) }), '\n');
});

test('a row of a megabyte and more in which every byte is escaped has room', () => {
  const row = ['\\'.repeat(700_000), null, '\n'.repeat(700_000)];
  assert.deepEqual(parse(encode([row], { leftOut: null, first: 3 })), [['3', ...row]]);
});

test('each byte is escaped or not wherever it stands in a value', () => {
  const escaped: Partial<Record<number, string>> = { 0x09: '\\t', 0x0a: '\\n', 0x0d: '\\r', 0x5c: '\\\\' };
  for (let byte = 1; byte < 256; byte++) {
    for (let size = 1; size <= 13; size++) {
      for (let at = 0; at < size; at++) {
        const value = Buffer.alloc(size, at % 2 === 0 ? 0x80 : 0x7f);
        value[at] = byte;
        const tuple = Buffer.concat([Uint8Array.of(0, 1, 0x74, 0, 0, 0, size), value]);
        const out = new OutBuffer(8);
        new CopyText({ leftOut: null }).append(out, tuple, 0, tuple.length);
        const expected = [...value].map((one) => escaped[one] ?? String.fromCharCode(one)).join('');
        assert.equal(out.bytes.toString('latin1', 0, out.length), `${expected}\n`);
      }
    }
  }
});

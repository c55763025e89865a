import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import { quoteIdentifier, quoteLiteral, quotePublicationNames, quoteQualified } from '../../../src/runtime/postgres/quote.ts';
import { freshDatabase } from '../../support/postgres.ts';

const hostile = ['select', 'x"; DROP TABLE y; --', "'", '"', '""', "\\'", '\\', '$$', '--', '/*', 'é🙂', ' ', 'a.b', 'A', '\n', ';', '%s', ' '.repeat(3)];
const name = fc.oneof(fc.constantFrom(...hostile), fc.string({ unit: 'grapheme', minLength: 1 }))
  .filter((text) => text.isWellFormed() && !text.includes('\0') && Buffer.byteLength(text) <= 63);

test('any text comes back as it was: as a name, and as a constant', async (t) => {
  const database = await freshDatabase(t);
  const client = new pg.Client(database.url);
  await client.connect();
  try {
    await fc.assert(
      fc.asyncProperty(name, name, async (column, text) => {
        const { rows, fields } = await client.query({ text: `SELECT ${quoteLiteral(text)} AS ${quoteIdentifier(column)}`, rowMode: 'array' });
        assert.deepEqual([fields[0]?.name, rows[0]?.[0]], [column, text]);
      }),
      { numRuns: 300 },
    );
  } finally {
    await client.end();
  }
});

test('a table of any name is found by its quoted name', async (t) => {
  const database = await freshDatabase(t);
  for (const [i, text] of hostile.entries()) {
    await database.sql(`CREATE TABLE ${quoteQualified('public', text)} (n int); INSERT INTO ${quoteQualified('public', text)} VALUES (${i})`);
    assert.deepEqual(await database.sql(`SELECT n FROM ${quoteQualified('public', text)}`), [{ n: i }]);
  }
});

test('names of publications are quoted twice: as names, inside a constant', () => {
  assert.equal(quotePublicationNames([`a"b'c,d`, 'e']), `'"a""b''c,d","e"'`);
});

test('what Postgres has no name for is refused', () => {
  for (const text of ['', '\0', 'a\0b']) assert.throws(() => quoteIdentifier(text), RangeError);
  assert.throws(() => quoteLiteral('\0'), RangeError);
});

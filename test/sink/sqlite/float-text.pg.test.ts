import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toPostgresText, toSqlite } from '../../../src/sink/sqlite/representation.ts';
import { freshDatabase } from '../../support/postgres.ts';

test('floats stand as REAL and give the text that Postgres itself writes', async (t) => {
  const database = await freshDatabase(t);
  for (const [form, type, factor] of [['float8', 'float8', 300], ['float4', 'float4', 37]] as const) {
    const rows = await database.sql<{ text: string }>(
      `SELECT ((random() - 0.5) * 10 ^ (random() * ${factor * 2} - ${factor}))::${type}::text AS text FROM generate_series(1, 10000)
       UNION ALL SELECT (n * 10.0 ^ e)::${type}::text FROM generate_series(-9, 9) n, generate_series(-20, 20) e`,
    );
    const asText: string[] = [];
    for (const { text } of rows) {
      const value = toSqlite(form, Buffer.from(text), 0, text.length);
      assert.equal(toPostgresText(form, value), text);
      const size = Math.abs(Number(text));
      // Of some whole numbers that a double has with a gap to the next, Postgres writes more digits than tell them apart.
      if (typeof value !== 'number' && !(size > 2 ** 53 && size < 1e23)) asText.push(text);
    }
    assert.deepEqual(asText, [], `${type} that stand as TEXT`);
  }
});

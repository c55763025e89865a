import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { Wire } from '../../../src/sink/postgres/wire.ts';
import { eventually } from '../../support/wait.ts';
import { emptyDatabase } from './harness.ts';

test('in the middle of a COPY the server waits for us, and is waited for only behind its end', async (t) => {
  const database = await emptyDatabase();
  await database.sql('CREATE TABLE k (v text)');
  const client = new pg.Client(database.url);
  await client.connect();
  t.after(() => client.end());
  const wire = new Wire<string>(client);
  wire.run({ name: '', text: 'COPY k FROM STDIN' }, 'copy');
  const row = Buffer.from(`${'x'.repeat(999)}\n`);
  while (!wire.copyFull) wire.copyBuffer.slice(row, 0, row.length);
  assert.equal(await wire.copied(), true);
  await eventually(() => !wire.busy, { what: 'the rows sent' });
  wire.copyBuffer.slice(row, 0, row.length);
  wire.endCopy();
  await wire.post();
  assert.equal(wire.busy, true);
  const { done, failed } = await wire.answer();
  assert.equal(failed, undefined);
  assert.equal(done[0]?.tag, 'copy');
  assert.ok((done[0]?.count ?? 0) > 250);
  assert.equal(wire.busy, false);
});

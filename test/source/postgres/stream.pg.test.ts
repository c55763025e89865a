import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshDatabase } from '../../support/postgres.ts';
import { eventually } from '../../support/wait.ts';
import { connected, sourceOn, Tail } from './support.ts';

test('a transaction comes whole: begin, its changes by ordinal, commit', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY, v text)');
  await database.sql('CREATE TABLE b (id int, v text)');
  await database.sql('ALTER TABLE b REPLICA IDENTITY FULL');
  const session = await connected(sourceOn(database.url), t);
  const tail = new Tail(session);
  await database.sql(`DO $$ BEGIN
    INSERT INTO a VALUES (1, 'x'), (2, NULL); UPDATE a SET v = 'y' WHERE id = 1; UPDATE a SET id = 3 WHERE id = 1;
    DELETE FROM a WHERE id = 2; INSERT INTO b VALUES (1, 'é'); UPDATE b SET v = ''; DELETE FROM b; TRUNCATE a, b RESTART IDENTITY CASCADE;
    PERFORM pg_logical_emit_message(true, 'p', 'content'); END $$`);
  await eventually(() => tail.commits().length === 1, { what: 'the commit' });
  assert.deepEqual(tail.rows, [
    'c 0 public.a: 1 x', 'c 1 public.a: 2 ∅', 'u 2 public.a: 1 y', 'u 3 public.a: [key 1 ∅] 3 y', 'd 4 public.a: [key 2 ∅]',
    'c 5 public.b: 1 é', 'u 6 public.b: [full 1 é] 1 ', 'd 7 public.b: [full 1 ]', 't 8 public.a public.b cascade restart', 'm 9 p: content',
  ]);
  const [begin] = tail.items.filter((item) => item.op === 'begin');
  const [commit] = tail.commits();
  assert.equal(begin?.commitLsn, commit?.commitLsn);
  assert.ok(commit !== undefined && commit.endLsn > commit.commitLsn);
  assert.ok(Math.abs(Number((commit?.commitTime ?? 0n) / 1000n) - Date.now()) < 600_000);
});

test('a transaction that fits into the memory that the server is told to decode in is not written to its disk', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY, v text)');
  for (const [i, [memory, isSpilled]] of ([['64kB', true], ['64MB', false]] as const).entries()) {
    const source = sourceOn(database.url, { config: { logical_decoding_work_mem: memory } });
    const tail = new Tail(await connected(source, t));
    await database.sql("INSERT INTO a SELECT g, repeat('x', 100) FROM generate_series($1::int, $1::int + 4999) g", [i * 5000]);
    await eventually(() => tail.commits().length === 1, { what: 'the commit' });
    const { findings } = await source.check();
    assert.equal(findings.some(({ check }) => check === 'slot-spills'), isSpilled, memory);
  }
});

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSession } from '../../contract/sink.ts';
import { apply, changes, insert, positionAt } from '../../contract/sink-samples.ts';
import { type SqliteReplica, sqliteReplica } from './replica.ts';
import { bag, keyed, rowsEach } from './writer-process.ts';

const script = fileURLToPath(new URL('writer-process.ts', import.meta.url));

/** Starts a worker; `lines` are what it prints. */
function startWriter(t: TestContext, path: string, ...args: string[]): { child: ChildProcess; lines: AsyncIterator<string> } {
  const child = spawn(process.execPath, [script, path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
}

/** The invariant: a position and all rows up to it, each once, or nothing of a transaction. Returns the commit LSN reached. */
function checkWhole(replica: SqliteReplica): number {
  const [row] = replica.query('SELECT commit_lsn FROM _tailrace_position');
  const reached = row === undefined ? 0 : Number.parseInt(String(row['commit_lsn']).slice(2), 16);
  const counts = replica.query('SELECT lsn, count(*) n FROM bag GROUP BY lsn');
  assert.equal(counts.length, reached, 'transactions without a key');
  for (const { n } of counts) assert.equal(n, rowsEach);
  if (reached > 0) assert.deepEqual(replica.query('SELECT DISTINCT lsn FROM keyed').map(({ lsn }) => lsn), [reached]);
  assert.deepEqual(replica.query('PRAGMA integrity_check').map((each) => Object.values(each)), [['ok']]);
  return reached;
}

test('kill -9 inside a transaction leaves the one before it, whole', async (t) => {
  const replica = await sqliteReplica(t);
  const { child, lines } = startWriter(t, replica.path, 'stop');
  assert.equal((await lines.next()).value, '1');
  assert.equal((await lines.next()).value, 'inside');
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(checkWhole(replica), 1);
  const next = await openSession(t, replica.sink());
  await apply(next, positionAt(2), changes(keyed, [insert(keyed, ['0', '2'])]));
});

test('kill -9 again and again at any moment: what was said to be committed is there, and nothing twice', async (t) => {
  const replica = await sqliteReplica(t);
  let told = 0;
  for (let round = 0; round < 8; round++) {
    const { child, lines } = startWriter(t, replica.path);
    const wanted = told + 1 + Math.floor(Math.random() * 25);
    while (told < wanted) told = Number((await lines.next()).value);
    // Up to one transaction's time later, so that the kill falls anywhere between begin and commit.
    const until = performance.now() + Math.random() * 6;
    while (performance.now() < until);
    child.kill('SIGKILL');
    await once(child, 'exit');
    for (let line = await lines.next(); line.done !== true; line = await lines.next()) told = Number(line.value);
    const reached = checkWhole(replica);
    assert.ok(reached >= told && reached <= told + 1, `reached ${reached}, told ${told}`);
    told = reached;
  }
});

test('two workers on one file: one is fenced, and the rows are those of the other', async (t) => {
  const replica = await sqliteReplica(t, { busyTimeout: '10s' });
  const { child, lines } = startWriter(t, replica.path);
  await lines.next();
  const intruder = await openSession(t, replica.sink());
  // The first worker goes on meanwhile, so that the position is soon another than the intruder read.
  await lines.next();
  await lines.next();
  await assert.rejects(apply(intruder, positionAt(1_000_000)), { code: 'fenced' });
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(checkWhole(replica) >= 3);
  assert.deepEqual((await replica.rows(bag)).filter((row) => row[0] === '1000000'), []);
});

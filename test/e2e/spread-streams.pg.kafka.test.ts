import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { TestDaemon, tailrace } from '../support/daemon.ts';
import { sharedKafka } from '../support/kafka.ts';
import { chainedQueries, chainedStream, ledgerStream, outputsEqual, rowsOf } from '../support/ledger-stream.ts';
import { freshDatabase, type TestDatabase } from '../support/postgres.ts';
import { nameFor } from '../support/shop.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';
import { Ledger, ledgerSchema } from '../support/workload.ts';

const kafka = await sharedKafka();
const needed = { skip: kafka.missing ?? false };
const shards = 3;
const tasks = shards + 1;

interface SpreadSetting {
  readonly source: TestDatabase;
  readonly replica: TestDatabase;
  /** Of the same stream, computed by one worker. */
  readonly whole: TestDatabase;
  /** Of a stream that one worker computes of what the shards give. */
  readonly behind: TestDatabase;
  readonly publisher: TestDaemon;
  readonly sinks: TestDaemon;
  /** A worker of the stream, as on a machine of its own. */
  worker(): Promise<TestDaemon>;
}

async function spreadSetting(t: TestContext): Promise<SpreadSetting> {
  const [source, replica, whole, behind] = [await freshDatabase(t), await freshDatabase(t), await freshDatabase(t), await freshDatabase(t)];
  await source.sql(ledgerSchema);
  const modules = await tempDirectory(t);
  await writeFile(join(modules, 'sums.ts'), ledgerStream);
  await writeFile(join(modules, 'chained.ts'), chainedStream);
  const daemon = async (): Promise<TestDaemon> => {
    const directory = await tempDirectory(t);
    return TestDaemon.create(t, directory, `name: ${nameFor(source)}
source: { type: postgres, url: "${source.url}" }
log: { type: kafka, brokers: [${kafka.brokers.join(', ')}] }
streams:
  - { name: sums, module: ${join(modules, 'sums.ts')}, state: ${join(directory, 'sums.sqlite')}, shards: ${shards} }
  - { name: whole, module: ${join(modules, 'sums.ts')}, state: ${join(directory, 'whole.sqlite')} }
  - { name: chained, from: sums, module: ${join(modules, 'chained.ts')}, state: ${join(directory, 'chained.sqlite')} }
sinks:
  - { name: reporting, type: postgres, url: "${replica.url}", from: sums }
  - { name: one, type: postgres, url: "${whole.url}", from: whole }
  - { name: second, type: postgres, url: "${behind.url}", from: chained }
`);
  };
  return { source, replica, whole, behind, publisher: await daemon(), sinks: await daemon(), worker: daemon };
}

function start(worker: TestDaemon, failpoint?: string): void {
  worker.start(failpoint === undefined ? {} : { TAILRACE_FAILPOINT: failpoint }, { args: ['--role', 'streams'] });
}

/** By SIGSTOP. */
async function isStopped({ pid }: TestDaemon): Promise<boolean> {
  return /^State:\s+T/m.test(await readFile(`/proc/${pid}/status`, 'utf8'));
}

/** How many of the stream's tasks a worker does. */
async function tasksAt(worker: TestDaemon): Promise<number> {
  return (await worker.status()).sinks.filter(({ name, state }) => name.startsWith('sums') && (state === 'current' || state === 'catching-up')).length;
}

async function has(worker: TestDaemon, count: number): Promise<void> {
  await eventually(async () => (await tasksAt(worker)) === count, { what: `a worker with ${count} tasks`, timeoutMs: 60_000 }).catch(async (error: unknown) => {
    assert.fail(`${String(error)}: ${JSON.stringify((await worker.status()).sinks)}; it said ${worker.output.slice(-4000)}`);
  });
}

test('workers share the shards of a stream; those that die in the midst of a step or stand still are replaced, and what comes out is what one worker gives', { ...needed, timeout: 280_000 }, async (t) => {
  const { source, replica, whole, behind, publisher, sinks, worker } = await spreadSetting(t);
  publisher.start({}, { args: ['--role', 'publisher'] });
  sinks.start({}, { args: ['--role', 'sinks'] });
  await publisher.streaming();
  const ledger = new Ledger(source.url, 21, 2, 20);
  const more = async (): Promise<void> => {
    const before = ledger.committed;
    await eventually(() => ledger.committed > before + 40, { what: 'transactions', timeoutMs: 60_000 });
  };
  const first = await worker();
  // A step of a shard is in the log but for its END; one of the results is, and nothing of it has been published.
  for (const failpoint of ['stream.rows_given:kill9:6', 'stream.committed:kill9:2']) {
    start(first, failpoint);
    await eventually(() => first.hasExited, { what: `its death at ${failpoint}`, timeoutMs: 90_000 }).catch(async (error: unknown) => {
      assert.fail(`${String(error)}: ${JSON.stringify((await first.status()).sinks)}; it said ${first.output.slice(-3000)}`);
    });
  }
  const second = await worker();
  start(second);
  await has(second, tasks);
  // It stands still where it would write an END, and does so when it wakes up.
  start(first, 'stream.rows_given:pause:5');
  await eventually(() => isStopped(first), { what: () => `it stands still; ${first.output.slice(-3000)}`, timeoutMs: 90_000 });
  await has(second, tasks);
  await more();
  first.signal('SIGCONT');
  await Promise.all([has(first, tasks / 2), has(second, tasks / 2)]);
  await more();
  await ledger.stop();
  await outputsEqual(source, replica, second);
  await outputsEqual(source, whole, publisher);
  await outputsEqual(source, behind, publisher, chainedQueries);
  for (const events of ['pairs', 'late']) {
    const wanted = await rowsOf(whole, `SELECT l, r FROM ${events}`);
    assert.ok(wanted.length > 5, `${wanted.length} rows in ${events}`);
    let last: string[] = [];
    await eventually(async () => JSON.stringify(last = await rowsOf(replica, `SELECT l, r FROM ${events}`)) === JSON.stringify(wanted), { what: events }).catch(() => assert.deepEqual(last, wanted, events));
  }
});

test('another number of shards is refused, workers are in the way of a reset, and what is begun anew or kept is right', { ...needed, timeout: 280_000 }, async (t) => {
  const { source, replica, behind, publisher, sinks, worker } = await spreadSetting(t);
  publisher.start({}, { args: ['--role', 'publisher'] });
  sinks.start({}, { args: ['--role', 'sinks'] });
  const first = await worker();
  start(first);
  await outputsEqual(source, replica, first);
  const yaml = await readFile(first.file, 'utf8');
  await writeFile(first.file, yaml.replace(`shards: ${shards}`, 'shards: 2'));
  const busy = await tailrace(['streams', 'reset', 'sums', first.file, '--yes']);
  assert.equal(busy.code, 3, busy.err);
  assert.match(busy.err, /workers are at the stream sums/);
  assert.equal(await first.stop(), 0);
  start(first);
  await eventually(async () => (await first.status()).sinks.filter(({ error }) => error?.code === 'stream-changed').length === 3, { what: 'the number of shards to be refused' });
  assert.equal(await first.stop(), 0);
  const reset = await tailrace(['streams', 'reset', 'sums', first.file, '--yes']);
  assert.equal(reset.code, 0, reset.err);
  await source.sql('DELETE FROM acct WHERE id > 40');
  start(first);
  await outputsEqual(source, replica, first);
  await outputsEqual(source, behind, publisher, chainedQueries);
  assert.equal(await first.stop(), 0);
  const kept = await tailrace(['streams', 'keep', 'sums', first.file, '--yes']);
  assert.equal(kept.code, 0, kept.err);
  await source.sql('UPDATE acct SET bal = bal + 1');
  start(first);
  await outputsEqual(source, replica, first);
});

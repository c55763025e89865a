import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { TestDaemon } from '../support/daemon.ts';
import { sharedKafka } from '../support/kafka.ts';
import { ledgerStream, outputsEqual, rowsOf } from '../support/ledger-stream.ts';
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
  readonly publisher: TestDaemon;
  readonly sinks: TestDaemon;
  /** A worker of the stream, as on a machine of its own. */
  worker(): Promise<TestDaemon>;
}

async function spreadSetting(t: TestContext): Promise<SpreadSetting> {
  const [source, replica, whole] = [await freshDatabase(t), await freshDatabase(t), await freshDatabase(t)];
  await source.sql(ledgerSchema);
  const modules = await tempDirectory(t);
  await writeFile(join(modules, 'sums.ts'), ledgerStream);
  const daemon = async (): Promise<TestDaemon> => {
    const directory = await tempDirectory(t);
    return TestDaemon.create(t, directory, `name: ${nameFor(source)}
source: { type: postgres, url: "${source.url}" }
log: { type: kafka, brokers: [${kafka.brokers.join(', ')}] }
streams:
  - { name: sums, module: ${join(modules, 'sums.ts')}, state: ${join(directory, 'sums.sqlite')}, shards: ${shards} }
  - { name: whole, module: ${join(modules, 'sums.ts')}, state: ${join(directory, 'whole.sqlite')} }
sinks:
  - { name: reporting, type: postgres, url: "${replica.url}", from: sums }
  - { name: one, type: postgres, url: "${whole.url}", from: whole }
`);
  };
  const worker = async (): Promise<TestDaemon> => {
    const own = await daemon();
    own.start({}, { args: ['--role', 'streams'] });
    return own;
  };
  return { source, replica, whole, publisher: await daemon(), sinks: await daemon(), worker };
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

test('workers share the shards of a stream; one that dies or stands still is replaced, and what comes out is what one worker gives', { ...needed, timeout: 280_000 }, async (t) => {
  const { source, replica, whole, publisher, sinks, worker } = await spreadSetting(t);
  publisher.start({}, { args: ['--role', 'publisher'] });
  sinks.start({}, { args: ['--role', 'sinks'] });
  const first = await worker();
  await has(first, tasks);
  const ledger = new Ledger(source.url, 21);
  const second = await worker();
  await Promise.all([has(first, tasks / 2), has(second, tasks / 2)]);
  const more = async (): Promise<void> => {
    const before = ledger.committed;
    await eventually(() => ledger.committed > before + 60, { what: 'transactions', timeoutMs: 60_000 });
  };
  await more();
  await first.kill();
  await has(second, tasks);
  await more();
  const third = await worker();
  await Promise.all([has(second, tasks / 2), has(third, tasks / 2)]);
  second.signal('SIGSTOP');
  await has(third, tasks);
  await more();
  second.signal('SIGCONT');
  await Promise.all([has(second, tasks / 2), has(third, tasks / 2)]);
  await more();
  await ledger.stop();
  await outputsEqual(source, replica, third);
  await outputsEqual(source, whole, publisher);
  for (const events of ['pairs', 'late']) {
    const wanted = await rowsOf(whole, `SELECT l, r FROM ${events}`);
    assert.ok(wanted.length > 5, `${wanted.length} rows in ${events}`);
    await eventually(async () => JSON.stringify(await rowsOf(replica, `SELECT l, r FROM ${events}`)) === JSON.stringify(wanted), { what: `${events} as one worker gives them` });
  }
  for (const daemon of [second, third]) assert.equal(await daemon.stop(), 0);
});

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { tailrace, type TestDaemon } from '../support/daemon.ts';
import { anotherDaemon, kafkaSetting } from '../support/kafka-shop.ts';
import { sharedKafka } from '../support/kafka.ts';
import { walPlace } from '../support/postgres.ts';
import { dumpPostgres, dumpSqlite } from '../support/replicas.ts';
import { changeEverything, nameFor } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';
import { Ledger } from '../support/workload.ts';

const kafka = await sharedKafka();
const needed = { skip: kafka.missing ?? false };

/** Which of these has the sink that writes the Postgres. */
function holder(workers: readonly TestDaemon[]): Promise<TestDaemon> {
  const works = async (worker: TestDaemon): Promise<boolean> => ['current', 'catching-up'].includes((await worker.status()).sinks[0]?.state ?? '');
  return eventually(async () => {
    for (const worker of workers) if (await works(worker)) return worker;
    return undefined;
  }, { what: 'a worker that has the sink', timeoutMs: 60_000 });
}

test('rows that stood before and rows that change go through Kafka into both replicas, tables in several partitions', needed, async (t) => {
  const setting = await kafkaSetting(t, kafka.brokers, { keys: '  partitions: 3\n  compression: zstd\n' });
  setting.daemon.start();
  await setting.daemon.streaming();
  const ledger = new Ledger(setting.source.url, 11);
  await eventually(() => ledger.committed > 150, { what: 'enough transactions' });
  await ledger.stop();
  await setting.equal();
  await setting.source.sql('SELECT pg_sleep(0.01)');
  const [now] = await setting.source.sql<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
  const before = await dumpPostgres(setting.source, 'ledger');
  await changeEverything(setting);
  await setting.equal();
  const past = join(setting.directory, 'past.sqlite');
  const replayed = await tailrace(['replay', '--sink', 'local', '--to', past, '--until', now?.lsn ?? '', setting.daemon.file]);
  assert.equal(replayed.code, 0, replayed.err);
  assert.deepEqual(dumpSqlite(past, 'ledger'), before, 'a replica as of a point, from Kafka alone');
  assert.equal(await setting.daemon.stop(), 0);
  const stopped = await walPlace(setting.source);
  await setting.source.sql('INSERT INTO nopk VALUES (78, 78)');
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.equal();
  assert.equal((await setting.daemon.statusBehind(stopped)).source?.events, 1, 'a stop in good order and a start again send nothing twice');
});

test('publisher and sinks run in processes apart; a worker that dies or stands still is replaced, and harms nobody when it wakes up', needed, async (t) => {
  const setting = await kafkaSetting(t, kafka.brokers);
  setting.daemon.start({}, { args: ['--role', 'publisher'] });
  const workers = await Promise.all([1, 2, 3].map(() => anotherDaemon(t, setting)));
  for (const worker of workers) worker.start({}, { args: ['--role', 'sinks'] });
  await setting.daemon.streaming();
  const ledger = new Ledger(setting.source.url, 12);
  const first = await holder(workers);
  first.signal('SIGSTOP');
  const second = await holder(workers.filter((worker) => worker !== first));
  first.signal('SIGCONT');
  await second.kill();
  await holder(workers.filter((worker) => worker !== second));
  await ledger.stop();
  assert.ok(ledger.committed > 50);
  await setting.equal();
});

test('a publisher that stands still while its successor takes the slot writes nothing that counts when it wakes up', needed, async (t) => {
  const setting = await kafkaSetting(t, kafka.brokers);
  const { source, daemon } = setting;
  const slot = `tailrace_${nameFor(source)}`;
  daemon.start();
  await daemon.streaming();
  await setting.equal();
  const ledger = new Ledger(source.url, 13);
  await eventually(() => ledger.committed > 30);
  daemon.signal('SIGSTOP');
  // As the server does by itself, once the reader has been silent for long enough.
  await source.sql('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [slot]);
  const successor = await anotherDaemon(t, setting);
  successor.start({}, { args: ['--role', 'publisher'] });
  await successor.streaming();
  const before = ledger.committed;
  await eventually(() => ledger.committed > before + 30);
  daemon.signal('SIGCONT');
  await eventually(async () => (await daemon.status()).state === 'retrying', { what: 'the old publisher to give up', timeoutMs: 60_000 });
  await ledger.stop();
  await setting.equal();
  assert.equal((await successor.status()).state, 'streaming');
});

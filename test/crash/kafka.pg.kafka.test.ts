import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { TestDaemon } from '../support/daemon.ts';
import { anotherDaemon, kafkaSetting } from '../support/kafka-shop.ts';
import { startKafka } from '../support/kafka.ts';
import { dumpPostgres, dumpSqlite, fingerprint } from '../support/replicas.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';
import { Ledger, ledgerTables, seeded } from '../support/workload.ts';

const seed = Number(process.env['TAILRACE_SEED'] ?? Math.floor(Math.random() * 1e6));
const rounds = Number(process.env['TAILRACE_ROUNDS'] ?? 4);

test('publisher, sink workers and brokers, leaders among them, killed at random under load: replicas are equal, and the log is whole', { timeout: 280_000 }, async (t) => {
  t.diagnostic(`TAILRACE_SEED=${seed}`);
  const random = seeded(seed);
  const cluster = await startKafka(t, { brokers: 3 });
  if (cluster === undefined) return;
  const setting = await kafkaSetting(t, cluster.addresses, { keys: '  partitions: 2\n' });
  const publishers = [setting.daemon];
  const workers = [await anotherDaemon(t, setting), await anotherDaemon(t, setting)];
  const start = (daemon: TestDaemon): void => daemon.start({}, { args: ['--role', publishers.includes(daemon) ? 'publisher' : 'sinks'] });
  for (const daemon of [...publishers, ...workers]) start(daemon);
  await setting.daemon.streaming();
  const ledger = new Ledger(setting.source.url, seed, 4, 0);
  for (let round = 0; round < rounds; round++) {
    const before = ledger.committed;
    await eventually(() => ledger.committed > before + 20, { what: 'transactions' });
    const victims = [...publishers, ...workers, ...cluster.brokers];
    const victim = victims[Math.floor(random() * victims.length)];
    t.diagnostic(`round ${round}: ${victim instanceof TestDaemon ? (publishers.includes(victim) ? 'publisher' : 'worker') : `broker ${victim?.id}`}`);
    await victim?.kill();
    const after = ledger.committed;
    await eventually(() => ledger.committed > after + 10, { what: 'transactions while it is away' });
    if (victim instanceof TestDaemon) start(victim);
    else await victim?.start();
  }
  await ledger.stop();
  assert.ok(ledger.committed > rounds * 30);
  await setting.equal();

  // Whoever reads the log from its beginning gets all of it: every END is complete, and every event that it names is there.
  const directory = await tempDirectory(t);
  const path = join(directory, 'late.sqlite');
  const yaml = (await readFile(setting.daemon.file, 'utf8')).replace('  - name: local\n', '  - name: late\n').replace(setting.sqlite, path);
  const late = await TestDaemon.create(t, directory, yaml);
  late.start({}, { args: ['--role', 'sinks', '--sink', 'late'] });
  for (const table of ledgerTables) {
    const expected = fingerprint(await dumpPostgres(setting.source, table));
    await eventually(() => fingerprint(dumpSqlite(path, table)) === expected, { what: () => `${table} read from the beginning; ${late.output.slice(-1500)}`, timeoutMs: 60_000 });
  }
});

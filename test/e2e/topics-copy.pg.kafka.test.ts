import assert from 'node:assert/strict';
import { writeFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { tailrace, TestDaemon } from '../support/daemon.ts';
import { sharedKafka } from '../support/kafka.ts';
import { dumpPostgres, dumpSqlite, fingerprint } from '../support/replicas.ts';
import { changeEverything, ledgerSetting, nameFor, type Setting } from '../support/shop.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';
import { Ledger, ledgerTables } from '../support/workload.ts';

const kafka = await sharedKafka();

async function fileWith(setting: Setting, name: string, log: string): Promise<string> {
  const yaml = await readFile(setting.daemon.file, 'utf8');
  const path = join(setting.directory, name);
  await writeFile(path, yaml.replace(/^log:\n( {2}.*\n)+/m, `log:\n${log}`));
  return path;
}

/** The daemon goes on with this file: what is sent from the source is only what has come meanwhile, and both replicas get it. */
async function goesOn(setting: Setting, file: string, round: number): Promise<void> {
  await setting.source.sql(`INSERT INTO nopk VALUES (${round}, ${round})`);
  setting.daemon.start({}, { path: file });
  await setting.daemon.streaming();
  await setting.equal();
  const { source, snapshot } = await setting.daemon.status();
  assert.equal(source?.events, 1, 'nothing is sent or copied anew');
  assert.deepEqual(snapshot.filter(({ state }) => state !== 'done'), []);
  await changeEverything(setting);
  await setting.equal();
}

test('topics copy: a pipeline moves from the embedded log to Kafka and back without a new snapshot, also when the copy is killed in between', { skip: kafka.missing ?? false }, async (t) => {
  const setting = await ledgerSetting(t, { yaml: 'format: json\n' });
  const { daemon, directory } = setting;
  daemon.start();
  await daemon.streaming();
  const ledger = new Ledger(setting.source.url, 21);
  await eventually(() => ledger.committed > 100, { what: 'enough transactions' });
  await ledger.stop();
  await changeEverything(setting);
  await setting.equal();
  const busy = await tailrace(['topics', 'copy', daemon.file, daemon.file]);
  assert.equal(busy.code, 2, busy.err);
  assert.equal(await daemon.stop(), 0);

  const onKafka = await fileWith(setting, 'kafka.yaml', `  type: kafka\n  brokers: [${kafka.brokers.join(', ')}]\n  partitions: 3\n`);
  const killed = async (place: string, from: string, to: string): Promise<void> => {
    const { code, err } = await tailrace(['topics', 'copy', from, to], { NODE_ENV: 'test', TAILRACE_FAILPOINT: `${place}:kill9` });
    assert.equal(code, null, `killed at ${place}: ${err}`);
  };
  await killed('move.group', daemon.file, onKafka);
  const early = await TestDaemon.create(t, await tempDirectory(t), await readFile(onKafka, 'utf8'));
  early.start({}, { path: onKafka });
  await eventually(async () => (await early.status()).error?.code === 'log-incomplete', { what: 'a log that is not whole to be refused' });
  await early.kill();
  await killed('move.copied', daemon.file, onKafka);
  await killed('move.ended', daemon.file, onKafka);
  const moved = await tailrace(['topics', 'copy', daemon.file, onKafka]);
  assert.equal(moved.code, 0, moved.err);
  await goesOn(setting, onKafka, 2);
  assert.equal(await daemon.stop(), 0);
  assert.equal((await tailrace(['topics', 'copy', daemon.file, onKafka])).code, 0, 'it is done already');

  const back = await fileWith(setting, 'back.yaml', `  type: embedded\n  directory: ${join(directory, 'new-log')}\n`);
  await killed('move.group', onKafka, back);
  const returned = await tailrace(['topics', 'copy', onKafka, back]);
  assert.equal(returned.code, 0, returned.err);
  await goesOn(setting, back, 3);
  assert.equal(await daemon.stop(), 0);

  // All that was ever published is in it: from the log alone a replica is built that equals the source.
  const replayed = join(directory, 'replayed.sqlite');
  const replay = await tailrace(['replay', back, '--sink', 'local', '--to', replayed]);
  assert.equal(replay.code, 0, replay.err);
  for (const table of ledgerTables) assert.equal(fingerprint(dumpSqlite(replayed, table)), fingerprint(await dumpPostgres(setting.source, table)), table);

  // The old logs are at their end.
  daemon.start({}, { path: onKafka });
  await eventually(async () => (await daemon.status()).error?.code === 'log-moved', { what: `${nameFor(setting.source)} to be refused` });
});

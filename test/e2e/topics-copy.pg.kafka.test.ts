import assert from 'node:assert/strict';
import { writeFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { tailrace, TestDaemon } from '../support/daemon.ts';
import { sharedKafka } from '../support/kafka.ts';
import { walPlace } from '../support/postgres.ts';
import { dumpPostgres, dumpSqlite, fingerprint } from '../support/replicas.ts';
import { changeEverything, ledgerSetting, nameFor, type Setting } from '../support/shop.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';
import { Ledger, ledgerTables } from '../support/workload.ts';

const kafka = await sharedKafka();

async function fileWith(setting: Setting, name: string, like: string, log: string): Promise<string> {
  const yaml = await readFile(like, 'utf8');
  const path = join(setting.directory, name);
  await writeFile(path, yaml.replace(/^log:\n( {2}.*\n)+/m, `log:\n${log}`));
  return path;
}

const module = `
import { count, stream, sum } from 'tailrace';

export default stream(({ table }) => {
  table<{ w: number; s: number }>('public.ledger').groupBy(({ w }) => ({ w })).aggregate({ entries: count(), total: sum((row: { s: number }) => row.s) })
    .to('writers', { key: ['w'], columns: { w: 'int4', entries: 'int8', total: 'numeric' } });
});
`;

/** A stream of this name over the ledger, and a sink that replays it into a file of this name. */
function withStream(yaml: string, { directory }: Setting, name: string): string {
  const known = yaml.includes('\nstreams:\n');
  return `${yaml.replace('sinks:\n', `sinks:\n  - { name: of-${name}, type: sqlite, path: ${join(directory, `of-${name}.sqlite`)}, from: ${name} }\n`)}${known ? '' : 'streams:\n'}  - { name: ${name}, module: ${join(directory, 'sums.ts')}, state: ${join(directory, `${name}.sqlite`)} }\n`;
}

/** What the stream gives is what the same query gives at the source. */
async function computed({ source, directory, daemon }: Setting, name: string): Promise<void> {
  const expected = await dumpPostgres(source, 'writers');
  let found: unknown;
  const look = (): void => {
    try {
      found = dumpSqlite(join(directory, `of-${name}.sqlite`), 'writers');
    } catch (error) {
      found = error;
    }
  };
  const same = (): boolean => (look(), isDeepStrictEqual(found, expected));
  await eventually(same, { what: `the results of ${name}`, timeoutMs: 60_000 }).catch(() => assert.deepEqual(found, expected, `${name}; the daemon said ${daemon.output.slice(-3000)}`));
}

/** All that the stream has ever said in the log of this file. */
async function said(setting: Setting, file: string): Promise<readonly string[]> {
  const { code, out, err } = await tailrace(['consume', `${nameFor(setting.source)}.stream.sums.public.writers`, file, '--from-beginning', '--format', 'json']);
  assert.equal(code, 0, err);
  return out.trim().split('\n').map((line) => {
    const { op, key, after } = JSON.parse(line) as Record<string, unknown>;
    return JSON.stringify([op, key, after]);
  });
}

/** The daemon goes on with this file: what is sent from the source is only what has come meanwhile, and both replicas get it. */
async function goesOn(setting: Setting, file: string, { round, streams }: { readonly round: number; readonly streams: readonly string[] }): Promise<void> {
  const before = await walPlace(setting.source);
  await setting.source.sql(`INSERT INTO nopk VALUES (${round}, ${round})`);
  setting.daemon.start({}, { path: file });
  await setting.daemon.streaming();
  await setting.equal();
  const { source, snapshot } = await setting.daemon.statusBehind(before);
  assert.equal(source?.events, 1, 'nothing is sent or copied anew');
  assert.deepEqual(snapshot.filter(({ state }) => state !== 'done'), []);
  await changeEverything(setting);
  await setting.equal();
  for (const stream of streams) await computed(setting, stream);
}

test('topics copy: a pipeline moves from the embedded log to Kafka and back without a new snapshot, also when the copy is killed in between; its streams go on with their state', { skip: kafka.missing ?? false }, async (t) => {
  const setting = await ledgerSetting(t, { yaml: 'format: json\n' });
  const { daemon, directory } = setting;
  await writeFile(join(directory, 'sums.ts'), module);
  await writeFile(daemon.file, withStream(await readFile(daemon.file, 'utf8'), setting, 'sums'));
  await setting.source.sql('CREATE VIEW writers AS SELECT w, count(*) AS entries, sum(s) AS total FROM ledger GROUP BY w');
  daemon.start();
  await daemon.streaming();
  const ledger = new Ledger(setting.source.url, 21);
  await eventually(() => ledger.committed > 100, { what: 'enough transactions' });
  await ledger.stop();
  await changeEverything(setting);
  await setting.equal();
  await computed(setting, 'sums');
  const busy = await tailrace(['topics', 'copy', daemon.file, daemon.file]);
  assert.equal(busy.code, 2, busy.err);
  assert.equal(await daemon.stop(), 0);

  const before = await said(setting, daemon.file);
  const topic = `${nameFor(setting.source)}.public.ledger`;
  const read = async (file: string, ...more: readonly string[]): Promise<readonly string[]> => {
    const { code, out, err } = await tailrace(['consume', topic, file, '--no-follow', '--format', 'json', ...more]);
    assert.equal(code, 0, err);
    return out.trim().split('\n').map((line) => {
      const { epoch, commit_lsn: commit, ordinal } = JSON.parse(line) as Record<string, unknown>;
      return `${String(epoch)} ${String(commit)} ${String(ordinal)}`;
    });
  };
  const all = await read(daemon.file, '--from-beginning');
  const first = await read(daemon.file, '--group', 'mailer', '--from-beginning', '--max-messages', String(all.length - 20));
  const onKafka = await fileWith(setting, 'kafka.yaml', daemon.file, `  type: kafka\n  brokers: [${kafka.brokers.join(', ')}]\n  partitions: 3\n`);
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
  // A consumer group has all there is, and some of it twice at most.
  const rest = await read(onKafka, '--group', 'mailer');
  assert.deepEqual(new Set([...first, ...rest]), new Set(all));
  assert.ok(rest.length >= 20 && rest.length < 200, `it goes on where it was, with ${rest.length} records`);
  // One that begins there has to be of the same log, too.
  await writeFile(onKafka, withStream(await readFile(onKafka, 'utf8'), setting, 'late'));
  await goesOn(setting, onKafka, { round: 2, streams: ['sums', 'late'] });
  assert.equal(await daemon.stop(), 0);
  assert.equal((await tailrace(['topics', 'copy', daemon.file, onKafka])).code, 0, 'it is done already');

  const back = await fileWith(setting, 'back.yaml', onKafka, `  type: embedded\n  directory: ${join(directory, 'new-log')}\n`);
  await killed('move.group', onKafka, back);
  const returned = await tailrace(['topics', 'copy', onKafka, back]);
  assert.equal(returned.code, 0, returned.err);
  await goesOn(setting, back, { round: 3, streams: ['sums', 'late'] });
  assert.equal(await daemon.stop(), 0);
  // The state moved nowhere, and nothing that it had said was said again.
  const saidInAll = await said(setting, back);
  assert.deepEqual(saidInAll.slice(0, before.length), before);
  const behind = saidInAll.slice(before.length);
  assert.ok(behind.length > 0 && behind.length < 6, `${behind.length} results are of the two changes since: ${behind.join('\n')}`);

  // All that was ever published is in it: from the log alone a replica is built that equals the source.
  const replayed = join(directory, 'replayed.sqlite');
  const replay = await tailrace(['replay', back, '--sink', 'local', '--to', replayed]);
  assert.equal(replay.code, 0, replay.err);
  for (const table of ledgerTables) assert.equal(fingerprint(dumpSqlite(replayed, table)), fingerprint(await dumpPostgres(setting.source, table)), table);

  // The old logs are at their end.
  daemon.start({}, { path: onKafka });
  await eventually(async () => (await daemon.status()).error?.code === 'log-moved', { what: `${nameFor(setting.source)} to be refused` });
});

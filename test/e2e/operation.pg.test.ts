import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import { tailrace } from '../support/daemon.ts';
import { freshDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { connector, ledgerSetting, nameFor, type Setting } from '../support/shop.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { eventually } from '../support/wait.ts';
import { Ledger } from '../support/workload.ts';

/** What `docker stop` and Kubernetes wait for before they kill, at most. */
const grace = 30_000;

/** A network between the daemon and the named servers that the test can spoil. */
async function proxied(t: TestContext, setting: Setting): Promise<{ readonly source: TcpProxy; readonly replica: TcpProxy }> {
  const target = ({ url }: TestDatabase): { host: string; port: number } => ({ host: '127.0.0.1', port: Number(new URL(url).port) });
  const [source, replica] = await Promise.all([TcpProxy.start(target(setting.source)), TcpProxy.start(target(setting.replica))]);
  t.after(async () => {
    await setting.daemon.kill();
    await Promise.all([source.close(), replica.close()]);
  });
  const { directory, sqlite, daemon } = setting;
  await writeFile(daemon.file, connector({
    name: nameFor(setting.source), source: source.through(setting.source.url), replica: replica.through(setting.replica.url), directory, sqlite,
  }));
  return { source, replica };
}

/** Where the slot stands and where the log ends, by the server and by the log itself. */
async function slotAndLog(setting: Setting): Promise<readonly [slot: string | undefined, log: string | undefined]> {
  const [slot] = await setting.source.sql<{ lsn: string }>('SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE database = current_database()');
  const { out } = await tailrace(['status', setting.daemon.file, '--json']);
  const [pipeline] = JSON.parse(out) as { source: { lastEnd: string } | null }[];
  return [slot?.lsn, pipeline?.source?.lastEnd];
}

async function withinGrace(setting: Setting, what: string): Promise<number | null> {
  let code: number | null | undefined;
  void setting.daemon.exited().then((value) => (code = value));
  await eventually(() => code !== undefined, { timeoutMs: grace, what });
  return code ?? null;
}

test('SIGTERM under load, again and again: exit 0, and all that the log holds is acknowledged, so that nothing comes twice', async (t) => {
  const setting = await ledgerSetting(t);
  const ledger = new Ledger(setting.source.url, 23, 4, 5);
  for (let life = 0; life < 2; life++) {
    const before = ledger.committed;
    setting.daemon.start();
    await setting.daemon.streaming();
    await eventually(() => ledger.committed > before + 100, { what: 'some load' });
    assert.equal(await setting.daemon.stop(), 0);
    const [slot, log] = await slotAndLog(setting);
    assert.equal(slot, log, `life ${life}`);
  }
  setting.daemon.start();
  await setting.daemon.streaming();
  await ledger.stop();
  await setting.equal();
});

test('O7: a pipeline that was renamed does not begin anew in the log that it had: it says whose that is, and leaves no slot behind', async (t) => {
  const setting = await ledgerSetting(t);
  const { daemon, source, replica, directory, sqlite } = setting;
  daemon.start();
  await daemon.streaming();
  assert.equal(await daemon.stop(), 0);
  const named = (name: string): Promise<void> => writeFile(daemon.file, connector({ name, source: source.url, replica: replica.url, directory, sqlite }));
  const before = nameFor(source);
  await named(`${before}_new`);
  const checked = await tailrace(['check', daemon.file]);
  assert.equal(checked.code, 3);
  assert.match(checked.out, new RegExp(`the log in this directory is that of the pipeline ${before}, and this pipeline is ${before}_new`));
  daemon.start();
  await eventually(() => daemon.output.includes(`is that of the pipeline ${before}`), { what: 'the daemon to say whose log it is' });
  await daemon.kill();
  const slots = await source.sql<{ name: string }>('SELECT slot_name AS name FROM pg_replication_slots WHERE database = current_database()');
  assert.deepEqual(slots.map(({ name }) => name), [`tailrace_${before}`]);
  await named(before);
  daemon.start();
  await daemon.streaming();
  await setting.equal();
});

test('SIGTERM while neither source nor replica answers: it ends in time, and what was not acknowledged comes in the next life', async (t) => {
  // Its own replica: a transaction that is cut off there stays open, and every slot that is made on that server meanwhile would wait for it.
  const server = await startPostgres({}, t);
  const setting = await ledgerSetting(t, { replica: await freshDatabase(t, server) });
  const { source, replica } = await proxied(t, setting);
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.equal();
  const ledger = new Ledger(setting.source.url, 29);
  await eventually(() => ledger.committed > 100, { what: 'some load' });
  // The replica first: the sink goes still with what it has under way, and so does what would still come from the source.
  replica.blackhole('both');
  await eventually(() => replica.swallowed.up > 0, { what: 'the sink to be cut off in the middle of something' });
  source.blackhole('both');
  await eventually(() => source.swallowed.down > 0, { what: 'the publisher to be cut off in the middle of something' });
  await ledger.stop();
  const before = setting.daemon.output.length;
  process.kill(setting.daemon.pid as number, 'SIGTERM');
  assert.equal(await withinGrace(setting, 'the end of the daemon'), 0);
  assert.doesNotMatch(setting.daemon.output.slice(before), /"part":"\(publisher\)"[^\n]*did not end in time/, 'the publisher ended by itself');
  source.blackhole('both', false);
  replica.blackhole('both', false);
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.equal();
  // Once more, and a second signal, for whoever does not want to wait.
  source.blackhole('both');
  replica.blackhole('both');
  await setting.source.sql('INSERT INTO nopk VALUES (7, 7)');
  await eventually(() => source.swallowed.down > 0);
  const said = setting.daemon.output.length;
  process.kill(setting.daemon.pid as number, 'SIGTERM');
  await eventually(() => setting.daemon.output.slice(said).includes('a second signal ends it at once'), { what: 'what it says to the first signal' });
  process.kill(setting.daemon.pid as number, 'SIGTERM');
  assert.equal(await withinGrace(setting, 'the end by the second signal'), 143);
  assert.doesNotMatch(setting.daemon.output.slice(said), /did not end in time/, 'it did not wait for its threads');
  source.blackhole('both', false);
  replica.blackhole('both', false);
  setting.daemon.start();
  await setting.equal();
});

test('a replica whose connection breaks all the time, and a standard output that nobody reads, hold up nothing and lose nothing', async (t) => {
  const setting = await ledgerSetting(t);
  const { replica } = await proxied(t, setting);
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.equal();
  setting.daemon.closeOutput();
  const ledger = new Ledger(setting.source.url, 31);
  for (let flap = 1; flap <= 8; flap++) {
    const [before, connections] = [ledger.committed, replica.connections];
    replica.reset();
    await eventually(() => replica.connections > connections && ledger.committed > before + 40, { what: `the sink to connect again, time ${flap}` });
    const { state, sinks } = await setting.daemon.status();
    assert.equal(state, 'streaming');
    assert.notEqual(sinks.find(({ name }) => name === 'local')?.state, 'retrying', 'the other sink does not notice');
  }
  await ledger.stop();
  await setting.equal();
  assert.equal(await setting.daemon.stop(), 0);
});

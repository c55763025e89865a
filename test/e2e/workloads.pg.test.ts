import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import type { PipelineVerification } from '../../src/app/verify.ts';
import { tailrace } from '../support/daemon.ts';
import { ledgerSetting, type Setting } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';
import { alteringTransactions } from '../support/random-ddl.ts';
import { randomTable, randomTransactions, type RandomTable } from '../support/random-tables.ts';
import { seeded } from '../support/workload.ts';

/** What verify says of every table of both replicas: never a silent difference. */
async function assertEqual(t: TestContext, { daemon }: Setting, what: string, tables: number): Promise<void> {
  const { code, out, err } = await tailrace(['verify', daemon.file, '--json']);
  const found = out === '' ? [] : ((JSON.parse(out) as PipelineVerification[])[0]?.sinks ?? []);
  const states = found.flatMap(({ sink, tables: all }) => all.map(({ table, state, rows }) => ({ sink, table, state, rows })));
  const rows = states.reduce((sum, each) => sum + (each.rows ?? 0), 0);
  t.diagnostic(`${what}: ${states.length} tables of replicas and ${rows} rows compared, ${states.filter(({ state }) => state !== 'equal').length} not equal`);
  assert.deepEqual(states.filter(({ state }) => state !== 'equal'), [], `${what}: ${out} ${err} ${daemon.output.slice(-3000)}`);
  assert.equal(code, 0, err);
  assert.equal(states.length, tables * 2);
}

test('random rows of random schemas are equal in every replica, copied and streamed', async (t) => {
  const seed = Number(process.env['TAILRACE_TEST_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed}`);
  const random = seeded(seed);
  const setting = await ledgerSetting(t, { schema: 'SELECT' });
  const tables: RandomTable[] = [];
  for (let i = 0; i < 12; i++) tables.push(await randomTable(setting.source, random, `r${i}_${seed}`));
  await randomTransactions(setting.source.url, random, tables, 150);
  setting.daemon.start();
  const racing = randomTransactions(setting.source.url, seeded(seed + 1), tables, 150);
  await setting.daemon.streaming();
  await racing;
  const { committed, statements } = await randomTransactions(setting.source.url, random, tables, 250);
  assert.ok(committed > 100, `${committed} transactions`);
  await assertEqual(t, setting, `seed ${seed}, ${committed} transactions of ${statements} statements at the end`, tables.length);
});

/** Waits until verify finds every table equal in both replicas: what it has seen of tables that are gone by now does not count. */
async function assertEqualInTheEnd(t: TestContext, { daemon }: Setting, what: string, tables: readonly RandomTable[]): Promise<void> {
  let last = '';
  const equal = async (): Promise<boolean> => {
    const { out } = await tailrace(['verify', daemon.file, '--json']);
    const found = (JSON.parse((last = out)) as PipelineVerification[])[0]?.sinks ?? [];
    const states = found.flatMap(({ sink, tables: all }) => all.map(({ table, state, rows }) => ({ sink, table, state, rows }))).filter(({ state }) => state !== 'gone');
    const rows = states.reduce((sum, each) => sum + (each.rows ?? 0), 0);
    const unequal = states.filter(({ state }) => state !== 'equal').length;
    if (unequal === 0 && states.length === tables.length * 2) t.diagnostic(`${what}: ${states.length} tables of replicas and ${rows} rows compared, none of them different`);
    return unequal === 0 && states.length === tables.length * 2;
  };
  await eventually(equal, { timeoutMs: 100_000 }).catch(() => assert.fail(`${what}: ${last}\n${tables.map(({ name }) => name).join()}\n${daemon.output.slice(-5000)}`));
}

test('random changes of shape between random rows, live, with a kill -9 and while nothing runs, are equal in every replica', async (t) => {
  // The same one each time, so that a run says something of a change; others are for searching (CONTRIBUTING).
  const seed = Number(process.env['TAILRACE_TEST_SEED'] ?? 15);
  t.diagnostic(`seed ${seed}`);
  const random = seeded(seed);
  const setting = await ledgerSetting(t, { schema: 'SELECT' });
  const { source, daemon } = setting;
  const tables: RandomTable[] = [];
  for (let i = 0; i < 8; i++) tables.push(await randomTable(source, random, `d${i}_${seed}`));
  await randomTransactions(source.url, random, tables, 60);
  daemon.start();
  await daemon.streaming();
  const live = await alteringTransactions(source.url, random, tables, 100);
  await assertEqualInTheEnd(t, setting, `seed ${seed}, ${live.committed} transactions with ${live.altered} changes of shape`, tables);
  const racing = alteringTransactions(source.url, random, tables, 100);
  await daemon.kill();
  daemon.start();
  await racing;
  await daemon.stop();
  const late = await alteringTransactions(source.url, random, tables, 60);
  daemon.start();
  await daemon.streaming();
  assert.ok(live.altered + late.altered > 40, `${live.altered} and ${late.altered} changes of shape`);
  await assertEqualInTheEnd(t, setting, `seed ${seed}, and those of a killed daemon and ${late.altered} while nothing ran`, tables);
});

test("pgbench's own workload, which nobody here wrote, gives equal replicas", async (t) => {
  if (spawnSync('pgbench', ['--version']).status !== 0) return t.skip('platform: no pgbench on this machine (it comes with the PostgreSQL client programs)');
  const setting = await ledgerSetting(t, { schema: 'SELECT' });
  const pgbench = (...args: readonly string[]): void => {
    const { status, stderr } = spawnSync('pgbench', [...args, setting.source.url], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  };
  pgbench('-i', '-q', '-s', '1');
  await setting.source.sql('ALTER TABLE pgbench_history REPLICA IDENTITY FULL');
  setting.daemon.start();
  pgbench('-n', '-c', '4', '-t', '100');
  await setting.daemon.streaming();
  pgbench('-n', '-c', '4', '-t', '100', '-b', 'simple-update@1', '-b', 'tpcb-like@2');
  await setting.source.sql('DELETE FROM pgbench_history WHERE tid < 3; UPDATE pgbench_accounts SET filler = repeat(md5(aid::text), 2) WHERE aid % 50 = 0');
  await assertEqual(t, setting, 'pgbench', 4);
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import type { PipelineVerification } from '../../src/app/verify.ts';
import { quoteLiteral } from '../../src/runtime/postgres/quote.ts';
import { tailrace } from '../support/daemon.ts';
import { ledgerSetting, type Setting } from '../support/shop.ts';
import { anyValue } from '../support/type-samples.ts';
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

interface RandomTable {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly values: readonly string[] }[];
  readonly key: readonly string[];
}

const keyTypes = ['integer', 'bigint', 'text', 'numeric', 'uuid', 'timestamp with time zone', 'int4range', 'bytea', 'double precision', 'boolean', 'character(7)', 'inet', 'integer[]', 'interval'];
const types = Object.keys(anyValue);

function pick<T>(random: () => number, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T;
}

/** A table of columns of types drawn at random: without a key, with a key of one or two columns, or with a key and identity full. */
async function randomTable(setting: Setting, random: () => number, name: string): Promise<RandomTable> {
  const keyed = random() < 0.75;
  const key = keyed ? Array.from({ length: 1 + Math.floor(random() * 2) }, (_, i) => ({ name: `k${i}`, type: pick(random, keyTypes) })) : [];
  const others = Array.from({ length: 1 + Math.floor(random() * 6) }, (_, i) => ({ name: `c${i}`, type: pick(random, types) }));
  const columns = await Promise.all([...key, ...others].map(async (column) => {
    const drawn = fc.sample(anyValue[column.type] as fc.Arbitrary<string>, { numRuns: 25, seed: Math.floor(random() * 2 ** 31) });
    const valid = await setting.source.sql<{ v: string }>('SELECT v FROM unnest($1::text[]) v WHERE pg_input_is_valid(v, $2)', [drawn, column.type]);
    return { ...column, values: valid.map(({ v }) => v) };
  }));
  const list = columns.map((column) => `${column.name} ${column.type}`).join(', ');
  const primary = keyed ? `, PRIMARY KEY (${key.map((column) => column.name).join(', ')})` : '';
  await setting.source.sql(`CREATE TABLE ${name} (${list}${primary}); ALTER TABLE ${name} REPLICA IDENTITY ${!keyed || random() < 0.3 ? 'FULL' : 'DEFAULT'}`);
  return { name, columns, key: key.map((column) => column.name) };
}

function randomStatement(random: () => number, table: RandomTable): string {
  const value = ({ name, type, values }: RandomTable['columns'][number]): string =>
    values.length === 0 || (random() < 0.1 && !table.key.includes(name)) ? 'NULL' : `${quoteLiteral(pick(random, values))}::${type}`;
  const someRow = `ctid = (SELECT ctid FROM ${table.name} OFFSET floor(${random()} * (SELECT count(*) FROM ${table.name})) LIMIT 1)`;
  const what = random();
  if (what < 0.6) return `INSERT INTO ${table.name} VALUES (${table.columns.map(value).join(', ')}) ON CONFLICT DO NOTHING`;
  if (what < 0.9) {
    const column = pick(random, table.columns);
    return `UPDATE ${table.name} SET ${column.name} = ${value(column)} WHERE ${someRow}`;
  }
  if (what < 0.998) return `DELETE FROM ${table.name} WHERE ${someRow}`;
  return `TRUNCATE ${table.name}`;
}

/** Refusals that such a workload meets: taken keys, keys too long for their index, values out of range. */
const refusals = /^(23|22|54|40)/;

async function randomTransactions(url: string, random: () => number, tables: readonly RandomTable[], count: number): Promise<{ readonly committed: number; readonly statements: number }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let [committed, statements] = [0, 0];
  for (let i = 0; i < count; i++) {
    const batch = Array.from({ length: 1 + Math.floor(random() * 6) }, () => randomStatement(random, pick(random, tables)));
    try {
      await client.query(`BEGIN; ${batch.join('; ')}; ${random() < 0.1 ? 'ROLLBACK' : 'COMMIT'}`);
      committed++;
      statements += batch.length;
    } catch (error) {
      if (!refusals.test((error as { code?: string }).code ?? '')) throw error;
      await client.query('ROLLBACK');
    }
  }
  await client.end();
  return { committed, statements };
}

test('random rows of random schemas are equal in every replica, copied and streamed', async (t) => {
  const seed = Number(process.env['TAILRACE_TEST_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed}`);
  const random = seeded(seed);
  const setting = await ledgerSetting(t, { schema: 'SELECT' });
  const tables: RandomTable[] = [];
  for (let i = 0; i < 12; i++) tables.push(await randomTable(setting, random, `r${i}_${seed}`));
  await randomTransactions(setting.source.url, random, tables, 150);
  setting.daemon.start();
  const racing = randomTransactions(setting.source.url, seeded(seed + 1), tables, 150);
  await setting.daemon.streaming();
  await racing;
  const { committed, statements } = await randomTransactions(setting.source.url, random, tables, 250);
  assert.ok(committed > 100, `${committed} transactions`);
  await assertEqual(t, setting, `seed ${seed}, ${committed} transactions of ${statements} statements at the end`, tables.length);
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

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import pg from 'pg';
import type { PipelineVerification } from '../../src/app/verify.ts';
import { quoteLiteral } from '../../src/runtime/postgres/quote.ts';
import { tailrace } from '../support/daemon.ts';
import { ledgerSetting, type Setting } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';
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

interface Altered {
  readonly sql: string;
  readonly table: RandomTable;
}

/** A change of the table's shape, drawn at random, and what the table is then. */
function randomDdl(random: () => number, table: RandomTable, { fresh, moves }: { readonly fresh: string; readonly moves: boolean }): Altered {
  const { name, columns, key } = table;
  const others = columns.filter((column) => !key.includes(column.name));
  const [one, two] = [pick(random, columns), pick(random, columns)];
  const renamed = (from: string, to: string): Pick<RandomTable, 'columns' | 'key'> => ({
    columns: columns.map((column) => (column.name === from ? { ...column, name: to } : column)),
    key: key.map((column) => (column === from ? to : column)),
  });
  const texts = { type: 'text', values: ['', 'a', 'é🙂', '\\N', 'NULL'] };
  const changes: readonly (() => Altered)[] = [
    () => ({ sql: `ALTER TABLE ${name} ADD COLUMN ${fresh} text`, table: { ...table, columns: [...columns, { name: fresh, ...texts }] } }),
    () => ({ sql: `ALTER TABLE ${name} ADD COLUMN ${fresh} text DEFAULT 'constant' NOT NULL`, table: { ...table, columns: [...columns, { name: fresh, ...texts }] } }),
    () => ({ sql: `ALTER TABLE ${name} ADD COLUMN ${fresh} text DEFAULT md5(random()::text)`, table: { ...table, columns: [...columns, { name: fresh, ...texts }] } }),
    () => ({ sql: `ALTER TABLE ${name} RENAME COLUMN ${one.name} TO ${fresh}`, table: { ...table, ...renamed(one.name, fresh) } }),
    ...(moves ? [() => ({ sql: `ALTER TABLE ${name} RENAME TO ${fresh}`, table: { ...table, name: fresh } })] : []),
    () => ({ sql: `ALTER TABLE ${name} ALTER COLUMN ${one.name} TYPE text`, table: { ...table, columns: columns.map((column) => (column === one ? { ...column, ...texts } : column)) } }),
    () => ({ sql: `ALTER TABLE ${name} ALTER COLUMN ${one.name} TYPE text USING md5(${one.name}::text)`, table: { ...table, columns: columns.map((column) => (column === one ? { ...column, ...texts } : column)) } }),
    () => ({ sql: `ALTER TABLE ${name} REPLICA IDENTITY ${key.length === 0 || random() < 0.5 ? 'FULL' : 'DEFAULT'}`, table }),
    () => ({ sql: `TRUNCATE ${name}`, table }),
    () => ({ sql: `DROP TABLE ${name}; CREATE TABLE ${name} (${fresh} text PRIMARY KEY, v text)`, table: { name, key: [fresh], columns: [{ name: fresh, ...texts }, { name: 'v', ...texts }] } }),
    ...(others.length < 2 ? [] : [() => ({ sql: `ALTER TABLE ${name} DROP COLUMN ${others[0]?.name}`, table: { ...table, columns: columns.filter((column) => column !== others[0]) } })]),
    ...(one === two ? [] : [() => ({
      sql: `ALTER TABLE ${name} RENAME COLUMN ${one.name} TO swapping; ALTER TABLE ${name} RENAME COLUMN ${two.name} TO ${one.name}; ALTER TABLE ${name} RENAME COLUMN swapping TO ${two.name}`,
      table: { ...table, columns: columns.map((column) => (column === one ? { ...column, name: two.name } : column === two ? { ...column, name: one.name } : column)), key: key.map((column) => (column === one.name ? two.name : column === two.name ? one.name : column)) },
    })]),
    ...(key.length === 0
      ? [() => ({ sql: `ALTER TABLE ${name} ADD PRIMARY KEY (${one.name}); ALTER TABLE ${name} REPLICA IDENTITY DEFAULT`, table: { ...table, key: [one.name] } })]
      : [() => ({ sql: `ALTER TABLE ${name} DROP CONSTRAINT IF EXISTS ${name}_pkey, REPLICA IDENTITY FULL`, table: { ...table, key: [] } })]),
  ];
  return pick(random, changes)();
}

let fresh = 0;

/** Transactions of rows and changes of shape; `tables` is what they are in the end. */
async function alteringTransactions(url: string, random: () => number, tables: RandomTable[], { count, moves }: { readonly count: number; readonly moves: boolean }): Promise<{ readonly committed: number; readonly altered: number }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let [committed, altered] = [0, 0];
  for (let i = 0; i < count; i++) {
    const now = [...tables];
    const batch: string[] = [];
    let changes = 0;
    for (let left = 1 + Math.floor(random() * 6); left > 0; left--) {
      const at = Math.floor(random() * now.length);
      if (random() < 0.8) batch.push(randomStatement(random, now[at] as RandomTable));
      else {
        const { sql, table } = randomDdl(random, now[at] as RandomTable, { fresh: `n${fresh++}`, moves });
        batch.push(sql);
        now[at] = table;
        changes++;
      }
    }
    const isKept = random() < 0.9;
    try {
      await client.query(`BEGIN; ${batch.join('; ')}; ${isKept ? 'COMMIT' : 'ROLLBACK'}`);
    } catch (error) {
      if (!refusalsOfDdl.test((error as { code?: string }).code ?? '')) throw error;
      await client.query('ROLLBACK');
      continue;
    }
    if (!isKept) continue;
    committed++;
    altered += changes;
    tables.splice(0, tables.length, ...now);
  }
  await client.end();
  return { committed, altered };
}

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
  await eventually(equal, { timeoutMs: 60_000 }).catch(() => assert.fail(`${what}: ${last}\n${tables.map(({ name }) => name).join()}\n${daemon.output.slice(-5000)}`));
}

/** Also: keys under a name that the table had before, and what an update needs an identity for. */
const refusalsOfDdl = /^(23|22|54|40|42P16|42704|42701|55000)/;

// With some seeds it does not end yet (CONTRIBUTING), so it runs for whoever asks for it.
const isSearch = process.env['TAILRACE_RANDOM_DDL'] !== undefined;

if (isSearch) test('random changes of shape between random rows, live, with a kill -9 and while nothing runs, are equal in every replica', async (t) => {
  const seed = Number(process.env['TAILRACE_TEST_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed}`);
  const random = seeded(seed);
  const setting = await ledgerSetting(t, { schema: 'SELECT' });
  const { source, daemon } = setting;
  const tables: RandomTable[] = [];
  for (let i = 0; i < 8; i++) tables.push(await randomTable(setting, random, `d${i}_${seed}`));
  await randomTransactions(source.url, random, tables, 60);
  daemon.start();
  await daemon.streaming();
  const live = await alteringTransactions(source.url, random, tables, { count: 100, moves: true });
  await assertEqualInTheEnd(t, setting, `seed ${seed}, ${live.committed} transactions with ${live.altered} changes of shape`, tables);
  const racing = alteringTransactions(source.url, random, tables, { count: 100, moves: false });
  await daemon.kill();
  daemon.start();
  await racing;
  await daemon.stop();
  const late = await alteringTransactions(source.url, random, tables, { count: 60, moves: false });
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

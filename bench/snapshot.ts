/**
 * A first copy of a table into a Postgres replica, through the durable log: beside `COPY` piped by psql from the one server into
 * the other, with the key made afterwards, as pg_dump | psql does it, between the same two servers in the same run.
 *
 *     node bench/snapshot.ts [--rows N] [--full] [--parallel N]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { BenchDaemon } from './support/daemon.ts';
import { serverCpuSeconds, until, type Cpu } from './support/meter.ts';
import { numberBehind, rowsOf } from './support/options.ts';
import { assertEqual, benchServer } from './support/server.ts';
import { machine, printRuns, type Run } from './support/table.ts';
import { inserts, rowTable } from './support/workloads.ts';

const rows = rowsOf({ short: 500_000, full: 2_000_000 });
const probes = new Map<string, pg.Client>();
const parallel = numberBehind('--parallel') ?? 2;
const source = await benchServer();
const target = await benchServer();
try {
  await source.createDatabase('shop');
  for (const database of ['dumped', 'replica']) await target.createDatabase(database);
  await source.sql(rowTable, [], 'shop');
  await inserts(10_000).fill(source, 'shop', rows);
  await source.sql('VACUUM ANALYZE rows', [], 'shop');
  const daemon = await BenchDaemon.create((directory) => `name: bench
source: { type: postgres, url: "${source.url('shop')}", tables: { include: [public.rows] }, copy: { parallel: ${parallel} } }
log: { type: embedded, directory: "${directory}/log" }
sinks:
  - { name: replica, type: postgres, url: "${target.url('replica')}" }
`);
  try {
    const ours = async (): Promise<void> => {
      daemon.start();
      await daemon.streaming();
      // To count rows again and again would be no small work for the server that is being measured: first the table must be about as large as
      // the other, and the last key be there.
      const all = await pagesOf('dumped');
      await until(async () => {
        await delay(50);
        return (await pagesOf('replica')) >= 0.95 * all && (await ask('replica', `SELECT count(*) AS n FROM rows WHERE id = ${rows}`)) === 1;
      });
      await until(async () => (await ask('replica', 'SELECT count(*) AS n FROM rows')) === rows);
    };
    const runs = [
      await timed('COPY | COPY, then the key', pipe, () => ({})),
      { ...(await timed('tailrace, its start included', ours, () => ({ ours: daemon.cpu }))), peak: daemon.peak },
    ];
    printRuns(`a first copy of ${rows.toLocaleString('en')} rows, ${parallel} chunks at a time (${machine()})`, runs, 'COPY | COPY, then the key');
    for (const database of ['dumped', 'replica']) await assertEqual({ server: source, database: 'shop' }, { server: target, database }, ['rows']);
  } finally {
    await daemon.remove();
  }
} finally {
  for (const probe of probes.values()) await probe.end();
  await source.remove();
  await target.remove();
}

async function pipe(): Promise<void> {
  await target.sql(rowTable.replace(' PRIMARY KEY', ' NOT NULL'), [], 'dumped');
  const out = spawn('psql', [source.url('shop'), '-qc', 'COPY rows TO STDOUT'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const into = spawn('psql', [target.url('dumped'), '-qc', 'COPY rows FROM STDIN'], { stdio: [out.stdout, 'ignore', 'inherit'] });
  await Promise.all([once(out, 'exit'), once(into, 'exit')]);
  await target.sql('ALTER TABLE rows ADD PRIMARY KEY (id)', [], 'dumped');
}

function pagesOf(database: string): Promise<number> {
  return ask(database, "SELECT coalesce(pg_relation_size(to_regclass('rows')) / 8192, 0) AS n");
}

/** Over one connection: one a question was half a microsecond a row of the server that is measured. */
async function ask(database: string, question: string): Promise<number> {
  let probe = probes.get(database);
  if (probe === undefined) {
    probes.set(database, (probe = new pg.Client(target.url(database))));
    await probe.connect();
  }
  return Number((await probe.query<{ n: string }>(question)).rows[0]?.n);
}

async function timed(what: string, work: () => Promise<void>, cpu: () => Cpu): Promise<Run> {
  const all = (): Cpu => ({ ...cpu(), source: serverCpuSeconds(source.pid), replica: serverCpuSeconds(target.pid) });
  const before = all();
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1000;
  const after = all();
  // A process that began meanwhile began at none.
  const spent = Object.keys(after).map((who) => [who, (after[who] ?? 0) - (Number.isNaN(before[who]) ? 0 : (before[who] ?? 0))] as const);
  return { what, start: 0, seconds, rows, cpu: Object.fromEntries(spent), peak: Number.NaN };
}

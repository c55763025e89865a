/**
 * A backlog of one-row inserts, 1,000 to a transaction, into a Postgres replica: Tailrace through its durable log, and a native
 * subscription between the same two servers in the same run.
 *
 *     node bench/replicate.ts [rows]
 */
import { BenchDaemon, benchServer, fill, rowTable, until } from './support.ts';

const rows = Number(process.argv[2] ?? 500_000);
const source = await benchServer();
const target = await benchServer();
try {
  const shop = await source.createDatabase('shop');
  const replica = await target.createDatabase('replica');
  await target.createDatabase('native');
  await source.sql(rowTable, [], 'shop');
  await target.sql(rowTable, [], 'native');
  const daemon = await BenchDaemon.create((directory) => `name: bench
source: { type: postgres, url: "${shop}", tables: { include: [public.rows] } }
log: { type: embedded, directory: "${directory}/log" }
sinks:
  - { name: replica, type: postgres, url: "${replica}" }
`);
  const count = async (database: string): Promise<number> =>
    Number((await target.sql<{ n: string }>('SELECT count(*) AS n FROM rows', [], database).catch(() => [{ n: '0' }]))[0]?.n);
  try {
    daemon.start();
    await daemon.streaming();
    await source.sql('CREATE PUBLICATION native FOR TABLE rows', [], 'shop');
    await source.sql(`SELECT pg_create_logical_replication_slot('native', 'pgoutput')`, [], 'shop');
    await target.sql(`CREATE SUBSCRIPTION native CONNECTION '${shop}' PUBLICATION native WITH (create_slot = false, slot_name = native, enabled = false, copy_data = false)`, [], 'native');
    await daemon.stop();
    await fill(source, 'shop', rows, 1000);

    const native = await timed(async () => {
      await target.sql('ALTER SUBSCRIPTION native ENABLE', [], 'native');
      await until(async () => (await count('native')) === rows);
    });
    await target.sql('ALTER SUBSCRIPTION native DISABLE', [], 'native');
    let usage = { cpu: 0, peak: 0 };
    const ours = await timed(async () => {
      daemon.start();
      await until(async () => (await count('replica')) === rows);
      usage = await daemon.usage();
    });
    console.log(`backlog of ${rows.toLocaleString('en')} inserts, 1,000 a transaction, start included`);
    console.log(`  native subscription  ${rate(native)} rows/s`);
    console.log(`  tailrace             ${rate(ours)} rows/s   ${(native / ours).toFixed(2)} of native   ${((usage.cpu / rows) * 1e6).toFixed(1)} CPU s a million rows   peak ${usage.peak} MiB`);
  } finally {
    await daemon.remove();
  }
} finally {
  await source.remove();
  await target.remove();
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

function rate(seconds: number): string {
  return Math.round(rows / seconds).toLocaleString('en').padStart(9);
}

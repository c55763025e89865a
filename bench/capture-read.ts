/**
 * Reading the stream alone: a backlog of one-row inserts, 100 to a transaction, pulled through `batches()` and dropped, beside
 * `pg_recvlogical` writing the same messages to /dev/null. Nothing is acknowledged, so the backlog can be read again and again.
 *
 *     node bench/capture-read.ts [--rows N]
 */
import { spawn, spawnSync } from 'node:child_process';
import { silentLogger } from '../src/runtime/logger.ts';
import { postgresSourceConfig } from '../src/source/postgres/config.ts';
import { createPostgresSource } from '../src/source/postgres/index.ts';
import { cpuSeconds } from './support/meter.ts';
import { options } from './support/options.ts';
import { benchServer } from './support/server.ts';
import { inserts } from './support/workloads.ts';

const rows = options.rows ?? 500_000;
const workload = inserts(100);
const rounds = 3;
const server = await benchServer();
try {
  const url = await server.createDatabase('shop');
  await server.sql(workload.setup, [], 'shop');
  const source = createPostgresSource(postgresSourceConfig.parse({ url, tables: { include: ['public.rows'] } }), { pipeline: 'bench', logger: silentLogger });
  await (await source.connect({ signal: new AbortController().signal })).close();
  await server.sql("SELECT pg_create_logical_replication_slot('reference', 'pgoutput')", [], 'shop');
  await workload.fill(server, 'shop', rows);
  const end = (await server.sql<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn', [], 'shop'))[0]?.lsn ?? '';
  for (let round = 0; round < rounds; round++) await readByTailrace();
  if (spawnSync('pg_recvlogical', ['--version']).status === 0) await readByReference(url, end);
  else console.log('pg_recvlogical is not installed: no reference');

  async function readByTailrace(): Promise<void> {
    const session = await source.connect({ signal: new AbortController().signal });
    const [sender] = await server.sql<{ active_pid: number }>("SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'tailrace_bench'", [], 'shop');
    const pid = sender?.active_pid ?? 0;
    const senderBefore = cpuSeconds(pid);
    const cpu = process.cpuUsage();
    const start = performance.now();
    let read = 0;
    let batches = 0;
    for await (const batch of session.batches()) {
      batches++;
      for (const item of batch) if (item.op === 'c') read++;
      if (read >= rows) break;
    }
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    report('batches()', { seconds, own: (user + system) / 1e6, sender: cpuSeconds(pid) - senderBefore, note: `${Math.round(read / batches)} rows a batch` });
    await session.close();
  }
} finally {
  await server.remove();
}

async function readByReference(url: string, end: string): Promise<void> {
  const args = ['-d', url, '-S', 'reference', '--start', '-f', '/dev/null', '--no-loop', '-E', end];
  const child = spawn('pg_recvlogical', [...args, '-o', 'proto_version=1', '-o', 'publication_names=tailrace_bench'], { stdio: 'inherit' });
  const start = performance.now();
  let own = 0;
  const timer = setInterval(() => (own = cpuSeconds(child.pid ?? 0) || own), 20);
  await new Promise((done) => child.on('close', done));
  clearInterval(timer);
  report('pg_recvlogical', { seconds: (performance.now() - start) / 1000, own, sender: null, note: '' });
}

function report(what: string, { seconds, own, sender, note }: { seconds: number; own: number; sender: number | null; note: string }): void {
  const each = (cpu: number): string => `${((cpu / rows) * 1e6).toFixed(2)} µs`;
  console.log(`${what.padEnd(16)} ${Math.round(rows / seconds).toLocaleString('en').padStart(9)} rows/s, CPU a row: reader ${each(own)}${sender === null ? '' : `, walsender ${each(sender)}`}  ${note}`);
}

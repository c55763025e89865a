/**
 * From a commit in the source to the changed aggregate in the topic of a stream, which keeps a count and a sum for each of a hundred
 * keys: single rows, one at a time, and a steady 1,000 rows/s in transactions of ten. The topic is looked at every millisecond, so
 * that up to one is the measure's own.
 *
 *     node bench/stream-latency.ts [--full] [--rows N]
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { EventView } from '../src/app/event-view.ts';
import { openEmbeddedLog } from '../src/log/embedded/embedded-log.ts';
import type { LogReader } from '../src/log/log.ts';
import { BenchDaemon } from './support/daemon.ts';
import { percentile } from './support/meter.ts';
import { rowsOf } from './support/options.ts';
import { benchServer } from './support/server.ts';
import { count, machine, printTable, type Line } from './support/table.ts';

interface Load {
  readonly what: string;
  readonly transactions: number;
  readonly rowsPerTransaction: number;
  /** Milliseconds from one transaction's begin to the next; null: when the one before has been seen. */
  readonly every: number | null;
}

/** Where the results are read. */
interface Output {
  /** What the stream's topics begin with. */
  readonly stream: string;
  readonly reader: LogReader;
}

const keys = 100;
const singles = rowsOf({ short: 200, full: 2000 });
const loads: readonly Load[] = [
  { what: 'one row, one at a time', transactions: singles, rowsPerTransaction: 1, every: null },
  { what: '1,000 rows/s, ten at a time', transactions: singles * 5, rowsPerTransaction: 10, every: 10 },
];
/** The first transactions are not counted: code that is not compiled yet. */
const warmUp = 100;

const server = await benchServer();
try {
  console.log(machine());
  const lines: Line[] = [];
  for (const [i, load] of loads.entries()) lines.push(await run(load, `shop_${i}`));
  printTable('commit to the changed aggregate in its topic', ['transactions', 'p50 ms', 'p99 ms', 'max ms', 'rows/s made'], lines);
} finally {
  await server.remove();
}

async function run(load: Load, shop: string): Promise<Line> {
  const url = await server.createDatabase(shop);
  await server.sql('CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL, amount numeric NOT NULL)', [], shop);
  const daemon = await BenchDaemon.create((directory) => `name: ${shop}
source: { type: postgres, url: "${url}", tables: { include: [public.orders] } }
log: { type: embedded, directory: "${directory}/log" }
streams:
  - { name: sums, module: "${directory}/sums.ts", state: "${directory}/sums.sqlite" }
`);
  await writeFile(join(daemon.directory, 'sums.ts'), `import { count, stream, sum } from 'tailrace';
export default stream(({ table }) => {
  table<{ customer: number; amount: string }>('public.orders').groupBy(({ customer }) => ({ customer }))
    .aggregate({ rows: count(), total: sum((row: { amount: string }) => row.amount) })
    .to('totals', { key: ['customer'], columns: { customer: 'int4', rows: 'int8', total: 'numeric' } });
});
`);
  const writer = new pg.Client(url);
  try {
    daemon.start();
    await daemon.streaming();
    await writer.connect();
    return await measure(load, writer, { stream: `${shop}.stream.sums`, reader: await openEmbeddedLog({ directory: join(daemon.directory, 'log') }).openReader() });
  } finally {
    await writer.end();
    await daemon.remove();
  }
}

async function measure(load: Load, writer: pg.Client, from: Output): Promise<Line> {
  const { what, transactions, rowsPerTransaction: step } = load;
  const committed = new Float64Array(warmUp + transactions);
  const seen = new Float64Array(committed.length);
  const [seconds] = await Promise.all([commit(load, writer, { committed, seen }), watch(from, seen, step)]);
  await from.reader.close();
  const times = Array.from(seen.subarray(warmUp), (at, i) => Math.max(0, at - (committed[warmUp + i] as number)));
  const ms = (fraction: number): string => percentile(times, fraction).toFixed(1);
  return [what, count(transactions), ms(0.5), ms(0.99), ms(1), count((transactions * step) / seconds)];
}

/** Commits the load and notes when each transaction was answered. The seconds that it took, those of the warm-up left out. */
async function commit({ rowsPerTransaction: step, every }: Load, writer: pg.Client, { committed, seen }: Record<'committed' | 'seen', Float64Array>): Promise<number> {
  let began = 0;
  for (let n = 0; n < committed.length; n++) {
    if (n === warmUp) began = performance.now();
    if (every !== null && n > warmUp) await delay(Math.max(0, began + (n - warmUp) * every - performance.now()));
    await writer.query({ name: 'insert', text: 'INSERT INTO orders SELECT id, $3, id * 0.01 FROM generate_series($1::int, $2::int) id', values: [n * step + 1, (n + 1) * step, n % keys] });
    committed[n] = performance.now();
    if (every === null || n < warmUp) while (seen[n] === 0) await delay(1);
  }
  return (performance.now() - began) / 1000;
}

/**
 * Reads the results until the last one has come. Transaction n adds `step` rows to the key n % `keys`, so that a result's count tells
 * which transactions of its key are in it.
 */
async function watch({ stream, reader }: Output, seen: Float64Array, step: number): Promise<void> {
  const topic = `${stream}.public.totals`;
  const view = await EventView.of(reader, stream);
  while (!(await reader.topics()).some((spec) => spec.topic === topic)) await delay(1);
  for (let offset = 0; seen.includes(0); await delay(1)) {
    const cursor = await reader.fetch(topic, 0, offset, 1 << 20);
    const now = performance.now();
    while (cursor.next()) {
      const { after } = await view.view(topic, 0, cursor);
      for (let n = (Number(after?.['rows']) / step - 1) * keys + Number(after?.['customer']); n >= 0 && seen[n] === 0; n -= keys) seen[n] = now;
    }
    offset = cursor.nextOffset;
  }
}

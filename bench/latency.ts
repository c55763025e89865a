/**
 * From a commit in the source to the rows being visible in a Postgres replica, at a steady rate in transactions of ten, beside a
 * native subscription. The replica is looked at every millisecond, so that up to one is the measure's own.
 *
 *     node bench/latency.ts [--full] [--rate N]
 */
import { makeShop, type Arena, type Contender } from './support/contender.ts';
import { percentile, type Cpu } from './support/meter.ts';
import { numberBehind, options } from './support/options.ts';
import { runLoad, type Latencies } from './support/rate.ts';
import { Subscription } from './support/references.ts';
import { benchServer } from './support/server.ts';
import { count, machine, printTable, type Line } from './support/table.ts';
import { Tailrace } from './support/tailrace.ts';
import { inserts } from './support/workloads.ts';

const rates = [numberBehind('--rate') ?? [1000, 10_000]].flat();
const seconds = options.full ? 60 : 12;
const kinds: readonly ((arena: Arena) => Promise<Contender>)[] = [(arena) => Subscription.create(arena), (arena) => Tailrace.create(arena, 'postgres')];
const [source, replica] = [await benchServer(), await benchServer()];
try {
  console.log(machine());
  for (const rowsPerSecond of rates) {
    const lines: Line[] = [];
    for (const [i, create] of kinds.entries()) {
      const arena: Arena = { source, replica, shop: `shop_${rowsPerSecond}_${i}`, workload: inserts(10) };
      await makeShop(arena);
      const contender = await create(arena);
      if (options.only === undefined || options.only === contender.what) lines.push(await measure(arena, contender, rowsPerSecond));
      await contender.remove();
    }
    printTable(`commit to visible at ${count(rowsPerSecond)} rows/s, transactions of ten, ${seconds} s`, ['p50 ms', 'p99 ms', 'max ms', 'rows/s made', 'CPU ours', 'CPU source', 'CPU replica', 'peak MiB'], lines);
  }
} finally {
  await source.remove();
  await replica.remove();
}

async function measure(arena: Arena, contender: Contender, rowsPerSecond: number): Promise<Line> {
  await contender.start();
  await contender.ready();
  const cpu: Partial<Record<'begin' | 'end', Cpu>> = {};
  const load = { url: source.url(arena.shop), replica: replica.url(contender.database ?? ''), rowsPerSecond, rowsPerTransaction: 10, seconds, warmUp: 4 };
  const { milliseconds, made }: Latencies = await runLoad(load, (moment) => (cpu[moment] = contender.cpu()));
  // In parts of one core.
  const cores = (who: string): string => (cpu.end?.[who] === undefined ? '' : (((cpu.end[who] ?? 0) - (cpu.begin?.[who] ?? 0)) / seconds).toFixed(2));
  const ms = (fraction: number): string => percentile(milliseconds, fraction).toFixed(1);
  const peak = contender.peak();
  return [contender.what, ms(0.5), ms(0.99), ms(1), count(made), cores('ours'), cores('source'), cores('replica'), Number.isNaN(peak) ? '' : String(peak)];
}

/**
 * How the cost of a row grows: with the number of tables, the width of rows, the sinks on one slot, and the backlog. A backlog
 * into Postgres each time; the last columns compare with the first line.
 *
 *     node bench/growth.ts [tables|width|sinks|backlog]… [--full]
 */
import { makeShop, measure, type Arena, type Contender } from './support/contender.ts';
import { options } from './support/options.ts';
import { Subscription } from './support/references.ts';
import { benchServer } from './support/server.ts';
import { count, machine, printTable, rate, type Line, type Run } from './support/table.ts';
import { Tailrace } from './support/tailrace.ts';
import { inserts, manyTables, wideRows, type Workload } from './support/workloads.ts';

interface Size {
  readonly what: string;
  readonly workload: Workload;
  readonly rows: number;
  readonly sinks?: number;
  /** Bytes of a row, where that is what grows: the cost is then that of a megabyte. */
  readonly width?: number;
}

const million = options.full ? 1_000_000 : 300_000;
const growths: Readonly<Record<string, readonly Size[]>> = {
  tables: [1, 10, 100, 1000].map((tables) => ({ what: `${count(tables)} tables`, workload: manyTables(tables), rows: million })),
  width: [100, 1000, 10_000, 100_000, 1_000_000].map((width) => ({
    what: `rows of ${count(width)} bytes`, workload: wideRows(width), rows: Math.max(20, Math.round(((options.full ? 400e6 : 80e6)) / (width + 100))), width,
  })),
  sinks: [1, 2, 3, 4].map((sinks) => ({ what: `${sinks} sinks`, workload: inserts(1000), rows: million, sinks })),
  backlog: (options.full ? [1e5, 1e6, 5e6] : [1e5, 3e5, 1e6]).map((rows) => ({ what: `${count(rows)} rows`, workload: inserts(1000), rows })),
};
const named = Object.keys(growths).filter((name) => process.argv.includes(name));

console.log(machine());
for (const name of named.length > 0 ? named : Object.keys(growths)) {
  const lines: Line[] = [];
  const first = new Map<string, Run>();
  for (const size of growths[name] ?? []) {
    for (const run of await runsOf(size)) {
      if (!first.has(run.what)) first.set(run.what, run);
      lines.push(lineOf(size, run, first.get(run.what) as Run));
    }
  }
  printTable(`growth: ${name} (CPU s of a million rows${name === 'width' ? ', or of a GB' : ''})`, ['', 'rows/s', 'MB/s', 'CPU ours', 'source', 'replica', 'all', 'of the first', 'peak MiB'], lines);
}

async function runsOf(size: Size): Promise<readonly Run[]> {
  const [source, replica] = [await benchServer({ max_locks_per_transaction: '2000' }), await benchServer({ max_locks_per_transaction: '2000' })];
  const arena: Arena = { source, replica, shop: 'shop', workload: size.workload };
  const contenders: Contender[] = [];
  try {
    await makeShop(arena);
    if (size.sinks === undefined) contenders.push(await Subscription.create(arena));
    contenders.push(await Tailrace.create(arena, 'postgres', { sinks: size.sinks ?? 1 }));
    await size.workload.fill(source, arena.shop, size.rows);
    await source.sql('CHECKPOINT');
    const runs: Run[] = [];
    for (const contender of contenders) {
      runs.push(await measure(contender, size.rows));
      await contender.remove();
    }
    return runs;
  } finally {
    for (const contender of contenders) await contender.remove().catch(() => undefined);
    await source.remove();
    await replica.remove();
  }
}

function lineOf({ what, width }: Size, run: Run, first: Run): Line {
  const unit = width === undefined ? run.rows : (run.rows * width) / 1e3;
  const cost = (seconds: number | undefined): string => (seconds === undefined ? '' : ((seconds / unit) * 1e6).toFixed(1));
  const all = sum(run) / run.rows;
  const ratio = width === undefined ? (all / (sum(first) / first.rows)).toFixed(2) : '';
  const speed = width === undefined ? '' : ((rate(run) * width) / 1e6).toFixed(0);
  return [what, run.what, count(rate(run)), speed, cost(run.cpu['ours']), cost(run.cpu['source']), cost(run.cpu['replica']), cost(sum(run)), ratio, Number.isNaN(run.peak) ? '' : String(run.peak)];
}

function sum(run: Run): number {
  return Object.values(run.cpu).reduce((total, seconds) => total + seconds, 0);
}

/**
 * One large transaction, from its commit until it is visible in a Postgres replica, beside a native subscription that waits for the
 * commit as well (`streaming = off`) and one that does not (`parallel`). Each is up and idle when the transaction begins. The one that waits and
 * Tailrace come once more, with enough memory at the source's walsender that it need not write the transaction to its disk.
 *
 *     node bench/transaction.ts [--full] [--rows N] [--rounds N]
 */
import { makeShop, type Arena, type Contender } from './support/contender.ts';
import { until } from './support/meter.ts';
import { options, rowsOf } from './support/options.ts';
import { Subscription } from './support/references.ts';
import { assertEqual, benchServer } from './support/server.ts';
import { count, machine, printRuns, type Run } from './support/table.ts';
import { Tailrace } from './support/tailrace.ts';
import { inserts } from './support/workloads.ts';

const rows = rowsOf({ short: 500_000, full: 1_000_000 });
const workload = inserts(0);
const decodingMemory = '512MB';
const kinds: readonly ((arena: Arena) => Promise<Contender>)[] = [
  (arena) => Subscription.create(arena),
  (arena) => Subscription.create(arena, { streaming: 'parallel' }),
  (arena) => Tailrace.create(arena, 'postgres'),
  (arena) => Subscription.create(arena, { decodingMemory }),
  (arena) => Tailrace.create(arena, 'postgres', { decodingMemory }),
];
const [source, replica] = [await benchServer(), await benchServer()];
try {
  const runs: Run[] = [];
  for (let round = 0; round < options.rounds; round++) {
    for (const [i, create] of kinds.entries()) {
      const arena: Arena = { source, replica, shop: `shop_${round}_${i}`, workload };
      await makeShop(arena);
      const contender = await create(arena);
      try {
        if (options.only !== undefined && options.only !== contender.what) continue;
        runs.push(await fromCommit(arena, contender));
        await assertEqual({ server: source, database: arena.shop }, { server: replica, database: contender.database ?? '' }, workload.tables);
      } finally {
        await contender.remove();
      }
    }
  }
  console.log(machine());
  printRuns(`one transaction of ${count(rows)} inserts, from its commit (its CPU before that counts too)`, runs, 'subscription');
} finally {
  await source.remove();
  await replica.remove();
}

async function fromCommit(arena: Arena, contender: Contender): Promise<Run> {
  await contender.start();
  await contender.ready();
  const before = contender.cpu();
  await workload.fill(source, arena.shop, rows);
  const committed = performance.now();
  await until(async () => (await contender.seen(rows)) > 0);
  const seconds = (performance.now() - committed) / 1000;
  if ((await contender.seen(rows)) !== rows) throw new Error(`${contender.what} shows a part of the transaction`);
  const cpu = Object.fromEntries(Object.entries(contender.cpu()).map(([who, spent]) => [who, spent - (before[who] ?? 0)]));
  return { what: contender.what, start: Number.NaN, seconds, rows, cpu, peak: contender.peak() };
}

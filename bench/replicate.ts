/**
 * A backlog replicated to Postgres: Tailrace through its durable log, and a native subscription between the same two servers,
 * in turn. Every row of both replicas is compared with the source at the end.
 *
 *     node bench/replicate.ts [inserts|mix]… [--full] [--rows N] [--rounds N]
 */
import { makeShop, measureEach, type Arena, type Contender } from './support/contender.ts';
import { options, rowsOf } from './support/options.ts';
import { Subscription } from './support/references.ts';
import { assertEqual, benchServer } from './support/server.ts';
import { count, machine, printRuns } from './support/table.ts';
import { Tailrace } from './support/tailrace.ts';
import { inserts, mix, type Workload } from './support/workloads.ts';

const workloads: Readonly<Record<string, { readonly workload: Workload; readonly title: string; readonly operations: number }>> = {
  inserts: { workload: inserts(1000), title: 'one-row inserts, 1,000 a transaction', operations: rowsOf({ short: 500_000, full: 1_000_000 }) },
  mix: { workload: mix, title: 'operations on five tables, transactions of ten', operations: rowsOf({ short: 300_000, full: 1_000_000 }) },
};
const named = Object.keys(workloads).filter((name) => process.argv.includes(name));

console.log(machine());
for (const name of named.length > 0 ? named : Object.keys(workloads)) {
  const { workload, title, operations } = workloads[name] as NonNullable<(typeof workloads)[string]>;
  const [source, replica] = [await benchServer(), await benchServer()];
  const arena: Arena = { source, replica, shop: 'shop', workload };
  const contenders: Contender[] = [];
  try {
    await makeShop(arena);
    for (let round = 0; round < options.rounds; round++) {
      contenders.push(await Subscription.create(arena), await Tailrace.create(arena, 'postgres'));
    }
    await workload.fill(source, arena.shop, operations);
    await source.sql('CHECKPOINT');
    const runs = await measureEach(contenders, operations, ({ database }) => assertEqual({ server: source, database: arena.shop }, { server: replica, database: database ?? '' }, workload.tables));
    printRuns(`backlog of ${count(operations)} ${title}, into Postgres`, runs, 'subscription');
  } finally {
    for (const contender of contenders) await contender.remove().catch(() => undefined);
    await source.remove();
    await replica.remove();
  }
}

/**
 * A backlog replicated to SQLite through the daemon and its log: inserts, and a mix of operations. There is no native reference;
 * `sink-sqlite` compares the sink alone with bare statements.
 *
 *     node bench/sqlite.ts [--full] [--rows N] [--rounds N]
 */
import { makeShop, measure, type Arena } from './support/contender.ts';
import { options, rowsOf } from './support/options.ts';
import { benchServer } from './support/server.ts';
import { count, machine, printRuns, type Run } from './support/table.ts';
import { Tailrace } from './support/tailrace.ts';
import { inserts, mix } from './support/workloads.ts';

console.log(machine());
for (const { workload, title } of [{ workload: inserts(1000), title: 'one-row inserts, 1,000 a transaction' }, { workload: mix, title: 'operations on five tables, transactions of ten' }]) {
  const operations = rowsOf({ short: 300_000, full: 1_000_000 });
  const source = await benchServer();
  const arena: Arena = { source, replica: source, shop: 'shop', workload };
  const contenders: Tailrace[] = [];
  try {
    await makeShop(arena);
    for (let round = 0; round < options.rounds; round++) contenders.push(await Tailrace.create(arena, 'sqlite'));
    await workload.fill(source, arena.shop, operations);
    const runs: Run[] = [];
    for (const contender of contenders) {
      runs.push(await measure(contender, operations));
      await contender.remove();
    }
    printRuns(`backlog of ${count(operations)} ${title}, into SQLite`, runs, 'tailrace');
  } finally {
    for (const contender of contenders) await contender.remove();
    await source.remove();
  }
}

/**
 * Captures a backlog of one-row inserts, 1,000 to a transaction, until it is durable in the embedded log, beside `pg_recvlogical`
 * writing the same stream to a file.
 *
 *     node bench/capture.ts [--full] [--rows N] [--rounds N]
 */
import { makeShop, measureEach, type Arena, type Contender } from './support/contender.ts';
import { options, rowsOf } from './support/options.ts';
import { Recvlogical } from './support/references.ts';
import { benchServer } from './support/server.ts';
import { count, machine, printRuns } from './support/table.ts';
import { Tailrace } from './support/tailrace.ts';
import { inserts } from './support/workloads.ts';

const rows = rowsOf({ short: 1_000_000, full: 2_000_000 });
const workload = inserts(1000);
const source = await benchServer();
const arena: Arena = { source, replica: source, shop: 'shop', workload };
const contenders: Contender[] = [];
try {
  await makeShop(arena);
  for (let round = 0; round < options.rounds; round++) {
    const reference = await Recvlogical.create(arena);
    if (reference !== null) contenders.push(reference);
    contenders.push(await Tailrace.create(arena, 'none'));
  }
  await workload.fill(source, arena.shop, rows);
  await source.sql('CHECKPOINT');
  const runs = await measureEach(contenders, rows);
  console.log(machine());
  printRuns(`backlog of ${count(rows)} one-row inserts, 1,000 a transaction, until durable`, runs, 'pg_recvlogical');
} finally {
  for (const contender of contenders) await contender.remove().catch(() => undefined);
  await source.remove();
}

/**
 * From a commit in the source to the row being visible in a Postgres and in a SQLite replica, under light load: one insert at a
 * time, the next one when both have shown it.
 *
 *     node bench/visible.ts [--rows N]
 */
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';
import pg from 'pg';
import { BenchDaemon } from './support/daemon.ts';
import { percentile } from './support/meter.ts';
import { rowsOf } from './support/options.ts';
import { benchServer } from './support/server.ts';
import { machine, printTable } from './support/table.ts';

const rows = rowsOf({ short: 1000, full: 5000 });
const server = await benchServer();
try {
  const shop = await server.createDatabase('shop');
  const reporting = await server.createDatabase('reporting');
  await server.sql('CREATE TABLE ticks (id int PRIMARY KEY, note text)', [], 'shop');
  const daemon = await BenchDaemon.create((directory) => `name: bench
source: { type: postgres, url: "${shop}", tables: { include: [public.ticks] } }
log: { type: embedded, directory: "${directory}/log" }
sinks:
  - { name: reporting, type: postgres, url: "${reporting}" }
  - { name: local, type: sqlite, path: "${directory}/replica.sqlite" }
`);
  const writer = new pg.Client(shop);
  const reader = new pg.Client(reporting);
  try {
    daemon.start();
    await daemon.streaming();
    await writer.connect();
    await reader.connect();
    // The first row makes the replicas' tables.
    await writer.query(`INSERT INTO ticks VALUES (0, 'first')`);
    while ((await reader.query('SELECT 1 FROM ticks').catch(() => ({ rowCount: 0 }))).rowCount === 0) await turn();
    const sqlite = new DatabaseSync(join(daemon.directory, 'replica.sqlite'), { readOnly: true });
    const inSqlite = sqlite.prepare('SELECT 1 AS there FROM ticks WHERE id = ?');
    while (inSqlite.get(0) === undefined) await turn();
    const postgres: number[] = [];
    const local: number[] = [];
    for (let id = 1; id <= rows; id++) {
      await writer.query('INSERT INTO ticks VALUES ($1, $2)', [id, 'a tick']);
      const committed = performance.now();
      let inPostgres = false;
      let inLocal = false;
      while (!inPostgres || !inLocal) {
        if (!inLocal && inSqlite.get(id) !== undefined) {
          inLocal = true;
          local.push(performance.now() - committed);
        }
        if (!inPostgres && ((await reader.query('SELECT 1 FROM ticks WHERE id = $1', [id])).rowCount ?? 0) > 0) {
          inPostgres = true;
          postgres.push(performance.now() - committed);
        } else await turn();
      }
    }
    sqlite.close();
    console.log(machine());
    printTable(`commit to visible, ${rows} single inserts, one at a time`, ['p50 ms', 'p99 ms', 'max ms'], ([['postgres', postgres], ['sqlite', local]] as const).map(
      ([name, times]) => [name, percentile(times, 0.5).toFixed(1), percentile(times, 0.99).toFixed(1), percentile(times, 1).toFixed(1)]));
  } finally {
    await writer.end();
    await reader.end();
    await daemon.remove();
  }
} finally {
  await server.remove();
}

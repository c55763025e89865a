/**
 * Rows a second into a SQLite file through the sink, beside a reference that does the least possible: a prepared upsert with
 * constant values in the same kind of transactions, on the same file system, with the same durability.
 *
 *     node bench/sink-sqlite.ts [--rows N]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { options } from './support/options.ts';
import { tupleOf } from '../src/event/tuple.ts';
import { silentLogger } from '../src/runtime/logger.ts';
import { sqliteSinkConfig } from '../src/sink/sqlite/config.ts';
import { createSqliteSink } from '../src/sink/sqlite/index.ts';
import type { TableOperation } from '../src/sink/sink.ts';
import { positionAt, tableOf } from '../test/contract/sink-samples.ts';

const rows = options.rows ?? 200_000;
const perTransaction = 5000;
const table = tableOf({
  name: 'orders',
  columns: [['id', 'bigint'], ['customer', 'integer'], ['status', 'text'], ['total', 'numeric'], ['placed', 'timestamp with time zone'], ['note', 'text']],
});
const texts = (id: number, status: string): string[] => [String(id), String(id % 1000), status, '1234.50', '2024-01-31 10:00:00.123456+00', 'a note of some thirty characters'];

/** One socket chunk's worth of rows after another, as the log hands them over. */
function prepare(op: 'c' | 'u' | 'd', status: string): TableOperation[][] {
  const batches: TableOperation[][] = [];
  for (let from = 0; from < rows; from += perTransaction) {
    const tuples = Array.from({ length: Math.min(perTransaction, rows - from) }, (_, i) => tupleOf(op === 'd' ? texts(from + i, status).map((text, c) => (c === 0 ? text : null)) : texts(from + i, status)));
    const bytes = Buffer.concat(tuples);
    let at = 0;
    batches.push(
      tuples.map((tuple, i) => {
        const start = at;
        at += tuple.length;
        const images = op === 'd' ? { oldKind: 'key' as const, oldAt: start, newAt: -1 } : { oldKind: 'none' as const, oldAt: -1, newAt: start };
        return { op, table, ordinal: i, bytes, end: at, ...images };
      }),
    );
  }
  return batches;
}

function report(what: string, started: bigint, cpu: NodeJS.CpuUsage): void {
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  const { user, system } = process.cpuUsage(cpu);
  console.log(`${what.padEnd(34)} ${Math.round(rows / seconds).toLocaleString('en').padStart(9)} rows/s  ${((user + system) / rows).toFixed(2)} us CPU a row`);
}

const directory = mkdtempSync(join(tmpdir(), 'tailrace-bench-'));
try {
  const reference = new DatabaseSync(join(directory, 'reference.sqlite'));
  reference.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000');
  reference.exec('CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, status TEXT, total TEXT, placed TEXT, note TEXT) STRICT');
  const upsert = reference.prepare(
    'INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, status = excluded.status, total = excluded.total, placed = excluded.placed, note = excluded.note',
  );
  for (const [what, status] of [['reference: constant inserts', 'new'], ['reference: constant updates', 'paid']] as const) {
    const constants = texts(7, status).slice(2);
    const started = process.hrtime.bigint();
    const cpu = process.cpuUsage();
    for (let from = 0; from < rows; from += perTransaction) {
      reference.exec('BEGIN IMMEDIATE');
      for (let id = from; id < Math.min(rows, from + perTransaction); id++) upsert.run(id, id % 1000, ...constants);
      reference.exec('COMMIT');
    }
    report(what, started, cpu);
  }
  reference.close();

  const config = sqliteSinkConfig.parse({ path: join(directory, 'sink.sqlite') });
  const sink = createSqliteSink(config, { pipeline: 'bench', sink: 'sqlite', ddl: 'apply', logger: silentLogger });
  const session = await sink.open({ signal: new AbortController().signal });
  let lsn = 1;
  for (const [what, op, status] of [['sink: inserts', 'c', 'new'], ['sink: updates', 'u', 'paid'], ['sink: deletes', 'd', '']] as const) {
    const batches = prepare(op, status);
    const started = process.hrtime.bigint();
    const cpu = process.cpuUsage();
    for (const changes of batches) {
      await session.begin(positionAt(lsn++));
      await session.write({ table, changes, coverage: 'complete' });
      await session.commit();
    }
    report(what, started, cpu);
  }
  await session.close();
} finally {
  rmSync(directory, { recursive: true });
}

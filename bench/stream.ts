import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { RowChange } from '../src/event/change.ts';
import type { Column, TableSchema } from '../src/event/table.ts';
import { tupleOf } from '../src/event/tuple.ts';
import { piecesShape, pieceTuple, rowsShape } from '../src/pipeline/state-log.ts';
import { stream, sum } from '../src/stream/api.ts';
import { encodeValue } from '../src/stream/canonical.ts';
import { Engine } from '../src/stream/engine.ts';
import { LoggedState } from '../src/stream/logged-state.ts';
import type { StateLog } from '../src/stream/state-log.ts';
import { State } from '../src/stream/state.ts';

// Events a second through a map and a keyed sum, on one core: the engine with its state on disk, a commit every 5,000 events. Beside
// it one of several shards, each of which gets all events, and SQLite by itself, which keeps the same rows and the same sums by triggers.
//   node bench/stream.ts [events]

const events = Number(process.argv[2] ?? 200_000);
const step = 5000;
const groups = 1000;
const columns = ([['id', 23], ['customer', 23], ['amount', 1700]] as const).map(([name, oid], i): Column => ({ name, attnum: i + 1, typeOid: oid, typmod: -1, type: '', baseTypeOid: oid, notNull: true }));
const table: TableSchema = { relid: 1, schema: 'public', name: 'orders', columns, key: [0], replicaIdentity: 'default', version: { epoch: 1, number: 1 } };

/** Inserts, and from the middle on as many updates of the rows that are there. */
function changes(): RowChange<TableSchema>[] {
  return Array.from({ length: events }, (_, i) => {
    const id = i < events / 2 ? i : i - Math.floor(events / 2);
    const bytes = tupleOf([String(id), String((i * 7919) % groups), `${i % 1000}.${String(i % 100).padStart(2, '0')}`]);
    return { op: i < events / 2 ? 'c' : 'u', table, ordinal: i, bytes, oldKind: 'none', oldAt: -1, newAt: 0, end: bytes.length };
  });
}

const { plan } = stream(({ table: read }) => {
  read<{ id: number; customer: number; amount: string }>('public.orders')
    .map(({ customer, amount }) => ({ customer, amount }))
    .groupBy(({ customer }) => ({ customer }))
    .aggregate({ total: sum((row: { amount: string }) => row.amount) })
    .to('totals', { key: ['customer'], columns: { customer: 'int4', total: 'numeric' } });
});

function engine(folder: string, all: readonly RowChange<TableSchema>[]): void {
  const state = new State(join(folder, 'engine.sqlite'));
  const running = new Engine(plan, state);
  for (let i = 0; i < all.length; i += step) {
    state.db.exec('BEGIN IMMEDIATE');
    state.clearOutbox();
    running.apply({ table, changes: all.slice(i, i + step), coverage: 'complete' }, 0);
    running.finish();
    state.db.exec('COMMIT');
  }
  state.close();
}

/** Takes everything, so that the state's own part is measured and not a broker. */
const nowhere: StateLog = {
  last: null, isLong: false, begin: () => 'mark', publish: async () => {}, publishWhole: async () => {}, close: async () => {},
  async *since() {},
};

/** The first of so many shards: all events come, and it keeps and computes its part of them. */
const shardOf = (of: number) => async (folder: string, all: readonly RowChange<TableSchema>[]): Promise<void> => {
  const state = await LoggedState.open({ path: join(folder, 'shard.sqlite'), log: nowhere, shapes: { pieces: piecesShape, rows: rowsShape, piece: pieceTuple } });
  const running = new Engine(plan, state.state, { kind: 'shard', shard: { index: 0, of }, cut: (operator, row, times) => state.give('1 0/1', { operator, times, item: encodeValue(row) }) });
  for (let i = 0; i < all.length; i += step) {
    state.begin();
    running.apply({ table, changes: all.slice(i, i + step), coverage: 'complete' }, 0);
    running.finish();
    await state.commit({ place: { epoch: 1, commitLsn: 1n }, commitTime: 0n });
  }
  await state.close();
};

function triggers(folder: string, all: readonly RowChange<TableSchema>[]): void {
  const db = new DatabaseSync(join(folder, 'triggers.sqlite'));
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, amount INTEGER);
    CREATE TABLE totals (customer INTEGER PRIMARY KEY, n INTEGER, total INTEGER);
    CREATE TRIGGER came AFTER INSERT ON orders BEGIN
      INSERT INTO totals VALUES (new.customer, 1, new.amount) ON CONFLICT DO UPDATE SET n = n + 1, total = total + new.amount;
    END;
    CREATE TRIGGER changed AFTER UPDATE ON orders BEGIN
      UPDATE totals SET n = n - 1, total = total - old.amount WHERE customer = old.customer;
      INSERT INTO totals VALUES (new.customer, 1, new.amount) ON CONFLICT DO UPDATE SET n = n + 1, total = total + new.amount;
    END`);
  const upsert = db.prepare('INSERT INTO orders VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET customer = excluded.customer, amount = excluded.amount');
  for (let i = 0; i < all.length; i += step) {
    db.exec('BEGIN IMMEDIATE');
    for (let n = i; n < Math.min(i + step, all.length); n++) upsert.run(n < events / 2 ? n : n - Math.floor(events / 2), (n * 7919) % groups, (n % 1000) * 100 + (n % 100));
    db.exec('COMMIT');
  }
  db.close();
}

const all = changes();
for (const [name, run] of [['engine', engine], ...[1, 2, 4, 8].map((of) => [`one of ${of} shards`, shardOf(of)] as const), ['SQLite with triggers', triggers]] as const) {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-bench-'));
  const cpu = process.cpuUsage();
  const began = performance.now();
  await run(folder, all);
  const seconds = (performance.now() - began) / 1000;
  const used = process.cpuUsage(cpu);
  process.stdout.write(`${name.padEnd(22)} ${Math.round(events / seconds).toLocaleString('en').padStart(9)} events/s  ${((used.user + used.system) / events).toFixed(1)} µs CPU an event\n`);
  rmSync(folder, { recursive: true });
}

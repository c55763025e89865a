/**
 * Rows a second into a Postgres replica through the sink, and how long a transaction of a few rows takes, beside a reference
 * that does the least possible: pg-copy-streams with the same rows as text that is ready, in transactions of the same size.
 *
 *     node bench/sink-postgres.ts [--rows N]
 */
import { once } from 'node:events';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { tupleOf } from '../src/event/tuple.ts';
import { silentLogger } from '../src/runtime/logger.ts';
import { postgresSinkConfig } from '../src/sink/postgres/config.ts';
import { createPostgresSink } from '../src/sink/postgres/index.ts';
import type { TableOperation } from '../src/sink/sink.ts';
import { positionAt, tableOf } from '../test/contract/sink-samples.ts';
import { cpuSeconds, percentile } from './support/meter.ts';
import { options } from './support/options.ts';
import { benchServer } from './support/server.ts';
import { rowTable } from './support/workloads.ts';

const rows = options.rows ?? 300_000;
const perTransaction = 20_000;
const table = tableOf({
  name: 'rows',
  columns: [
    ['id', 'bigint'], ['customer', 'integer'], ['amount', 'numeric'], ['status', 'text'],
    ['note', 'text'], ['ratio', 'double precision'], ['flag', 'boolean'], ['at', 'timestamp with time zone'],
  ],
});
const texts = (id: number, status: string): string[] => [
  String(id), String(id % 1000), `${id % 100_000}.25`, status, 'a note of ninety-six characters, of which none minds any format '.padEnd(96, String(id)),
  String(id / 7), id % 2 === 0 ? 't' : 'f', '2024-01-31 10:00:00.123456+00',
];

type Kind = 'insert' | 'update' | 'delete' | 'mixed';

/** Changes as the log hands them over: views into one buffer a batch. */
function prepare(kind: Kind, size = perTransaction, total = rows): TableOperation[][] {
  const batches: TableOperation[][] = [];
  for (let from = 0; from < total; from += size) {
    const parts: Uint8Array[] = [];
    const list: TableOperation[] = [];
    let at = 0;
    for (let id = from; id < Math.min(total, from + size); id++) {
      // Mixed: 5 of 10 are rows of their own, 4 change a row of the last batch, one deletes one.
      const op = kind === 'mixed' ? (id % 10 < 5 ? 'c' : id % 10 < 9 ? 'u' : 'd') : kind === 'insert' ? 'c' : kind === 'update' ? 'u' : 'd';
      const tuple = op === 'd' ? tupleOf(texts(id, '').map((text, i) => (i === 0 ? text : null))) : tupleOf(texts(kind === 'mixed' && op === 'c' ? id + rows : id, op === 'u' ? 'changed' : 'new'));
      parts.push(tuple);
      const images = op === 'd' ? { oldKind: 'key' as const, oldAt: at, newAt: -1 } : { oldKind: 'none' as const, oldAt: -1, newAt: at };
      at += tuple.length;
      list.push({ op, table, ordinal: id, bytes: emptyBytes, end: at, ...images });
    }
    const bytes = Buffer.concat(parts);
    batches.push(list.map((change) => ({ ...change, bytes })));
  }
  return batches;
}

const emptyBytes = new Uint8Array(0);

/** Runs `work` and says what it cost this process and the replica's backend. */
async function measure(what: string, pid: number, work: () => Promise<void>): Promise<void> {
  const backend = cpuSeconds(pid);
  const cpu = process.cpuUsage();
  const started = performance.now();
  await work();
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const other = (((cpuSeconds(pid)) - backend) / rows) * 1e6;
  console.log(
    `${what.padEnd(44)} ${Math.round(rows / seconds).toLocaleString('en').padStart(9)} rows/s  ${((user + system) / rows).toFixed(2)} us CPU a row, replica ${other.toFixed(2)}`,
  );
}

const server = await benchServer();
const client = new pg.Client(await server.createDatabase('reference'));
await client.connect();
try {
  const url = await server.createDatabase('replica');
  await server.sql(rowTable, [], 'reference');
  await server.sql('CREATE TABLE no_key (LIKE rows)', [], 'reference');
  const lines = Array.from({ length: rows }, (_, id) => `${texts(id, 'new').join('\t')}\n`);
  const chunks: Buffer[][] = [];
  for (let from = 0; from < rows; from += perTransaction) {
    const all = Buffer.from(lines.slice(from, from + perTransaction).join(''));
    chunks.push(Array.from({ length: Math.ceil(all.length / 65_536) }, (_, i) => all.subarray(i * 65_536, (i + 1) * 65_536)));
  }
  lines.length = 0;
  for (const target of ['rows', 'no_key']) {
    await measure(`reference: COPY of ready text (${target})`, (client as unknown as { processID: number }).processID, async () => {
      for (const transaction of chunks) {
        await client.query('BEGIN');
        const stream = client.query(copyFrom(`COPY ${target} FROM STDIN`));
        for (const chunk of transaction) if (!stream.write(chunk)) await once(stream, 'drain');
        stream.end();
        await once(stream, 'finish');
        await client.query('COMMIT');
      }
    });
  }

  const sink = createPostgresSink(postgresSinkConfig.parse({ url }), { pipeline: 'bench', sink: 'postgres', logger: silentLogger, ddl: 'apply' });
  const session = await sink.open({ signal: new AbortController().signal });
  const [worker] = await server.sql<{ pid: number }>("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'tailrace/%'", [], 'replica');
  const pid = worker?.pid ?? 0;
  let lsn = 1;
  const apply = async (batches: readonly (readonly TableOperation[])[], onDone?: (milliseconds: number) => void): Promise<void> => {
    for (const changes of batches) {
      const started = performance.now();
      await session.begin(positionAt(lsn++));
      await session.write({ table, changes, coverage: 'complete' });
      await session.commit();
      onDone?.(performance.now() - started);
    }
  };
  await apply([[{ op: 't' }]]);
  for (const kind of ['insert', 'update', 'mixed', 'delete'] as const) {
    const batches = prepare(kind);
    await measure(`sink: ${kind}, ${perTransaction} changes a transaction`, pid, () => apply(batches));
  }
  console.log('\na transaction of few rows, begin to committed (fsync on), milliseconds');
  for (const [kind, size] of [['insert', 1], ['update', 1], ['insert', 10], ['update', 10], ['update', 20], ['update', 21], ['update', 50], ['update', 200], ['insert', 21], ['insert', 200]] as const) {
    const batches = prepare(kind, size, size * 400);
    await apply([[{ op: 't' }], ...(kind === 'update' ? prepare('insert', perTransaction, size * 400) : [])]);
    const times: number[] = [];
    await apply(batches, (time) => times.push(time));
    times.sort((a, b) => a - b);
    console.log(`${`${size} ${kind}${size === 1 ? '' : 's'}`.padEnd(16)} p50 ${percentile(times, 0.5).toFixed(2)}  p99 ${percentile(times, 0.99).toFixed(2)}`);
  }
  await session.close();
} finally {
  await client.end();
  await server.remove();
}

import assert from 'node:assert/strict';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { TestDaemon, tailrace } from '../support/daemon.ts';
import { ledgerStream, outputsEqual } from '../support/ledger-stream.ts';
import { freshDatabase, type TestDatabase } from '../support/postgres.ts';
import { nameFor } from '../support/shop.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';
import { Ledger, ledgerSchema } from '../support/workload.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

interface StreamSetting {
  readonly database: TestDatabase;
  readonly replica: TestDatabase;
  readonly daemon: TestDaemon;
  equal(): Promise<void>;
}

async function streamSetting(t: TestContext): Promise<StreamSetting> {
  const database = await freshDatabase(t);
  const replica = await freshDatabase(t);
  const directory = await tempDirectory(t);
  await database.sql(ledgerSchema);
  await writeFile(join(directory, 'sums.ts'), ledgerStream);
  const daemon = await TestDaemon.create(t, directory, `name: ${nameFor(database)}
source: { type: postgres, url: "${database.url}" }
log: { type: embedded, directory: ${join(directory, 'log')} }
streams:
  - { name: sums, module: ${join(directory, 'sums.ts')}, state: ${join(directory, 'sums.sqlite')} }
sinks:
  - { name: reporting, type: postgres, url: "${replica.url}", from: sums }
`);
  const equal = (): Promise<void> => outputsEqual(database, replica, daemon);
  return { database, replica, daemon, equal };
}

/** By them time in joins stands, and what is late is told. */
const copies = (daemon: TestDaemon): string => daemon.output.split('\n').filter((line) => /a table/.test(line)).join('\n');

/** A stream that begins now computes from the same log what the one did that was killed again and again: what was late is no matter of chance. */
async function afresh(daemon: TestDaemon, replica: TestDatabase): Promise<void> {
  assert.equal(await daemon.stop(), 0);
  const directory = dirname(daemon.file);
  const yaml = await readFile(daemon.file, 'utf8');
  await writeFile(daemon.file, yaml
    .replace('sinks:\n', `  - { name: afresh, module: ${join(directory, 'sums.ts')}, state: ${join(directory, 'afresh.sqlite')} }\nsinks:\n`)
    .replace('  - { name: reporting', `  - { name: unhurt, type: sqlite, path: ${join(directory, 'unhurt.sqlite')}, from: afresh }\n  - { name: reporting`));
  daemon.start();
  await daemon.streaming();
  const texts = (rows: readonly unknown[]): string[] => rows.map((row) => JSON.stringify(row)).sort();
  const unhurt = (query: string): string[] => {
    const db = new DatabaseSync(join(directory, 'unhurt.sqlite'), { timeout: 5000 });
    try {
      return texts(db.prepare(query).all());
    } catch {
      return [];
    } finally {
      db.close();
    }
  };
  for (const table of ['pairs', 'late']) {
    const query = `SELECT l, r FROM ${table}`;
    let [killed, whole]: string[][] = [];
    const same = async (): Promise<boolean> => {
      [killed, whole] = [texts(await replica.sql(query)), unhurt(query)];
      return killed.length > 20 && isDeepStrictEqual(whole, killed);
    };
    await eventually(same, { what: `the same ${table}`, timeoutMs: 120_000 }).catch(() => assert.deepEqual(whole, killed, `${table}; tables were copied so: ${copies(daemon)}; the daemon said ${daemon.output.slice(-2000)}`));
  }
}

test('aggregates over a random workload are what the same query gives at the source, kill -9 or not', async (t) => {
  const { database, replica, daemon, equal } = await streamSetting(t);
  const ledger = new Ledger(database.url, 23, 2, 20);
  // Each reached under load, the first two in the middle of a step's two commits.
  for (const failpoint of ['stream.committed:kill9:40', 'stream.published:kill9:25', 'sink.committed:kill9:30']) {
    daemon.start({ TAILRACE_FAILPOINT: failpoint });
    assert.equal(await daemon.exited(), null, `it dies at ${failpoint}: ${daemon.output.slice(-2000)}`);
  }
  daemon.start();
  await daemon.streaming();
  const before = ledger.committed;
  const seen = new Set<string>();
  await eventually(async () => {
    const [row] = await replica.sql('SELECT accounts, total FROM total');
    if (row !== undefined) seen.add(JSON.stringify(row));
    return ledger.committed > before + 400;
  }, { what: 'enough transactions' });
  await ledger.stop();
  await equal();
  await afresh(daemon, replica);
  // Transfers leave the sum as it is: whoever saw another one saw half of a transaction.
  assert.deepEqual([...seen].slice(-1), ['{"accounts":"50","total":"50000"}']);
  const status = await daemon.status();
  assert.deepEqual(status.sinks.map(({ name, kind }) => `${name} ${kind}`), ['sums stream', 'afresh stream', 'unhurt sink', 'reporting sink']);
});

test('a stream that is begun anew is right again, and check, reset and a wrong module say what they have to', async (t) => {
  const { database, replica, daemon, equal } = await streamSetting(t);
  daemon.start();
  await daemon.streaming();
  await equal();
  const busy = await tailrace(['streams', 'reset', 'sums', daemon.file, '--yes']);
  assert.equal(busy.code, 3);
  assert.match(busy.err, /is open in another process/);
  assert.equal(await daemon.stop(), 0);
  await database.sql('DELETE FROM acct WHERE id > 40');
  assert.equal((await tailrace(['streams', 'reset', 'sums', daemon.file, '--yes'])).code, 0);
  assert.equal((await tailrace(['check', daemon.file])).code, 0);
  daemon.start();
  await daemon.streaming();
  await equal();
  assert.equal(await daemon.stop(), 0);
  const module = daemon.file.replace('pipeline.yaml', 'sums.ts');
  await writeFile(module, ledgerStream.replaceAll('public.acct', 'public.nowhere'));
  const checked = await tailrace(['check', daemon.file]);
  assert.equal(checked.code, 3);
  assert.match(checked.out, /the stream sums reads public\.nowhere, which is not captured/);
  assert.equal((await tailrace(['streams', 'reset', 'sums', daemon.file, '--yes'])).code, 0);
  daemon.start();
  await eventually(async () => /public\.nowhere is read/.test((await daemon.status()).sinks[0]?.error?.message ?? ''), { what: 'the table that is not captured to be said' });
  assert.equal((await daemon.status()).sinks[0]?.error?.code, 'table-not-captured');
  await database.sql('CREATE TABLE nowhere (LIKE acct INCLUDING ALL); INSERT INTO nowhere SELECT * FROM acct; INSERT INTO nowhere SELECT 1000 + id, bal FROM acct');
  const twice = `SELECT 'accounts' AS "all", count(*) AS accounts, sum(bal) AS total FROM nowhere`;
  await eventually(async () => isDeepStrictEqual(await replica.sql('SELECT * FROM total'), await database.sql(twice)), { what: 'the table that was made later to be read', timeoutMs: 90_000 });
  assert.equal(await daemon.stop(), 0);
  await writeFile(module, ledgerStream.replace("'public.ledger').groupBy", "'public.ledger').filter(() => true).groupBy"));
  daemon.start();
  await eventually(async () => (await daemon.status()).sinks[0]?.error?.code === 'stream-changed', { what: 'the change of the module to be said' });
  await daemon.kill();
  await writeFile(module, 'export const nothing = 1;');
  assert.match((await tailrace(['check', daemon.file])).out, /exports no stream/);
});

test('the examples run as they are: revenue by minute, best products, customers with what they ordered', async (t) => {
  const database = await freshDatabase(t);
  const directory = await tempDirectory(t);
  await database.sql(await readFile(at('docker/shop.sql'), 'utf8'));
  // Its paths begin at the working directory, which is the test's own: data/ lies there and connectors/ is linked into it.
  await symlink(at('connectors'), join(directory, 'connectors'));
  const daemon = await TestDaemon.create(t, directory, (await readFile(at('connectors/analytics.yaml'), 'utf8')).replace('name: analytics', `name: ${nameFor(database)}`));
  daemon.start({ SHOP_DATABASE_URL: database.url }, { directory });
  await daemon.streaming();
  await database.sql(`
    INSERT INTO orders (customer, product, total, paid, placed_at) VALUES (2, 'lamp', 20.00, true, '2026-01-01 10:00:05+00'), (2, 'book', 5, true, '2026-01-01 10:00:40+00');
    INSERT INTO orders (customer, product, total) VALUES (3, 'ink', 0.80);
    UPDATE orders SET paid = true WHERE product = 'pencil'; DELETE FROM orders WHERE total = 99.00`);
  const shows = async (file: string, query: string, wanted: readonly (readonly unknown[])[]): Promise<void> => {
    let last: unknown;
    const look = (): boolean => {
      const db = new DatabaseSync(join(directory, 'data', file), { readOnly: true, timeout: 5000 });
      try {
        last = db.prepare(query).all().map((row) => Object.values(row));
      } catch (error) {
        last = error;
      } finally {
        db.close();
      }
      return JSON.stringify(last) === JSON.stringify(wanted);
    };
    await eventually(look, { what: query, timeoutMs: 90_000 }).catch(() => assert.deepEqual(last, wanted, daemon.output.slice(-2000)));
  };
  await shows('sales.sqlite', 'SELECT rank, product, sold, revenue FROM top_products ORDER BY rank', [[1, 'lamp', 1, '20.00'], [2, 'book', 2, '17.50'], [3, 'pencil', 1, '1.20']]);
  await shows('repeats.sqlite', 'SELECT bought, followed_by FROM repeats ORDER BY first, next', [['pencil', 'ink']]);
  await shows('customers.sqlite', 'SELECT name, orders, total FROM customer_totals ORDER BY id', [['Ada', 1, '12.50'], ['Edgar', 2, '25.00'], ['Grace', 2, '2.00']]);
  const cache = await TestDaemon.create(t, await tempDirectory(t), (await readFile(at('connectors/cache.yaml'), 'utf8')).replace('name: cache', `name: ${nameFor(database)}-cache`).replace('./data/cache', join(directory, 'data/cache')));
  cache.start({ SHOP_DATABASE_URL: database.url }, { directory });
  await cache.streaming();
  const cached = async (): Promise<unknown> => {
    const { out } = await tailrace(['consume', `${nameFor(database)}-cache.stream.customers.public.customer_totals`, cache.file, '--from-beginning', '--format', 'json']);
    const rows = new Map<unknown, unknown>();
    for (const line of out.trim().split('\n').filter((each) => each !== '')) {
      const { op, key, after } = JSON.parse(line) as { op: string; key?: { id: string }; after?: { name: string; orders: string } | null };
      if (after != null) rows.set(key?.id, [after.name, after.orders]);
      else if (op === 'd') rows.delete(key?.id);
    }
    return [...rows].toSorted(([a], [b]) => Number(a) - Number(b)).map(([, row]) => row);
  };
  let held: unknown;
  const filled = [['Ada', '1'], ['Edgar', '2'], ['Grace', '2']];
  await eventually(async () => JSON.stringify((held = await cached())) === JSON.stringify(filled), { what: 'the cache', timeoutMs: 90_000 }).catch(() => assert.deepEqual(held, filled, cache.output.slice(-2000)));
  // The shop's own orders are of today: those of January come when their minute is closed.
  await shows('sales.sqlite', 'SELECT total, removed FROM late_orders ORDER BY id', [['20.00', 0], ['5.00', 0]]);
  await database.sql("INSERT INTO orders (customer, product, total, paid) VALUES (1, 'book', 500, true)");
  await shows('leaders.sqlite', 'SELECT product FROM leaders ORDER BY at', [['lamp'], ['book']]);
});

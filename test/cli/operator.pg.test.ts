import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { tailrace, TestDaemon, type CommandResult } from '../support/daemon.ts';
import { freshDatabase, sharedPostgres, type TestDatabase } from '../support/postgres.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';

const canary = 's3cr3t-CANARY@:/?#%';

/** A database of its own, reached with a password that must be seen nowhere. */
async function guarded(t: TestContext): Promise<{ readonly db: TestDatabase; readonly url: string }> {
  const role = `canary_${randomBytes(4).toString('hex')}`;
  const server = await sharedPostgres();
  await server.sql(`CREATE ROLE ${role} LOGIN SUPERUSER REPLICATION PASSWORD '${canary}'`);
  // Registered first, so it runs after the database, whose objects the role owns, has gone.
  const db = await freshDatabase(t);
  t.after(async () => void (await server.sql(`DROP ROLE ${role}`)));
  const url = new URL(db.url);
  url.username = role;
  url.password = encodeURIComponent(canary);
  return { db, url: url.href };
}

test('a pipeline from check to teardown, as an operator sees it, with its password seen nowhere', { timeout: 180_000 }, async (t) => {
  const source = await guarded(t);
  const replica = await guarded(t);
  const folder = await tempDirectory(t);
  await source.db.sql('CREATE TABLE orders (id int PRIMARY KEY, note text)');
  await source.db.sql(`INSERT INTO orders VALUES (1, 'before')`);
  const daemon = await TestDaemon.create(
    t,
    folder,
    `name: cli
source: { type: postgres, url: "\${SOURCE}" }
log: { type: embedded, directory: ${join(folder, 'log')} }
sinks:
  - { name: reporting, type: postgres, url: "\${REPLICA}" }
  - { name: local, type: sqlite, path: ${join(folder, 'local.sqlite')} }
`,
  );
  const environment = { SOURCE: source.url, REPLICA: replica.url };
  const said: string[] = [];
  const command = async (args: readonly string[], own: Record<string, string> = {}): Promise<CommandResult> => {
    const result = await tailrace(args, { ...environment, ...own });
    said.push(result.out, result.err);
    return result;
  };

  const wrong = new URL(source.url);
  wrong.password = encodeURIComponent(`${canary}-wrong`);
  const refused = await command(['check', daemon.file], { SOURCE: wrong.href });
  assert.equal(refused.code, 3);
  assert.match(refused.out, /password authentication failed/);

  await replica.db.sql('CREATE TABLE orders (id text, other int)');
  await replica.db.sql(`INSERT INTO orders VALUES ('x', 1)`);
  const inTheWay = await command(['check', daemon.file]);
  assert.equal(inTheWay.code, 3);
  assert.match(inTheWay.out, /sink reporting\n {4}error {2}.*orders/);
  await replica.db.sql('DROP TABLE orders');
  assert.equal((await command(['check', daemon.file])).code, 0);
  assert.deepEqual(await source.db.sql(`SELECT 1 FROM pg_replication_slots WHERE slot_name = 'tailrace_cli'`), [], 'check makes nothing');

  daemon.start(environment);
  await daemon.streaming();
  const url = await daemon.url();
  assert.equal((await fetch(`${url}/readyz`)).status, 200);
  await source.db.sql(`UPDATE orders SET note = 'after' WHERE id = 1`);
  await eventually(async () => (await replica.db.sql(`SELECT 1 FROM orders WHERE note = 'after'`)).length === 1);
  let metrics = '';
  // The publisher's thread reports its figures from time to time, so they may come after the row did.
  await eventually(async () => /^tailrace_events_published_total\{pipeline="cli"\} 2$/m.test((metrics = await (await fetch(`${url}/metrics`)).text())), { what: 'both events in the metrics' });
  said.push(metrics, await (await fetch(`${url}/status`)).text(), await (await fetch(`${url}/nothing`)).text());

  const http = ['--http', new URL(url).host];
  assert.match((await command(['status', daemon.file, ...http])).out, /^cli {2}streaming\n[^]*reporting +current/);
  assert.match((await command(['status', daemon.file, '--http', '127.0.0.1:1'])).out, /^cli {2}streaming\n/, 'by its socket');
  const { out: records } = await command(['consume', 'public.orders', daemon.file, '--from-beginning', '--format', 'json']);
  assert.deepEqual(records.trim().split('\n').map((line) => (JSON.parse(line) as { op: string }).op), ['r', 'u']);
  assert.match((await command(['topics', 'list', daemon.file])).out, /^cli\.public\.orders +events +1 +2 /m);
  assert.match((await command(['topics', 'create', 'clicks', daemon.file])).out, /^cli\.clicks was made/, 'by the daemon, which has the log');
  assert.match((await tailrace(['produce', 'clicks', daemon.file], environment, 'a\nb\n')).out, /^2 records are durable in clicks/);
  assert.equal((await command(['consume', 'clicks', daemon.file, '--group', 'g', '--from-beginning', '--no-follow'])).out.trim().split('\n').length, 2);
  assert.match((await command(['topics', 'compact', 'clicks', daemon.file])).out, /^cli\.clicks was compacted: /);
  assert.match((await command(['topics', 'delete', 'clicks', daemon.file, '--yes'])).out, /^cli\.clicks was deleted/);
  assert.match((await command(['topics', 'delete', 'public.orders', daemon.file, '--yes', '--force'])).err, /the daemon of cli runs, and writes this topic/);
  assert.match((await command(['snapshot', 'public.orders', daemon.file])).out, /^copying public\.orders;/);
  await eventually(async () => (await command(['consume', 'public.orders', daemon.file, '--from-beginning', '--format', 'json'])).out.split('\n').filter((line) => line.includes('"op":"r"')).length === 2, { what: 'the second copy' });
  const unknown = await command(['snapshot', 'public.nothing', daemon.file]);
  assert.equal(unknown.code, 3);
  assert.match(unknown.err, /captures no table public\.nothing/);
  assert.equal((await command(['sinks', 'forget', 'local', daemon.file, '--yes'])).code, 3, 'the daemon has the log');
  assert.equal((await command(['teardown', daemon.file, '--yes'])).code, 3, 'the daemon has the slot');

  assert.equal(await daemon.stop(), 0);
  assert.match((await command(['snapshot', 'public.orders', daemon.file])).err, /no daemon runs the pipeline cli/);
  assert.match((await command(['status', daemon.file, ...http])).out, /^cli {2}not-running\n {2}slot tailrace_cli/);
  assert.equal((await command(['sinks', 'forget', 'local', daemon.file, '--yes'])).code, 0);
  const { out: dropped } = await command(['teardown', daemon.file, '--yes']);
  assert.match(dropped, /tailrace_cli[^]*tailrace_cli/);
  assert.deepEqual(await source.db.sql(`SELECT 1 FROM pg_replication_slots WHERE slot_name = 'tailrace_cli'`), []);
  assert.match((await command(['teardown', daemon.file, '--yes'])).out, /nothing to drop/);

  const everything = [daemon.output, ...said].join('\n');
  assert.ok(everything.includes('streaming'), 'it was looked for in what was said');
  const spellings = [canary, encodeURIComponent(canary), Buffer.from(canary).toString('base64'), 's3cr3t'];
  for (const spelling of spellings) assert.ok(!everything.includes(spelling), `${spelling} was printed`);
});

test('a port that another program has is an error at once, with nothing started', { timeout: 60_000 }, async (t) => {
  const folder = await tempDirectory(t);
  const daemon = await TestDaemon.create(t, folder, `name: cli\nsource: { type: postgres, url: "postgres://u:p@127.0.0.1:1/x" }\nlog: { type: embedded, directory: ${join(folder, 'log')} }\n`);
  daemon.start();
  const taken = new URL(await daemon.url()).host;
  const { code, err } = await tailrace(['run', daemon.file, '--http', taken]);
  assert.equal(code, 3);
  assert.match(err, /another program listens there\n {2}→ Choose another/);
});

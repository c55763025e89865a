import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { tailrace, TestDaemon } from '../support/daemon.ts';
import { chainedQueries, chainedStream, ledgerStream, outputsEqual } from '../support/ledger-stream.ts';
import { freshDatabase } from '../support/postgres.ts';
import { nameFor } from '../support/shop.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';
import { Ledger, ledgerSchema } from '../support/workload.ts';

test("a stream reads another one's results: they are what the same queries give at the source, kill -9 or not; what does not fit is said", async (t) => {
  const [database, replica] = [await freshDatabase(t), await freshDatabase(t)];
  const directory = await tempDirectory(t);
  await database.sql(ledgerSchema);
  const [first, second] = [join(directory, 'sums.ts'), join(directory, 'chained.ts')];
  await writeFile(first, ledgerStream);
  await writeFile(second, chainedStream);
  const daemon = await TestDaemon.create(t, directory, `name: ${nameFor(database)}
source: { type: postgres, url: "${database.url}" }
log: { type: embedded, directory: ${join(directory, 'log')} }
streams:
  - { name: chained, from: sums, module: ${second}, state: ${join(directory, 'chained.sqlite')} }
  - { name: sums, module: ${first}, state: ${join(directory, 'sums.sqlite')} }
sinks:
  - { name: reporting, type: postgres, url: "${replica.url}", from: chained }
`);
  const ledger = new Ledger(database.url, 31, 2, 20);
  // Each step of either stream comes by: which one it is that is cut off, is left to chance.
  for (const failpoint of ['stream.committed:kill9:31', 'stream.published:kill9:40', 'stream.committed:kill9:52', 'sink.committed:kill9:30']) {
    daemon.start({ TAILRACE_FAILPOINT: failpoint });
    assert.equal(await daemon.exited(), null, `it dies at ${failpoint}: ${daemon.output.slice(-2000)}`);
  }
  daemon.start();
  await daemon.streaming();
  const before = ledger.committed;
  await eventually(() => ledger.committed > before + 200, { what: 'enough transactions' });
  await ledger.stop();
  await outputsEqual(database, replica, daemon, chainedQueries);
  // The rest of the workload is of other tables, and may still be under way.
  await eventually(async () => (await daemon.status()).sinks.every(({ behindTransactions }) => behindTransactions === 0), { what: 'each to be at the end of what it reads', timeoutMs: 60_000 });
  const { sinks } = await daemon.status();
  assert.deepEqual(sinks.map(({ name, kind }) => [name, kind]), [['chained', 'stream'], ['sums', 'stream'], ['reporting', 'sink']]);
  assert.equal(await daemon.stop(), 0);
  const { out } = await tailrace(['status', daemon.file, '--json']);
  const stopped = (JSON.parse(out) as { readonly sinks: readonly { readonly name: string; readonly lagBytes: number | null }[] }[])[0];
  // The log of a stream has no WAL to be measured in.
  assert.deepEqual(stopped?.sinks.map(({ name, lagBytes }) => [name, lagBytes !== null]), [['chained', false], ['sums', true], ['reporting', false]]);

  const other = await freshDatabase(t);
  const replay = (until: string): ReturnType<typeof tailrace> => tailrace(['replay', daemon.file, '--sink', 'reporting', '--to', other.url, '--until', until]);
  const early = await replay('2020-01-01');
  assert.deepEqual([early.code, /the log holds nothing of 2020-01-01/.test(early.err)], [4, true], 'what outputs begin with is of no time');
  const late = await replay('2999-01-01');
  assert.equal(late.code, 0, late.err);
  await outputsEqual(database, other, daemon, chainedQueries);

  // The input is begun anew, with rows gone meanwhile: what is behind it follows.
  await database.sql('DELETE FROM nopk WHERE s % 2 = 0');
  assert.equal((await tailrace(['streams', 'reset', 'sums', daemon.file, '--yes'])).code, 0);
  daemon.start();
  await daemon.streaming();
  await outputsEqual(database, replica, daemon, chainedQueries);
  assert.equal(await daemon.stop(), 0);

  assert.equal((await tailrace(['check', daemon.file])).code, 0);
  await writeFile(first, ledgerStream.replace("'twins'", "'doubles'"));
  const checked = await tailrace(['check', daemon.file]);
  assert.equal(checked.code, 3);
  assert.match(checked.out, /the stream chained reads public\.twins, which the stream sums does not give\n\s+→ sums gives public\.total, .*public\.doubles/);
  daemon.start();
  await eventually(async () => (await daemon.status()).sinks.find(({ name }) => name === 'chained')?.error?.code === 'stream-module', { what: 'the table that is not there to be said' });
  await daemon.kill();
  await writeFile(daemon.file, (await readFile(daemon.file, 'utf8')).replace('from: sums', 'from: chained'));
  assert.match((await tailrace(['check', daemon.file])).err, /streams\[0\]\.from: the stream reads its own results/);
});

import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { tailrace, TestDaemon } from '../support/daemon.ts';
import { sharedKafka, startKafka } from '../support/kafka.ts';
import { ledgerStream, outputsEqual } from '../support/ledger-stream.ts';
import { freshDatabase } from '../support/postgres.ts';
import { nameFor } from '../support/shop.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';
import { Ledger, ledgerSchema } from '../support/workload.ts';

const kafka = await sharedKafka();

test('topics copy: a stream in shards goes on with its state in another cluster, on a machine that has nothing of it; in an embedded log, without shards, it is computed anew and right', { skip: kafka.missing ?? false, timeout: 280_000 }, async (t) => {
  const other = await startKafka(t);
  if (other === undefined) return;
  const [source, replica] = [await freshDatabase(t), await freshDatabase(t)];
  await source.sql(ledgerSchema);
  const directory = await tempDirectory(t);
  await writeFile(join(directory, 'sums.ts'), ledgerStream);
  const fileWith = async (name: string, log: string, shards: string): Promise<string> => {
    const path = join(directory, name);
    await writeFile(path, `name: ${nameFor(source)}
source: { type: postgres, url: "${source.url}" }
format: tuple
log: ${log}
streams: [{ name: sums, module: ${join(directory, 'sums.ts')}, state: ${join(directory, 'state', 'sums.sqlite')}${shards} }]
sinks: [{ name: reporting, type: postgres, url: "${replica.url}", from: sums }]
`);
    return path;
  };
  const first = await fileWith('first.yaml', `{ type: kafka, brokers: [${kafka.brokers.join(', ')}] }`, ', shards: 3');
  const second = await fileWith('second.yaml', `{ type: kafka, brokers: [${other.addresses.join(', ')}] }`, ', shards: 3');
  const embedded = await fileWith('embedded.yaml', `{ type: embedded, directory: ${join(directory, 'log')} }`, '');
  const daemon = await TestDaemon.create(t, directory, '');
  const said = async (file: string): Promise<readonly string[]> => {
    const { code, out, err } = await tailrace(['consume', `${nameFor(source)}.stream.sums.public.writers`, file, '--from-beginning', '--format', 'json']);
    assert.equal(code, 0, err);
    return out.trim().split('\n').map((line) => {
      const { op, key, after } = JSON.parse(line) as Record<string, unknown>;
      return JSON.stringify([op, key, after]);
    });
  };

  daemon.start({}, { path: first });
  await daemon.streaming();
  const ledger = new Ledger(source.url, 41, 2, 20);
  await eventually(() => ledger.committed > 100, { what: 'enough transactions' });
  await ledger.stop();
  await outputsEqual(source, replica, daemon);
  assert.equal(await daemon.stop(), 0);
  const before = await said(first);

  const cut = await tailrace(['topics', 'copy', first, second], { NODE_ENV: 'test', TAILRACE_FAILPOINT: 'move.copied:kill9' });
  assert.equal(cut.code, null, cut.err);
  const moved = await tailrace(['topics', 'copy', first, second]);
  assert.equal(moved.code, 0, moved.err);
  assert.ok((await readdir(join(directory, 'state'))).length > 0);
  await rm(join(directory, 'state'), { recursive: true });
  daemon.start({}, { path: second });
  await daemon.streaming();
  await source.sql("INSERT INTO ledger (w, s, crc) VALUES (1, 1000000, md5('x')); UPDATE acct SET bal = bal + 1 WHERE id < 10");
  await outputsEqual(source, replica, daemon);
  const { sinks } = await daemon.status();
  assert.deepEqual(sinks.map(({ name, error }) => [name, error]), ['sums', 'sums.0', 'sums.1', 'sums.2', 'reporting'].map((name) => [name, null]));
  assert.equal(await daemon.stop(), 0);
  const behind = await said(second);
  assert.deepEqual(behind.slice(0, before.length), before);
  assert.equal(behind.length, before.length + 1, 'what it had said is not said again');

  const back = await tailrace(['topics', 'copy', second, embedded]);
  assert.equal(back.code, 0, back.err);
  daemon.start({}, { path: embedded });
  await daemon.streaming();
  await source.sql('DELETE FROM acct WHERE id > 40');
  await outputsEqual(source, replica, daemon);
  assert.equal(await daemon.stop(), 0);
});

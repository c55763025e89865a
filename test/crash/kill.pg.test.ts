import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ledgerSetting, type Setting } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';
import { Ledger, seeded } from '../support/workload.ts';

/** Each place in the protocol where the daemon can die, and how often it is passed before it does. */
const failpoints = [
  'publisher.slot_taken:kill9',
  'publisher.started:kill9',
  'snapshot.chunk_read:kill9:2',
  'snapshot.whole_read:kill9',
  'snapshot.unconfirmed:kill9:3',
  'log.group_written_unsynced:kill9:20',
  'log.synced_unpublished:kill9:20',
  'log.topic_half_written:kill9:20',
  'publisher.durable_unacked:kill9:20',
  'publisher.acked:kill9:20',
  'sink.begin:kill9:15',
  'sink.rows_uncommitted:kill9:15',
  'sink.committed:kill9:15',
];

for (const failpoint of failpoints) {
  test(`kill -9 at ${failpoint.split(':')[0]}: both replicas become equal after a restart`, async (t) => {
    const setting = await ledgerSetting(t);
    const ledger = new Ledger(setting.source.url, 11);
    setting.daemon.start({ TAILRACE_FAILPOINT: failpoint });
    assert.equal(await setting.daemon.exited(), null, 'the daemon died by the kill and not by itself');
    await ackedIsDurable(setting, async () => {
      setting.daemon.start();
      await setting.daemon.streaming();
    });
    await eventually(() => ledger.committed > 500, { what: 'enough transactions' });
    await ledger.stop();
    await setting.equal();
  });
}

test('kill -9 while a transaction is written that has no END yet: nothing of it is seen, and after a restart it comes whole', async (t) => {
  const setting = await ledgerSetting(t, { schema: `CREATE TABLE t (id int PRIMARY KEY, v text NOT NULL); INSERT INTO t VALUES (0, 'before')` });
  const { source, replica, daemon } = setting;
  daemon.start({ TAILRACE_FAILPOINT: 'sink.unfinished:kill9' });
  await daemon.streaming();
  await setting.equal(['t']);
  const state = { died: false };
  const exit = daemon.exited().then((code) => {
    state.died = true;
    return code;
  });
  const rows = 80_000;
  const count = async (): Promise<number> => Number((await replica.sql<{ n: string }>('SELECT count(*) AS n FROM t'))[0]?.n);
  // What tables are is said by the END alone: what was written before it, under the old shape, is given up. A sink that came too late for
  // a transaction has taken it whole, and gets the next one.
  for (let n = 0; !state.died; n++) {
    const row = (from: number, to: number): string => `SELECT n, repeat(md5(n::text), 3) FROM generate_series(${n * rows + from}, ${n * rows + to}) n`;
    await source.sql(`BEGIN; INSERT INTO t ${row(1, rows / 2)}; ALTER TABLE t ADD COLUMN w${n} int DEFAULT 7; INSERT INTO t ${row(rows / 2 + 1, rows)}; UPDATE t SET v = 'changed' WHERE id % 1000 = 0; COMMIT`);
    await eventually(async () => state.died || (await count()) === (n + 1) * rows + 1, { timeoutMs: 120_000, what: 'the transaction, or the kill' });
  }
  assert.equal(await exit, null, 'the daemon died by the kill and not by itself');
  assert.equal((await count()) % rows, 1, 'nothing of it is seen');
  daemon.start();
  await daemon.streaming();
  await setting.equal(['t']);
});

test('kill -9 at random moments, again and again under load: both replicas become equal', async (t) => {
  const seed = Number(process.env['TAILRACE_SEED'] ?? 1 + (Date.now() % 100_000));
  t.diagnostic(`TAILRACE_SEED=${seed}`);
  await randomKills(t, seed, Number(process.env['TAILRACE_ROUNDS'] ?? 8));
});

async function randomKills(t: TestContext, seed: number, rounds: number): Promise<void> {
  const random = seeded(seed);
  const setting = await ledgerSetting(t);
  const ledger = new Ledger(setting.source.url, seed, 4, 0);
  for (let round = 0; round < rounds; round++) {
    setting.daemon.start();
    // The moment is drawn, not waited for: some lives end before the daemon listens, some in the middle of a copy.
    await delay(300 + random() * 2200);
    await setting.daemon.kill();
  }
  await ackedIsDurable(setting, async () => {
    setting.daemon.start();
    await setting.daemon.streaming();
  });
  await eventually(() => ledger.committed > 1000, { what: 'enough transactions' });
  await ledger.stop();
  await setting.equal();
}

/** What the slot was told never exceeds what the log turns out to hold: else the start would be a gap. */
async function ackedIsDurable(setting: Setting, restart: () => Promise<void>): Promise<void> {
  const [before] = await setting.source.sql<{ flushed: string | null }>(
    'SELECT confirmed_flush_lsn::text AS flushed FROM pg_replication_slots WHERE database = current_database()',
  );
  await restart();
  const { source, error } = await setting.daemon.status();
  assert.equal(error, null);
  const [row] = await setting.source.sql<{ behind: boolean }>('SELECT $1::pg_lsn <= $2::pg_lsn AS behind', [before?.flushed ?? '0/0', source?.lastEnd]);
  assert.equal(row?.behind, true);
}

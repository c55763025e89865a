import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kafkaSetting } from '../support/kafka-shop.ts';
import { startKafka } from '../support/kafka.ts';
import { nameFor, type Setting } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';
import { Ledger } from '../support/workload.ts';

const mebibyte = 1 << 20;
const rowBytes = mebibyte / 4;
const rows = 160;
/** A group on its way and a full one behind it, 1 MiB each, and the rows that went over. */
const mostHeld = 3 * mebibyte;

interface Walsender {
  readonly pid: number;
  readonly replied: number;
  readonly blocked: boolean;
  /** The LSN up to which it has sent. */
  readonly sent: string;
}

async function walsender({ source }: Setting): Promise<Walsender> {
  const [row] = await source.sql<Walsender>(
    `SELECT r.pid, extract(epoch FROM r.reply_time)::float8 AS replied, a.wait_event = 'WalSenderWriteData' AS blocked, r.sent_lsn::text AS sent
     FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid JOIN pg_stat_activity a ON a.pid = r.pid WHERE slot_name = $1`,
    [`tailrace_${nameFor(source)}`],
  );
  if (row === undefined) throw new Error('nobody has the slot');
  return row;
}

async function now({ source }: Setting): Promise<number> {
  return (await source.sql<{ now: number }>('SELECT extract(epoch FROM clock_timestamp())::float8 AS now'))[0]?.now ?? 0;
}

/** So many looks in a row show the same, a tenth of a second apart: longer than a thread takes to report what it has taken. */
const looks = 30;

/** Writes 40 MiB, more than sockets hold, and waits until the server can send no more: what was taken by then is what is held. */
async function flood(setting: Setting, from: number): Promise<Walsender> {
  const taken = async (): Promise<number> => (await setting.daemon.status()).source?.events ?? 0;
  const before = await taken();
  await setting.source.sql(`INSERT INTO wide SELECT n, n, repeat('x', ${rowBytes}) FROM generate_series(${from}, ${from + rows - 1}) n`);
  let same = 0;
  let last = '';
  const { sender, held } = await eventually(async () => {
    // In passing the server waits for the socket under any load: that it waits for good shows in what it has sent.
    const seen = { sender: await walsender(setting), held: (await taken()) - before };
    const state = `${seen.sender.sent} ${seen.held}`;
    same = seen.sender.blocked && state === last ? same + 1 : 0;
    last = state;
    return same >= looks ? seen : undefined;
  }, { what: 'the publisher to stop reading' });
  assert.ok(held > 0 && held * rowBytes <= mostHeld, `${held} rows of ${rowBytes} bytes are held`);
  return sender;
}

test('the broker away: the publisher holds two groups and reads no more, the source is kept alive, and all goes on by itself when the broker is back', { timeout: 200_000 }, async (t) => {
  const cluster = await startKafka(t);
  const broker = cluster?.brokers[0];
  if (cluster === undefined || broker === undefined) return;
  const setting = await kafkaSetting(t, cluster.addresses);
  const { source, daemon } = setting;
  await source.sql(`ALTER DATABASE "${source.name}" SET wal_sender_timeout = '2s'`);
  daemon.start();
  await daemon.streaming();
  await setting.equal();

  // It stands still: requests are taken by the kernel, and nothing is answered.
  broker.signal('SIGSTOP');
  const stopped = await flood(setting, 10_000);
  // Writes go on behind it.
  const ledger = new Ledger(source.url, 31);
  const since = await now(setting);
  const alive = await eventually(async () => {
    const sender = await walsender(setting);
    return sender.replied > since + 5 ? sender : undefined;
  }, { what: 'keepalives to be answered for more than twice the time after which the server gives up' });
  assert.equal(alive.pid, stopped.pid, 'on the same connection');
  broker.signal('SIGCONT');
  await ledger.stop();
  assert.ok(ledger.committed > 0);
  await source.sql('DELETE FROM wide WHERE id >= 10000');
  await setting.equal();
  assert.equal((await walsender(setting)).pid, stopped.pid, 'the source never saw anything of it');

  // It is gone for longer than anybody waits: the slot is let go of, and the server keeps the WAL.
  await broker.kill();
  await flood(setting, 20_000);
  await eventually(async () => (await daemon.status()).error?.code === 'log-unreachable', { what: 'the publisher to give up', timeoutMs: 60_000 });
  await source.sql('DELETE FROM wide WHERE id >= 20000');
  const [slot] = await source.sql<{ kept: string }>('SELECT wal_status AS kept FROM pg_replication_slots WHERE slot_name = $1', [`tailrace_${nameFor(source)}`]);
  assert.equal(slot?.kept, 'reserved');
  await broker.start();
  await daemon.streaming();
  await setting.equal();
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kafkaSetting } from '../support/kafka-shop.ts';
import { startKafka } from '../support/kafka.ts';
import { startPostgres } from '../support/postgres.ts';
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

interface Slot {
  readonly kept: string;
  /** Of what the server may keep for it, what is left. */
  readonly left: number;
}

async function slot({ source }: Setting): Promise<Slot> {
  const [row] = await source.sql<Slot>(
    `SELECT wal_status AS kept, safe_wal_size::float8 / (safe_wal_size + pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) AS left
     FROM pg_replication_slots WHERE slot_name = $1`,
    [`tailrace_${nameFor(source)}`],
  );
  if (row === undefined) throw new Error('there is no slot');
  return row;
}

/** Fills the WAL until little is left for the slot, and waits until that is said, for the so-many-th time. */
async function runsShort(setting: Setting, times: number): Promise<void> {
  // Each goes on in the next segment of 16 MB.
  while ((await slot(setting)).left >= 0.25) await setting.source.sql("SELECT pg_logical_emit_message(false, 'fill', ''), pg_switch_wal()");
  const warnings = (): number => setting.daemon.output.split('the source is close to removing WAL that is not read yet').length - 1;
  await eventually(() => warnings() >= times, { what: `warning ${times} that WAL runs short`, timeoutMs: 30_000 });
  assert.equal(warnings(), times, 'once for each time that it does');
  assert.equal((await slot(setting)).kept, 'reserved', 'and nothing of it is lost');
}

test('the broker away: the publisher holds two groups and reads no more, the source is kept alive, WAL that runs short is told, and all goes on by itself when the broker is back', { timeout: 200_000 }, async (t) => {
  const cluster = await startKafka(t);
  const broker = cluster?.brokers[0];
  if (cluster === undefined || broker === undefined) return;
  const server = await startPostgres({ settings: { wal_sender_timeout: '2s', max_slot_wal_keep_size: '256MB' } }, t);
  const name = 't_broker_down';
  const database = { name, url: await server.createDatabase(name), sql: <Row>(text: string, params?: readonly unknown[]) => server.sql<Row>(text, params, name) };
  const setting = await kafkaSetting(t, cluster.addresses, { source: database, keys: '  delivery_timeout: 3s\n' });
  const { source, daemon } = setting;
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
  await runsShort(setting, 1);
  broker.signal('SIGCONT');
  await ledger.stop();
  assert.ok(ledger.committed > 0);
  await source.sql('DELETE FROM wide WHERE id >= 10000');
  await setting.equal();
  assert.equal((await walsender(setting)).pid, stopped.pid, 'the source never saw anything of it');

  // What was held is read, and the server lets go of it.
  await eventually(async () => {
    await source.sql('CHECKPOINT');
    return ((await daemon.status()).source?.walHeldBytes ?? Infinity) < 32 * mebibyte;
  }, { what: 'the WAL to be let go of', timeoutMs: 60_000 });

  // It is gone for longer than anybody waits: the slot is let go of, and the server keeps the WAL.
  await broker.kill();
  await source.sql(`INSERT INTO wide SELECT n, n, repeat('x', ${rowBytes}) FROM generate_series(20000, ${20_000 + rows - 1}) n`);
  await eventually(async () => (await daemon.status()).error?.code === 'log-unreachable', { what: 'the publisher to give up', timeoutMs: 60_000 });
  await source.sql('DELETE FROM wide WHERE id >= 20000');
  await runsShort(setting, 2);
  const shown = async (): Promise<boolean> => {
    const { source: seen } = await daemon.status();
    return seen?.slot === `tailrace_${nameFor(source)}` && (seen.walHeldBytes ?? 0) > 128 * mebibyte && seen.confirmedFlush !== null;
  };
  await eventually(shown, { what: 'what is kept for the slot, which nobody has, to be in status' });
  await daemon.kill();
  daemon.start();
  await eventually(shown, { what: 'that also of a daemon that has never reached its log', timeoutMs: 60_000 });
  await broker.start();
  await daemon.streaming();
  await setting.equal();
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RecordView } from '../../src/app/event-view.ts';
import { tailrace, type CommandResult } from '../support/daemon.ts';
import { ledgerSetting, nameFor } from '../support/shop.ts';
import { LogTransactions, logRecords } from '../support/transaction-oracle.ts';
import { eventually } from '../support/wait.ts';
import { Ledger } from '../support/workload.ts';

const places: ReadonlySet<string> = new Set(['topic', 'partition', 'offset', 'from_topic']);

/** An event without its place: what it is, of which transaction. */
function bare(event: RecordView): string {
  return JSON.stringify(Object.entries(event).filter(([name]) => !places.has(name)));
}

test('topics merge while a daemon writes the log, both killed again and again: all events are there once, in the order of their commits', async (t) => {
  const setting = await ledgerSetting(t);
  const { daemon, source } = setting;
  const name = nameFor(source);
  const merge = (environment: Readonly<Record<string, string>> = {}): Promise<CommandResult> =>
    tailrace(['topics', 'merge', `${name}.public.*`, daemon.file, '--into', `${name}.all`, '--json'], { NODE_ENV: 'test', ...environment });
  daemon.start();
  await daemon.streaming();
  const ledger = new Ledger(source.url, 31);
  const more = async (): Promise<void> => {
    const before = ledger.committed;
    await eventually(() => ledger.committed > before + 40, { what: 'more transactions' });
  };
  for (const point of ['merge.topic_made', 'merge.appended']) {
    await more();
    const killed = await merge({ TAILRACE_FAILPOINT: `${point}:kill9` });
    assert.equal(killed.code, null, killed.err);
  }
  // The append is durable, and nobody hears of it.
  await daemon.kill();
  daemon.start({ TAILRACE_FAILPOINT: 'request.appended:kill9' });
  await daemon.streaming();
  await more();
  const unanswered = await merge();
  assert.equal(unanswered.code, 3, unanswered.err);
  assert.equal(await daemon.exited(), null);
  daemon.start();
  await daemon.streaming();
  await more();
  assert.equal((await merge()).code, 0);
  await ledger.stop();
  await setting.equal();
  const last = await merge();
  assert.equal(last.code, 0, last.err);
  const { merged, before, after } = JSON.parse(last.out) as { merged: number; before: { records: number; bytes: number }; after: { records: number; bytes: number } };
  assert.equal(after.records, before.records + merged);
  assert.ok(merged === 0 || after.bytes > before.bytes);

  const expected = (await new LogTransactions(daemon.file, name).next()).flat();
  assert.ok(expected.length > 300, 'it was about something');
  // Copies are left out there: their rows, and the truncate that one without a key begins with.
  const all = (await logRecords(daemon.file, `${name}.all`)).filter(({ op, half }) => op !== 'r' && op !== 't' && half !== 'old');
  assert.deepEqual(all.map(bare), expected.map(bare));
});

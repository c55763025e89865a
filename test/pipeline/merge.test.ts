import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TransactionsMark } from '../../src/pipeline/merge/mark.ts';
import { TransactionSource } from '../../src/pipeline/merge/transaction-source.ts';
import { HeaderReader, headerName } from '../../src/pipeline/record-header.ts';
import { at, emptyEnd, end, origin, partOf, start, startA, startB, WrittenLog } from './written-log.ts';

const header = new HeaderReader();

/** Everything that a source hands out, transaction by transaction; `most` cuts it off as a kill would, behind that many events. */
async function taken(log: WrittenLog, mark: TransactionsMark | null = null, most = Number.POSITIVE_INFINITY): Promise<{ readonly told: readonly string[]; readonly mark: TransactionsMark }> {
  const name = { log: log.writer.logId, writer: 'shop', topics: ['shop.public.*'] };
  const source = await TransactionSource.open({ reader: log.reader, name, mark, shapes: null, isForeign: false });
  const told: string[] = [];
  while ((await source.next()) !== null) {
    for await (const { headers } of source.take()) {
      const bytes = headers.find(([of]) => of === headerName)?.[1] as Uint8Array;
      const { commitLsn, ordinal, op } = header.reset({ bytes, start: 0, end: bytes.length });
      told.push(`${commitLsn}.${ordinal} ${op}`);
      if (told.length === most) return { told, mark: source.mark() };
    }
  }
  return { told, mark: source.mark() };
}

test('merging: of each transaction that counts its events by ordinal, over all partitions, a truncate once; copies for single sinks and what no valid END names are left out', async (t) => {
  const log = await WrittenLog.open(t);
  const event = (commitLsn: bigint, ordinal: number, more = {}) => ({ startId: startA, commitLsn, ordinal, ...more });
  await log.eventsIn(0, event(0x10n, 0), event(0x10n, 0), { ...event(0x10n, 1), startId: startB }, event(0x10n, 3, { op: 't' }), event(0x10n, 4));
  await log.eventsIn(1, event(0x10n, 2), event(0x10n, 3, { op: 't' }));
  await log.eventsIn(2, event(0x18n, 0), event(0x20n, 0), event(0x30n, 0));
  const snapshot = { record: 'r', table: 'public.t', first: true, last: true, sink: 'local' };
  await log.write('shop.transaction',
    start(1, startA),
    end(startA, at(1, 0x10n), origin, { parts: [partOf(3, 0, 4), partOf(2, 0, 1, { partition: 1 })] }),
    end(startB, at(1, 0x18n), at(1, 0x10n), { parts: [partOf(1, 0, 0, { partition: 2 })] }),
    end(startA, at(1, 0x20n), at(1, 0x10n), { parts: [partOf(1, 1, 1, { partition: 2 })], snapshot }),
    emptyEnd(startA, at(1, 0x20n), 0x28n),
    end(startA, at(1, 0x30n), at(1, 0x20n), { parts: [partOf(1, 2, 2, { partition: 2 })] }),
  );
  const all = ['16.0 c', '16.2 c', '16.3 t', '16.4 c', '48.0 c'];
  const { told, mark } = await taken(log);
  assert.deepEqual(told, all);
  assert.deepEqual((await taken(log, mark)).told, []);
  // Cut off behind each event, it goes on with the next.
  for (let most = 1; most <= all.length; most++) {
    const cut = await taken(log, null, most);
    assert.deepEqual([...cut.told, ...(await taken(log, cut.mark)).told], all, `cut off behind ${most}`);
  }
});

test('merging: a log in which the transaction that was begun, or the one that came last, is not there any more is a gap', async (t) => {
  const log = await WrittenLog.open(t);
  await log.events({ startId: startA, commitLsn: 0x10n, ordinal: 0 }, { startId: startA, commitLsn: 0x10n, ordinal: 1 }, { startId: startA, commitLsn: 0x20n, ordinal: 0 });
  await log.write('shop.transaction', start(1, startA), end(startA, at(1, 0x10n), origin, { parts: [partOf(2, 0, 1)] }), end(startA, at(1, 0x20n), at(1, 0x10n), { parts: [partOf(1, 2, 2)] }));
  const { mark } = await taken(log, null, 1);
  await assert.rejects(taken(log, { ...mark, open: { epoch: 1, commitLsn: 0x8n, events: 1 } }), { code: 'gap', message: /the transaction that was being merged is not in the log any more/ });
  const { mark: whole } = await taken(log);
  assert.ok(whole.behind !== null);
  await assert.rejects(taken(log, { ...whole, behind: { ...whole.behind, commitLsn: 0x40n } }), { code: 'gap', message: /transactions of shop are missing that were not merged yet/ });
});

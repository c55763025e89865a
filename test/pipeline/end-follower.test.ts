import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Position } from '../../src/event/position.ts';
import type { EndRecord, TransactionRecord } from '../../src/pipeline/control-records.ts';
import { EndFollower } from '../../src/pipeline/end-follower.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { at, emptyEnd, end, origin, partOf, positionAt, progress, start, startA, startB, WrittenLog } from './written-log.ts';

async function follow(log: WrittenLog, position: Position | null = null): Promise<EndFollower> {
  return EndFollower.behind(log.reader, 'shop.transaction', position);
}

async function commits(follower: EndFollower): Promise<bigint[]> {
  return (await follower.next(1 << 20, 100)).map((step) => step.end.commitLsn);
}

function isGap(...words: readonly string[]): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TailraceError && error.code === 'gap', String(error));
    for (const word of words) assert.ok(error.message.includes(word), `${error.message} does not say ${word}`);
    return true;
  };
}

/** A START and three transactions, at 0x10, 0x20 and 0x30. */
const three: readonly TransactionRecord[] = [
  start(1, startA), emptyEnd(startA, origin, 5n), end(startA, at(1, 0x10n), origin), end(startA, at(1, 0x20n), at(1, 0x10n)), end(startA, at(1, 0x30n), at(1, 0x20n)),
];

test('END: the chain: a reader takes each END that names the one before it, from the first that names its own position', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three);
  assert.deepEqual(await commits(await follow(log)), [0n, 0x10n, 0x20n, 0x30n]);
  const reader = await follow(log, positionAt(log.reader, startA, at(1, 0x10n)));
  assert.deepEqual(await commits(reader), [0x20n, 0x30n]);
  await log.write('shop.transaction', start(2, startB), end(startB, at(2, 0x08n), at(1, 0x30n)));
  assert.deepEqual(await commits(reader), [0x08n], 'commit LSNs of two epochs are not compared');
});

test('END: a broken chain is a gap, and the message names both places', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three);
  const reader = await follow(log);
  await commits(reader);
  await log.write('shop.transaction', end(startA, at(1, 0x50n), at(1, 0x40n)));
  await assert.rejects(commits(reader), isGap('0/30 (epoch 1)', '0/40 (epoch 1)', '0/50', 'offset 5'));
});

test('END: the same commit LSN of another epoch is another place in the chain', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three, start(3, startB), end(startB, at(3, 0x40n), at(2, 0x30n)));
  await assert.rejects(commits(await follow(log)), isGap('0/30 (epoch 1)', '0/30 (epoch 2)'));
});

test('END: the first one behind a position that names another is a gap: retention has passed the reader', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three);
  const far = positionAt(log.reader, startA, at(1, 0x08n));
  await assert.rejects(commits(await follow(log, far)), isGap('0/8 (epoch 1)', '0/10', '0/0 (epoch 0)'));
});

test('END: one without events is no link, moves nobody and names no place of its own', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three.slice(0, 3), emptyEnd(startA, at(1, 0x10n), 0x18n), emptyEnd(startA, at(1, 0x10n), 0x20n), end(startA, at(1, 0x20n), at(1, 0x10n)));
  const steps = await (await follow(log, positionAt(log.reader, startA, at(1, 0x10n)))).next(1 << 20, 100);
  assert.deepEqual(steps.map((step) => [step.end.commitLsn, step.end.parts.length]), [[0x20n, 1]]);
});

test('START: the ENDs of a zombie are void for readers, and so are those of a void START', async (t) => {
  const log = await WrittenLog.open(t);
  const zombie = '0000000000000099';
  await log.write(
    'shop.transaction', ...three, start(1, zombie), end(zombie, at(1, 0x38n), at(1, 0x30n)), start(2, startB),
    end(startA, at(1, 0x40n), at(1, 0x30n)), end(startB, at(2, 0x40n), at(1, 0x30n)), end(startA, at(1, 0x50n), at(1, 0x40n)),
  );
  assert.deepEqual(await commits(await follow(log)), [0n, 0x10n, 0x20n, 0x30n, 0x40n]);
  for (const offset of [0, 4]) {
    const reader = await follow(log, positionAt(log.reader, startA, at(1, 0x30n), { offset }));
    const steps = await reader.next(1 << 20, 100);
    assert.deepEqual(steps.map((step) => [step.end.epoch, step.end.startId]), [[2, startB]]);
  }
});

test('gap: a START that lets one pass is a new beginning: the chain begins anew, whatever the position', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three, start(2, startB, { gap: 'something was missing', systemIdentifier: '8' }), emptyEnd(startB, at(2, 0n), 0x100n), end(startB, at(2, 0x08n), at(2, 0n)));
  const reader = await follow(log, positionAt(log.reader, startA, at(1, 0x20n)));
  const steps = await reader.next(1 << 20, 100);
  assert.deepEqual(steps.map((step) => [step.end.epoch, step.end.commitLsn, step.systemIdentifier]), [[1, 0x30n, '7'], [2, 0n, '8'], [2, 8n, '8']]);
});

test('gap: a START that lets one pass does not mend a chain that is broken behind it', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three, start(2, startB, { gap: 'something' }), emptyEnd(startB, at(2, 0n), 0x100n), end(startB, at(2, 0x80n), at(2, 0x70n)));
  await assert.rejects(commits(await follow(log)), isGap('0/0 (epoch 2)', '0/70 (epoch 2)'));
});

test('the position\'s hint: right, wrong, missing or beyond the log\'s end, the reader goes on at the same place', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three);
  for (const offset of [3, 2, 4, 0, 5, 1000, -1]) {
    assert.deepEqual(await commits(await follow(log, positionAt(log.reader, startA, at(1, 0x20n), { offset }))), [0x30n], `hint ${offset}`);
    assert.deepEqual(await commits(await follow(log, positionAt(log.reader, startA, at(1, 0x10n), { offset }))), [0x20n, 0x30n], `hint ${offset}`);
  }
});

test('Identity: what lies before a position is told by the epoch first, however the commit LSNs stand', async (t) => {
  const log = await WrittenLog.open(t);
  const anew = [start(2, startB, { gap: 'another server' }), emptyEnd(startB, at(2, 0n), 1n), end(startB, at(2, 0x08n), at(2, 0n)), end(startB, at(2, 0x18n), at(2, 0x08n))];
  await log.write('shop.transaction', ...three, ...anew);
  for (const offset of [7, 99]) assert.deepEqual(await commits(await follow(log, positionAt(log.reader, startB, at(2, 0x08n), { offset }))), [0x18n], `hint ${offset}`);
});

test('the position\'s hint saves reading what lies before it', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three);
  assert.equal((await follow(log, positionAt(log.reader, startA, at(1, 0x20n), { offset: 3 }))).offset, 3);
  assert.equal((await follow(log, positionAt(log.reader, startB, at(1, 0x20n), { offset: 3 }))).offset, 0, 'an END of another START');
});

test('a position of another log is a gap, before anything is read', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three);
  await assert.rejects(follow(log, positionAt(log.reader, startA, at(1, 0x20n), { logId: 'another' })), isGap('another', log.reader.logId ?? ''));
});

test('a batch ends at its limits of bytes and of steps, and a transaction that is larger comes alone', async (t) => {
  const log = await WrittenLog.open(t);
  const sized = (commit: bigint, before: bigint, bytes: number): EndRecord => end(startA, at(1, commit), before === 0n ? origin : at(1, before), { parts: [partOf(1, 0, 0, { bytes })] });
  await log.write('shop.transaction', start(1, startA), sized(1n, 0n, 40), sized(2n, 1n, 60), sized(3n, 2n, 1), sized(4n, 3n, 1000), sized(5n, 4n, 10), sized(6n, 5n, 10));
  const reader = await follow(log);
  const batches: bigint[][] = [];
  for (let batch = await reader.next(100, 2); batch.length > 0; batch = await reader.next(100, 2)) batches.push(batch.map((step) => step.end.commitLsn));
  assert.deepEqual(batches, [[1n, 2n], [3n], [4n], [5n, 6n]]);
});

test('a step says where its END stands: that is the next position\'s hint', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three);
  const steps = await (await follow(log)).next(1 << 20, 100);
  assert.deepEqual(steps.map(({ offset, systemIdentifier }) => [offset, systemIdentifier]), [[1, '7'], [2, '7'], [3, '7'], [4, '7']]);
});

test('PROGRESS: a follower knows what the log holds of the transaction behind the last step, until its END or another START', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three, progress(startA, at(1, 0x40n), 1), progress(startA, at(1, 0x40n), 2));
  const reader = await follow(log);
  const known = async (...more: readonly TransactionRecord[]): Promise<unknown> => {
    if (more.length > 0) await log.write('shop.transaction', ...more);
    await commits(reader);
    const { end: of, offset } = reader.unfinished ?? {};
    return of && [of.commitLsn, of.parts[0]?.count, offset];
  };
  assert.deepEqual(await known(), [0x40n, 2, 6]);
  assert.equal(await known(end(startA, at(1, 0x40n), at(1, 0x30n))), undefined, 'it is complete');
  assert.equal(await known(progress(startA, at(1, 0x40n), 3)), undefined, 'of one that is complete');
  assert.equal(await known(progress(startB, at(1, 0x50n), 1)), undefined, 'of no START that counts');
  assert.deepEqual(await known(progress(startA, at(1, 0x50n), 1)), [0x50n, 1, 10]);
  assert.equal(await known(start(2, startB)), undefined, 'nobody will end it');
  assert.equal(await known(progress(startA, at(1, 0x50n), 2)), undefined, 'of a publisher that was replaced');
  assert.deepEqual(await known(progress(startB, at(2, 0x50n), 1)), [0x50n, 1, 13]);
  assert.equal(await known(start(3, startA, { gap: 'x' }), progress(startA, at(3, 0x60n), 1)), undefined, 'the first one behind a gap is taken whole');
});

test('PROGRESS: a position may point at one of its transaction: the END is found behind it', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three, progress(startA, at(1, 0x40n), 1), end(startA, at(1, 0x40n), at(1, 0x30n)), end(startA, at(1, 0x50n), at(1, 0x40n)));
  const reader = await follow(log, positionAt(log.reader, startA, at(1, 0x40n), { offset: 5 }));
  assert.equal(reader.offset, 5);
  assert.deepEqual(await commits(reader), [0x50n]);
});

test('waiting ends when there is more', async (t) => {
  const log = await WrittenLog.open(t);
  await log.write('shop.transaction', ...three);
  const reader = await follow(log);
  await commits(reader);
  const waiting = reader.wait(new AbortController().signal);
  await log.write('shop.transaction', end(startA, at(1, 0x40n), at(1, 0x30n)));
  await waiting;
  assert.deepEqual(await commits(reader), [0x40n]);
});

test('what there is comes at once, over segments and full fetches, and a log that is written all the time does not keep it back', async (t) => {
  const log = await WrittenLog.open(t);
  const asked = { ranges: 0, fetches: 0 };
  const { reader } = log;
  let commit = 0n;
  const more = async (count: number): Promise<void> => {
    const ends = Array.from({ length: count }, () => end(startA, at(1, ++commit), commit === 1n ? origin : at(1, commit - 1n)));
    await log.write('shop.transaction', ...ends);
  };
  await log.write('shop.transaction', start(1, startA));
  log.writer.roll?.('shop.transaction', 0);
  await more(1500);
  await more(1500);
  const follower = await EndFollower.behind({
    ...reader, topics: () => reader.topics(), sizes: (spec) => reader.sizes(spec), wait: (...args) => reader.wait(...args), offsetAt: (...args) => reader.offsetAt(...args), close: () => reader.close(),
    range: (...args) => {
      asked.ranges++;
      return reader.range(...args);
    },
    fetch: async (...args) => {
      asked.fetches++;
      if (asked.fetches > 20) throw new Error('it reads on and on');
      const cursor = await reader.fetch(...args);
      await more(10);
      return cursor;
    },
  }, 'shop.transaction', null);
  assert.ok((await follower.next(1 << 30, 10_000)).length >= 3000, 'the START by itself in a segment of its own is no end');
  Object.assign(asked, { ranges: 0, fetches: 0 });
  assert.equal((await follower.next(1 << 30, 10_000)).length, 10);
  assert.deepEqual(asked, { ranges: 0, fetches: 1 }, 'the fetch says that it was the last one');
});

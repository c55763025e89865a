import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EndRecord, StartRecord, TransactionRecord } from '../../src/pipeline/control-records.ts';
import { StartRule } from '../../src/pipeline/start-rule.ts';

function start(epoch: number, startId: string): StartRecord {
  return { type: 'start', logId: 'x', epoch, startId, systemIdentifier: '7', timeline: 1, slot: 's', tables: [], continues: null, gap: null };
}

function end(startId: string, epoch: number): EndRecord {
  const place = { epoch, commitLsn: 1n };
  return { type: 'end', startId, ...place, endLsn: 2n, commitTime: 0n, previous: place, parts: [], snapshot: null };
}

function verdicts(records: readonly TransactionRecord[], behind: { startId: string; epoch: number } | null = null): string[] {
  const rule = new StartRule(behind);
  return records.map((record) => rule.accept(record));
}

test('a START is valid if its epoch is above every one before it; one of the same or a lower epoch is void', () => {
  assert.deepEqual(verdicts([start(1, 'a'), start(2, 'b'), start(2, 'c'), start(1, 'd'), start(3, 'e')]), ['start', 'start', 'void', 'void', 'start']);
});

test('a void START does not end the valid one: its ENDs go on counting, the void one\'s never do', () => {
  assert.deepEqual(verdicts([start(5, 'a'), end('a', 5), start(5, 'b'), end('b', 5), end('a', 5)]), ['start', 'end', 'void', 'void', 'end']);
});

test('ENDs of an older START count before a newer START and are void behind it: a zombie is never named', () => {
  assert.deepEqual(verdicts([start(1, 'a'), end('a', 1), start(2, 'b'), end('a', 1), end('b', 2), end('a', 1)]), ['start', 'end', 'start', 'void', 'end', 'void']);
});

test('before the oldest START that is still held, the ENDs are those of the START that retention has removed', () => {
  assert.deepEqual(verdicts([end('a', 4), end('z', 3), end('a', 4), start(5, 'b'), end('a', 4), end('b', 5)]), ['end', 'void', 'end', 'start', 'void', 'end']);
});

test('a reader that begins behind an END knows its START, and a START of the same epoch is void to it', () => {
  assert.deepEqual(verdicts([end('z', 3), end('a', 4), start(4, 'b'), end('b', 4), end('a', 4)], { startId: 'a', epoch: 4 }), ['void', 'end', 'void', 'void', 'end']);
});

test('any topic: an END counts exactly if it is of the last START before it that is above all STARTs before that', () => {
  const ids = ['a', 'b', 'c', 'd'];
  const record = fc.oneof(
    fc.record({ type: fc.constant('start'), epoch: fc.integer({ min: 1, max: 6 }), id: fc.constantFrom(...ids) }),
    fc.record({ type: fc.constant('end'), epoch: fc.integer({ min: 1, max: 6 }), id: fc.constantFrom(...ids) }),
  );
  fc.assert(fc.property(fc.array(record, { maxLength: 30 }), (tail) => {
    const written = [{ type: 'start', epoch: 1, id: 'first' }, ...tail];
    const valid = written.map(({ type, epoch }, i) => type === 'start' && written.slice(0, i).every((before) => before.type === 'end' || before.epoch < epoch));
    const expected = written.map(({ type, id }, i) => {
      if (type === 'start') return valid[i] === true ? 'start' : 'void';
      return written[valid.lastIndexOf(true, i)]?.id === id ? 'end' : 'void';
    });
    assert.deepEqual(verdicts(written.map(({ type, epoch, id }) => (type === 'start' ? start(epoch, id) : end(id, epoch)))), expected);
  }));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StartRecord } from '../../src/pipeline/control-records.ts';
import { CurrentStart } from '../../src/pipeline/current-start.ts';

const record: StartRecord = {
  type: 'start', logId: 'x', epoch: 3, startId: '00112233445566aa', systemIdentifier: '7', timeline: 2, slot: 's', tables: ['public.t'], continues: null, gap: 'something',
};

test('retention: nothing goes until an END of the last START is durable, then what stands before that START may', () => {
  const start = new CurrentStart(record, 40);
  assert.equal(start.cornerstone, 0);
  start.endIsDurable('ffffffffffffffff');
  assert.equal(start.cornerstone, 0, 'an END of another START');
  start.endIsDurable(record.startId);
  assert.equal(start.cornerstone, 40);
  start.renew({ epoch: 3, commitLsn: 5n, endLsn: 6n }, 90);
  assert.equal(start.cornerstone, 0, 'the new START has no END yet');
  start.endIsDurable(record.startId);
  assert.equal(start.cornerstone, 0);
  start.endIsDurable(start.record.startId);
  assert.equal(start.cornerstone, 90);
});

test('START: a renewed one has the next epoch and an id of its own, continues from the last END, and lets no gap pass', () => {
  const start = new CurrentStart(record, 40);
  assert.equal(start.isDue, false);
  start.request();
  assert.equal(start.isDue, true);
  const continues = { epoch: 3, commitLsn: 5n, endLsn: 6n };
  const renewed = start.renew(continues, 90);
  assert.equal(start.isDue, false);
  assert.deepEqual(renewed, { ...record, epoch: 4, startId: renewed.startId, continues, gap: null });
  assert.notEqual(renewed.startId, record.startId);
  assert.deepEqual(Buffer.from(start.idBytes).toString('hex'), renewed.startId);
});

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import { eachInOrder } from '../../src/runtime/each-in-order.ts';

test('results come in the order of the items, however long each takes, and no more than the limit run at once', async () => {
  const told: number[] = [];
  let running = 0;
  let most = 0;
  await eachInOrder([5, 1, 4, 1, 3, 2, 0], {
    limit: 3,
    work: async (turns) => {
      most = Math.max(most, ++running);
      for (let i = 0; i < turns; i++) await setImmediate();
      running--;
      return turns;
    },
    done: (result) => void told.push(result),
  });
  assert.deepEqual(told, [5, 1, 4, 1, 3, 2, 0]);
  assert.equal(most, 3);
});

test('after an error nothing more is begun, and it is thrown when what was begun has ended', async () => {
  const begun: number[] = [];
  let ended = 0;
  const work = async (item: number): Promise<void> => {
    begun.push(item);
    if (item === 1) throw new Error('one');
    for (let i = 0; i < 5; i++) await setImmediate();
    ended++;
  };
  await assert.rejects(eachInOrder([0, 1, 2, 3], { limit: 2, work, done: () => {} }), /one/);
  assert.deepEqual(begun, [0, 1]);
  assert.equal(ended, 1);
});

test('nothing to do is done at once', async () => {
  await eachInOrder([], { limit: 4, work: () => Promise.reject(new Error('nothing was asked for')), done: () => assert.fail() });
});

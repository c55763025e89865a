import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dealOut } from '../../../src/log/kafka/share.ts';

const bytes = (tasks: readonly string[]): Buffer => Buffer.from(JSON.stringify(tasks));
const dealt = (tasks: readonly string[], held: ReadonlyMap<string, readonly string[]>): Map<string, string[]> =>
  new Map(dealOut(tasks, [...held].map(([id, theirs]) => ({ id, metadata: bytes(theirs) }))).map(({ member, assignment }) => [member, JSON.parse(Buffer.from(assignment).toString()) as string[]]));

test('tasks are dealt out evenly, nobody gets what another is still at, and what needs not move stays', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(6), { minLength: 9, maxLength: 9 }), (count, workers, owners) => {
      const tasks = Array.from({ length: count }, (_, i) => `t${i}`);
      // Some are at tasks, some tasks are nobody's.
      const held = new Map<string, readonly string[]>(Array.from({ length: workers }, (_, w) => [`w${w}`, tasks.filter((__, i) => owners[i] === w)]));
      const first = dealt(tasks, held);
      const all = [...first.values()].flat();
      assert.equal(new Set(all).size, all.length, 'no task is dealt to two');
      for (const [worker, theirs] of held) for (const task of theirs) for (const [other, got] of first) assert.ok(other === worker || !got.includes(task), `${task} is still with ${worker}`);
      // What has to be given up has ended, and they join once more.
      const second = dealt(tasks, first);
      assert.deepEqual([...second.values()].flat().sort(), tasks);
      const sizes = [...second.values()].map(({ length }) => length);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, sizes.join());
      for (const [worker, got] of first) for (const task of got) assert.ok(second.get(worker)?.includes(task), `${task} stays with ${worker}`);
      assert.deepEqual(dealt(tasks, second), second);
    }),
  );
});

test('a task that two say they are at is left to one, and what is no task of the group to nobody', () => {
  assert.deepEqual([...dealt(['a', 'b'], new Map([['w0', ['a', 'x']], ['w1', ['a']]])).values()].flat().sort(), ['a', 'b']);
});

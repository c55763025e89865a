import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { Log } from '../../src/log/log.ts';
import { eventually } from '../support/wait.ts';
import { lastFirst } from './log-samples.ts';

interface Scope {
  after(fn: () => unknown): void;
}

/** What src/log/groups.ts says, for any log. `prefix`: in front of its topics. */
export function groupsContract(name: string, create: (scope: Scope) => Promise<{ readonly log: Log; readonly prefix: string }>, missing?: string): void {
  suite(`${name} keeps groups by the contract`, { skip: missing ?? false }, () => {
    test('offsets are kept by partition until they are forgotten, and a group that is not there has none', async (t) => {
      const scope = lastFirst(t);
      const { log, prefix } = await create(scope);
      const group = `g-${prefix}é`;
      const writer = await log.openWriter();
      await writer.createTopic({ topic: `${prefix}t`, partitions: 2 });
      await writer.close();
      const groups = await log.openGroups();
      scope.after(() => groups.close());
      const at = (partition: number, offset: number): { topic: string; partition: number; offset: number } => ({ topic: `${prefix}t`, partition, offset });
      assert.deepEqual(await groups.read(group), []);
      await groups.commit(group, [at(1, 7)]);
      await groups.commit(group, [at(0, 3), at(1, 8)]);
      const again = await log.openGroups();
      scope.after(() => again.close());
      assert.deepEqual(await again.read(group), [at(0, 3), at(1, 8)]);
      assert.deepEqual(await again.names(), [group]);
      await again.forget(group);
      await again.forget(group);
      assert.deepEqual(await groups.read(group), []);
      assert.deepEqual(await groups.names(), []);
    });

    test('one at a time holds a group, and the next one when it is released; others are free', { timeout: 60_000 }, async (t) => {
      const scope = lastFirst(t);
      const { log, prefix } = await create(scope);
      await (await log.openWriter()).close();
      const groups = await log.openGroups();
      scope.after(() => groups.close());
      const never = new AbortController();
      const first = await groups.hold(`${prefix}a`, never.signal);
      const other = await groups.hold(`${prefix}b`, never.signal);
      let second: Awaited<typeof first> | undefined;
      const waiting = groups.hold(`${prefix}a`, never.signal).then((lead) => (second = lead));
      await other.release();
      assert.equal(second, undefined);
      await first.release();
      await eventually(() => second !== undefined, { what: 'the second holder', timeoutMs: 30_000 });
      await (await waiting).release();
      const stop = new AbortController();
      const held = await groups.hold(`${prefix}a`, never.signal);
      const given = groups.hold(`${prefix}a`, stop.signal);
      stop.abort();
      await assert.rejects(given);
      await held.release();
    });
  });
}

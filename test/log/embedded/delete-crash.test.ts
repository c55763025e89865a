import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import { batchOf, record, valuesOf } from '../../contract/log-samples.ts';
import { tempDirectory } from '../../support/temp.ts';

/** Opens the log in another process, which dies where the failpoint says while it does this. */
async function die(directory: string, failpoint: string, what: string): Promise<void> {
  const program = `const { openEmbeddedLog } = await import(${JSON.stringify(new URL('../../../src/log/embedded/embedded-log.ts', import.meta.url).href)});
const writer = await openEmbeddedLog({ directory: ${JSON.stringify(directory)} }).openWriter();
await ${what};`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, NODE_ENV: 'test', TAILRACE_FAILPOINT: `${failpoint}:kill9` } });
  const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  assert.equal(signal, 'SIGKILL', `${failpoint} was reached`);
}

for (const [point, left] of [['log.delete_marked', 'whole'], ['log.delete_rotated', 'whole'], ['log.delete_unknown', 'gone'], ['log.delete_renamed', 'gone']] as const) {
  test(`kill -9 at ${point} leaves the topic ${left}, and the log goes on`, async (t) => {
    const directory = join(await tempDirectory(t), 'log');
    const log = openEmbeddedLog({ directory });
    const writer = await log.openWriter();
    for (const topic of ['t', 'other']) await writer.createTopic({ topic, partitions: 1 });
    await writer.append([batchOf(writer, ['t', 0], [record('a')]), batchOf(writer, ['other', 0], [record('b')])]);
    await writer.close();
    await die(directory, point, "writer.deleteTopic('t')");
    // Twice: what recovery leaves is a log like any other.
    for (const round of [1, 2]) {
      const again = await log.openWriter();
      assert.equal(again.topics().some(({ topic }) => topic === 't'), left === 'whole');
      await again.append([batchOf(again, ['other', 0], [record(`round ${round}`)])]);
      await again.close();
    }
    const reader = await log.openReader();
    assert.deepEqual(await valuesOf(reader, ['other', 0]), ['b', 'round 1', 'round 2']);
    if (left === 'whole') assert.deepEqual(await valuesOf(reader, ['t', 0]), ['a']);
    await reader.close();
    assert.deepEqual(readdirSync(join(directory, 'topics')).toSorted(), left === 'whole' ? ['other', 't'] : ['other']);
    if (left === 'whole') assert.ok(!readdirSync(join(directory, 'topics', 't')).includes('deleted'), 'the mark is gone: a later crash must not delete it');
  });
}

test('kill -9 while partitions are added leaves as many as there were, and they can be added then', async (t) => {
  const directory = join(await tempDirectory(t), 'log');
  const log = openEmbeddedLog({ directory });
  const writer = await log.openWriter();
  await writer.createTopic({ topic: 't', partitions: 1 });
  await writer.append([batchOf(writer, ['t', 0], [record('a')])]);
  await writer.close();
  await die(directory, 'log.partitions_made', "writer.alterTopic('t', { partitions: 2 })");
  const again = await log.openWriter();
  assert.deepEqual(again.topics(), [{ topic: 't', partitions: 1 }]);
  await again.alterTopic('t', { partitions: 2 });
  await again.append([batchOf(again, ['t', 1], [record('b')])]);
  await again.close();
  const reader = await log.openReader();
  assert.deepEqual(await valuesOf(reader, ['t', 1]), ['b']);
  await reader.close();
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tailrace as asProcess } from '../support/daemon.ts';
import { consume } from '../../src/app/consume.ts';
import { ConsumingGroup, withGroups } from '../../src/app/consuming-group.ts';
import { requirePipelines } from '../../src/config/load.ts';
import type { Said } from './fake-terminal.ts';
import { groupCommands, produceCommands, toolsOn, topicCommands, type Tools } from './log-tools.ts';

const tools = (): Promise<Tools> => toolsOn((directory) => `{ type: embedded, directory: ${directory} }`, 'shop');

topicCommands('the embedded log', tools);
groupCommands('the embedded log', tools);
produceCommands('the embedded log', tools);

test('a topic that people produce to is compacted by hand, and what it took and takes is said', async () => {
  const { run } = await tools();
  await run(['topics', 'create', 'clicks']);
  const produce = (from: number): ReturnType<Tools['run']> => run(['produce', 'clicks', '--property', 'parse.key=true', '--property', 'key.separator=:'], { input: Array.from({ length: 300 }, (_, i) => `k${i % 7}:${from + i} ${'x'.repeat(200)}\n`) });
  assert.equal((await produce(0)).code, 0);
  assert.equal((await produce(300)).code, 0);
  const said = await run(['topics', 'compact', 'clicks']);
  assert.equal(said.code, 0, said.err);
  assert.match(said.out, /^shop\.clicks was compacted: 1\d\d [kK]i?B in 2 segments before, \d[\d.]* [kK]i?B in 2 segments now\n$/);
  const { out } = await run(['consume', 'clicks', '--from-beginning', '--format', 'json']);
  const kept = out.trim().split('\n').map((line) => JSON.parse(line) as { offset: number });
  assert.deepEqual(kept.map(({ offset }) => offset), [593, 594, 595, 596, 597, 598, 599]);
  for (const [topic, remedy] of [['public.items', /take an event that is missing for lost[^]*Let a stream map the table, and set cleanup: compact/], ['transaction', /Only topics that people produce to/]] as const) {
    const refused = await run(['topics', 'compact', topic]);
    assert.equal(refused.code, 2);
    assert.match(refused.err, remedy);
  }
  assert.match((await run(['topics', 'compact', 'clicks', '--delete-retention', 'soon'])).err, /a duration such as/);
});

test('what only Kafka has is refused on the embedded log', async () => {
  const { run } = await tools();
  for (const args of [['--config', 'retention.ms=1'], ['--replication-factor', '3']]) {
    const said = await run(['topics', 'create', 'clicks', ...args]);
    assert.equal(said.code, 2);
    assert.match(said.err, /is Kafka's: topics of the embedded log/);
  }
});

test('kill -9 between what a group was given and its offset: it gets that again, and nothing is passed over', async () => {
  const { run, write, file } = await tools();
  await run(['topics', 'create', 'clicks']);
  await write('clicks', ['1', '2']);
  // The first time is where it begins.
  const killed = await asProcess(['consume', 'clicks', '--group', 'mailer', '--from-beginning', '--no-follow', file], { NODE_ENV: 'test', TAILRACE_FAILPOINT: 'consume.written_uncommitted:kill9:2' });
  assert.equal(killed.code, null);
  assert.equal(killed.out.trim().split('\n').length, 2);
  const again = await run(['consume', 'clicks', '--group', 'mailer', '--no-follow']);
  assert.equal(again.out, killed.out, 'who died holds the group no longer');
});

for (const point of ['log.group_written_unsynced', 'log.synced_unpublished', 'log.topic_half_written']) {
  test(`kill -9 of produce at ${point}: what it had called durable is there, the rest whole or not at all`, async () => {
    const { run, file } = await tools();
    await run(['topics', 'create', 'clicks']);
    await run(['produce', 'clicks'], { input: ['1\n2\n'] });
    const killed = await asProcess(['produce', 'clicks', file], { NODE_ENV: 'test', TAILRACE_FAILPOINT: `${point}:kill9` }, '3\n4\n5\n');
    assert.equal(killed.code, null);
    assert.equal(killed.out, '', 'it called nothing durable');
    await run(['produce', 'clicks'], { input: ['6\n'] });
    const { out } = await run(['consume', 'clicks', '--from-beginning']);
    const values = out.trim().split('\n').map((line) => (JSON.parse(line) as { value: number }).value);
    assert.ok(['1,2,6', '1,2,3,4,5,6'].includes(values.join()), values.join());
  });
}

test('a group waits for the one that is it, ends at a signal, and passes over what compaction has removed', async () => {
  const { run, file } = await tools();
  await run(['topics', 'create', 'clicks']);
  await run(['produce', 'clicks', '--format', 'json'], { input: ['{"key":"a","value":1}\n{"key":"a","value":2}\n', '{"key":"b","value":null}\n'] });
  assert.equal((await run(['topics', 'compact', 'clicks', '--delete-retention', '0s'])).code, 0);
  const consume = (...args: readonly string[]): Promise<Said> => run(['consume', 'clicks', '--group', 'mailer', '--from-beginning', ...args]);
  const { out } = await consume('--no-follow');
  assert.deepEqual(out.trim().split('\n').map((line) => (JSON.parse(line) as { offset: unknown }).offset), [1, 2]);
  assert.match((await run(['groups', 'describe', 'mailer'])).out, /clicks +0 +3 +3 +0$/m);
  const config = requirePipelines([file], {})[0]?.config;
  assert.ok(config !== undefined);
  const holder = await ConsumingGroup.join(config, 'mailer', { signal: new AbortController().signal });
  const stop = new AbortController();
  const waiting = run(['consume', 'clicks', '--group', 'mailer'], { signal: stop.signal });
  stop.abort();
  assert.equal((await waiting).code, 0, 'it waited, and printed nothing');
  await holder.leave();
});

test('what was handed out has left the process before the group moves on', async () => {
  const { run, write, file, name } = await tools();
  await run(['topics', 'create', 'clicks']);
  await write('clicks', ['1', '2']);
  const config = requirePipelines([file], {})[0]?.config;
  assert.ok(config !== undefined);
  const committed = (): Promise<readonly number[]> => withGroups(config, async (groups) => (await groups.read('mailer')).map(({ offset }) => offset));
  const seen: (readonly number[])[] = [];
  const signal = new AbortController().signal;
  await consume([config], {
    topic: `${name}.clicks`, partition: undefined, from: { group: 'mailer', otherwise: 'beginning' }, max: Infinity, until: Infinity, follow: false, signal,
    onRecord: () => {}, written: async () => void seen.push(await committed()),
  });
  assert.deepEqual([seen, await committed()], [[[0]], [2]]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toolsOn, topicCommands, type Tools } from './log-tools.ts';

const tools = (): Promise<Tools> => toolsOn((directory) => `{ type: embedded, directory: ${directory} }`, 'shop');

topicCommands('the embedded log', tools);

test('what only Kafka has is refused on the embedded log', async () => {
  const { run } = await tools();
  for (const args of [['--config', 'retention.ms=1'], ['--replication-factor', '3']]) {
    const said = await run(['topics', 'create', 'clicks', ...args]);
    assert.equal(said.code, 2);
    assert.match(said.err, /is Kafka's: topics of the embedded log/);
  }
});

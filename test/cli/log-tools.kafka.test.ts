import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshPipelineName, sharedKafka } from '../support/kafka.ts';
import { groupCommands, produceCommands, toolsOn, topicCommands, type Tools } from './log-tools.ts';

const kafka = await sharedKafka();
const tools = (): Promise<Tools> => toolsOn(() => `{ type: kafka, brokers: [${kafka.brokers.join(', ')}] }`, freshPipelineName());

topicCommands('Kafka', tools, kafka.missing);
groupCommands('Kafka', tools, kafka.missing);
produceCommands('Kafka', tools, kafka.missing);

test('settings are made, changed and taken back, and what Kafka does not take is said', { skip: kafka.missing ?? false }, async () => {
  const { run } = await tools();
  assert.equal((await run(['topics', 'create', 'clicks', '--config', 'retention.ms=86400000', '--replication-factor', '1'])).code, 0);
  assert.equal((await run(['topics', 'alter', 'clicks', '--config', 'segment.bytes=1048576', '--delete-config', 'retention.ms'])).code, 0);
  const unknown = await run(['topics', 'alter', 'clicks', '--config', 'retention.years=1']);
  assert.equal(unknown.code, 3);
  assert.match(unknown.err, /retention\.years/);
  assert.equal((await run(['topics', 'create', 'more', '--replication-factor', '99'])).code, 3);
});

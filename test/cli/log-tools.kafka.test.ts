import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { kafkaJars } from '../support/kafka-jars.ts';
import { freshPipelineName, sharedKafka } from '../support/kafka.ts';
import { mergeCommands, mergeKilled, mergeOvertaken, mergeStage, type MergeStage } from './merge-commands.ts';
import { groupCommands, produceCommands, toolsOn, topicCommands, type Tools } from './log-tools.ts';

const kafka = await sharedKafka();
const tools = (): Promise<Tools> => toolsOn(() => `{ type: kafka, brokers: [${kafka.brokers.join(', ')}] }`, freshPipelineName());

topicCommands('Kafka', tools, kafka.missing);
groupCommands('Kafka', tools, kafka.missing);
produceCommands('Kafka', tools, kafka.missing);
const mergeOn = (t: TestContext): Promise<MergeStage> => mergeStage(t, { name: freshPipelineName(), log: () => `{ type: kafka, brokers: [${kafka.brokers.join(', ')}], partitions: 3 }` });
mergeCommands('Kafka', mergeOn, kafka.missing);
mergeKilled('Kafka', [mergeOn, mergeOn], ['merge.topic_made', 'merge.shape_written', 'request.appended:3'], kafka.missing);
mergeOvertaken('Kafka', mergeOn, kafka.missing);

test('settings are made, changed and taken back, and what Kafka does not take is said', { skip: kafka.missing ?? false }, async () => {
  const { run } = await tools();
  assert.equal((await run(['topics', 'create', 'clicks', '--config', 'retention.ms=86400000', '--replication-factor', '1'])).code, 0);
  assert.equal((await run(['topics', 'alter', 'clicks', '--config', 'segment.bytes=1048576', '--delete-config', 'retention.ms'])).code, 0);
  const unknown = await run(['topics', 'alter', 'clicks', '--config', 'retention.years=1']);
  assert.equal(unknown.code, 3);
  assert.match(unknown.err, /retention\.years/);
  assert.equal((await run(['topics', 'create', 'more', '--replication-factor', '99'])).code, 3);
});

const jars = kafkaJars();
const withTools = { skip: kafka.missing ?? jars.missing ?? false };

test("Kafka's own tools see what is produced and where a group stands, and a group of theirs is one of ours", withTools, async () => {
  const { name, run } = await tools();
  const java = (tool: string, args: readonly string[]): string =>
    spawnSync('java', ['-XX:TieredStopAtLevel=1', '-cp', join('libs' in jars ? jars.libs : '', '*'), `org.apache.kafka.tools.consumer.${tool}`, '--bootstrap-server', kafka.brokers.join(), ...args], { encoding: 'utf8' }).stdout;
  await run(['topics', 'create', 'clicks']);
  await run(['produce', 'clicks', '--property', 'parse.key=true', '--property', 'key.separator=:'], { input: ['k1:one\n', 'k2:two\n'] });
  await run(['consume', 'clicks', '--group', `ours-${name}`, '--from-beginning', '--max-messages', '1']);
  assert.match(java('group.ConsumerGroupCommand', ['--describe', '--group', `ours-${name}`]), new RegExp(`ours-${name} +${name}\\.clicks +0 +1 +2 +1 `));
  const printed = java('ConsoleConsumer', ['--topic', `${name}.clicks`, '--group', `theirs-${name}`, '--from-beginning', '--max-messages', '2', '--formatter-property', 'print.key=true']);
  assert.equal(printed, 'k1\tone\nk2\ttwo\n');
  assert.match((await run(['groups', 'describe', `theirs-${name}`])).out, /clicks +0 +2 +2 +0$/m);
});

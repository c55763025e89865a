import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { TestDaemon } from '../support/daemon.ts';
import { kafkaJars } from '../support/kafka-jars.ts';
import { freshPipelineName, sharedKafka } from '../support/kafka.ts';
import { blocks, PageRun, workplace } from '../support/page-run.ts';
import { freshDatabase } from '../support/postgres.ts';

const kafka = await sharedKafka();
const jars = kafka.missing === undefined ? kafkaJars() : { missing: kafka.missing };
const libs = jars.missing === undefined ? jars.libs : '';

const classes = {
  'kafka-topics.sh': 'TopicCommand', 'kafka-console-producer.sh': 'ConsoleProducer', 'kafka-console-consumer.sh': 'consumer.ConsoleConsumer',
  'kafka-consumer-groups.sh': 'consumer.group.ConsumerGroupCommand', 'kafka-groups.sh': 'GroupsCommand',
};

test('docs/kafka-tutorial.md: every command and what it prints', { skip: jars.missing ?? false }, async (t) => {
  const java = `exec java -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp '${join(libs, '*')}' org.apache.kafka.tools.`;
  const directory = await workplace(t, Object.fromEntries(Object.entries(classes).map(([name, main]) => [name, `${java}${main} "$@"`])));
  const source = await freshDatabase(t);
  const daemon = await TestDaemon.create(t, directory, '');
  const page = new PageRun({ source, daemon, directory, environment: { LIBRARY_URL: source.url, KAFKA: kafka.brokers.join() } });
  // The brokers are everybody's: names that nobody else has take the place of those on the page.
  let text = await readFile(new URL('../../docs/kafka-tutorial.md', import.meta.url), 'utf8');
  for (const name of ['fruit', 'pantry', 'library']) text = text.replaceAll(name, freshPipelineName());
  for (const block of blocks(text)) await page.play(block);
  assert.equal(await daemon.stop(), 0);
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { kafkaJars } from '../support/kafka-jars.ts';
import { kafkaSetting } from '../support/kafka-shop.ts';
import { sharedKafka } from '../support/kafka.ts';
import { nameFor } from '../support/shop.ts';

const kafka = await sharedKafka();
const jars = kafkaJars();
const libs = jars.missing === undefined ? jars.libs : '';
const needed = { skip: kafka.missing ?? jars.missing ?? false };

const classes = { 'kafka-topics.sh': 'TopicCommand', 'kafka-console-consumer.sh': 'consumer.ConsoleConsumer' } as const;

/** What a command of docs/kafka.md prints, run as the class that its shell script starts, on these brokers and this topic. */
function documented(command: keyof typeof classes, topic: string): string {
  const page = readFileSync(join(import.meta.dirname, '../../docs/kafka.md'), 'utf8').replaceAll('\\\n', '');
  const line = page.split('\n').find((each) => each.startsWith(`${command} `));
  assert.ok(line !== undefined, `docs/kafka.md shows ${command}`);
  const options = line.replace('broker:9092', kafka.brokers.join()).replace('shop.public.book', topic).split(/ +/).slice(1);
  const java = ['-XX:TieredStopAtLevel=1', '-Dfile.encoding=UTF-8', '-Dstdout.encoding=UTF-8', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-cp', join(libs, '*')];
  const run = spawnSync('java', [...java, `org.apache.kafka.tools.${classes[command]}`, ...options], { encoding: 'utf8', timeout: 60_000 });
  assert.equal(run.status, 0, `${run.stdout}${run.stderr}`);
  return run.stdout;
}

const schema = 'CREATE TABLE book (id int PRIMARY KEY, title text NOT NULL); ALTER TABLE book REPLICA IDENTITY FULL';

/** A topic with one book put in, retitled and removed. */
async function books(t: TestContext): Promise<string> {
  const setting = await kafkaSetting(t, kafka.brokers, { schema });
  setting.daemon.start();
  await setting.daemon.streaming();
  await setting.source.sql("INSERT INTO book VALUES (1, 'Emma')");
  await setting.source.sql("UPDATE book SET title = 'Émile' WHERE id = 1");
  await setting.source.sql("INSERT INTO book VALUES (2, 'Ada')");
  await setting.source.sql('DELETE FROM book WHERE id = 1');
  await setting.equal(['book']);
  assert.equal(await setting.daemon.stop(), 0);
  return `${nameFor(setting.source)}.public.book`;
}

test('kafka-topics and kafka-console-consumer, as the docs show them, print a table: its settings, and each change with key and headers', needed, async (t) => {
  const topic = await books(t);
  const described = documented('kafka-topics.sh', topic);
  assert.match(described, new RegExp(`Topic: ${topic}\\s.*PartitionCount: 1\\s`));
  assert.match(described, /cleanup\.policy=delete/);
  assert.match(described, /retention\.ms=-1/);

  const records = documented('kafka-console-consumer.sh', topic).trimEnd().split('\n').map((line) => line.split('\t'));
  const told = records.map(([headers = '', key, text = '']) => {
    const value = JSON.parse(text) as { op: string; before: unknown; after: unknown } | null;
    if (value === null) assert.equal(headers, 'NO_HEADERS');
    else assert.match(headers, /^tailrace:\\x01/);
    return [key, value && [value.op, value.before, value.after]];
  });
  const [emma, emile, ada] = [{ id: 1, title: 'Emma' }, { id: 1, title: 'Émile' }, { id: 2, title: 'Ada' }];
  assert.deepEqual(told, [
    ['{"id":1}', ['c', null, emma]],
    ['{"id":1}', ['u', emma, emile]],
    ['{"id":2}', ['c', null, ada]],
    ['{"id":1}', ['d', emile, null]],
    ['{"id":1}', null],
  ]);
});

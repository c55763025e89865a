import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { TestDaemon } from '../support/daemon.ts';
import { fencedBlock } from '../support/docs-page.ts';
import { kcat } from '../support/kcat.ts';
import { sharedKafka } from '../support/kafka.ts';
import { freshDatabase } from '../support/postgres.ts';
import { confluentPython, runPython } from '../support/python.ts';
import { registryJars, startSchemaRegistry } from '../support/schema-registry.ts';
import { nameFor } from '../support/shop.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';

const kafka = await sharedKafka();
const python = kafka.missing === undefined ? confluentPython() : { missing: kafka.missing };
const packages = python.missing === undefined ? python.packages : '';
const registry = python.missing === undefined ? registryJars() : { missing: python.missing };
const registryLibs = registry.missing === undefined ? registry.libs : '';
const tool = kafka.missing === undefined ? kcat() : { missing: kafka.missing };

interface Pipelines {
  /** Where the daemon serves its registry. */
  readonly own: string;
  readonly topics: Readonly<Record<'json' | 'own' | 'other', string>>;
}

/** One daemon with a pipeline of each kind on one table: two books put in, one retitled, one removed. */
async function books(t: TestContext, other: string | undefined): Promise<Pipelines> {
  const source = await freshDatabase(t);
  await source.sql('CREATE TABLE book (id int PRIMARY KEY, title text NOT NULL, price numeric(10,2), added timestamptz, since date, isbn uuid)');
  const formats = { json: 'json', own: 'avro', ...(other === undefined ? {} : { other: `{ type: avro, registry: { url: '${other}' } }` }) };
  const folder = join(await tempDirectory(t), 'connectors');
  await mkdir(folder);
  const daemon = await TestDaemon.create(t, folder, '');
  const named = (kind: string): string => `${nameFor(source)}${kind}`;
  for (const [kind, format] of Object.entries(formats)) {
    const yaml = `name: ${named(kind)}
source: { type: postgres, url: '${source.url}', tables: { include: [public.*] } }
log: { type: kafka, brokers: [${kafka.brokers.join()}] }
format: ${format}
sinks: [{ name: local, type: sqlite, path: '${folder}/${kind}.sqlite' }]
`;
    await writeFile(kind === 'json' ? daemon.file : join(folder, `${kind}.yaml`), yaml);
  }
  daemon.start({}, { path: folder });
  await daemon.streaming();
  await source.sql(`INSERT INTO book VALUES (1, 'Emma', 1.10, '2024-02-29 12:34:56.789012+00', '1815-12-23', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')`);
  await source.sql("UPDATE book SET title = 'Émile' WHERE id = 1");
  await source.sql("INSERT INTO book VALUES (2, 'Ada')");
  await source.sql('DELETE FROM book WHERE id = 1');
  await eventually(async () => (await daemon.statuses()).every(({ sinks }) => sinks.every(({ applied, state }) => applied >= 4 && state === 'current')), { what: 'four transactions in each pipeline' });
  const topic = (kind: string): string => `${named(kind)}.public.book`;
  return { own: await daemon.url(), topics: { json: topic('json'), own: topic('own'), other: topic('other') } };
}

/** What a command of docs/kafka.md gives for this topic. */
async function documented(words: string, topic: string, url = ''): Promise<readonly string[]> {
  const language = words === 'kcat' ? 'sh' : 'python';
  const shown = fencedBlock('kafka.md', language, words);
  const made = shown.replace('broker:9092', kafka.brokers.join()).replaceAll('shop.public.book', topic).replace('http://registry:8081', url);
  assert.ok(made.includes(topic) && made.includes(kafka.brokers.join()) && made.includes(url), shown);
  if (language === 'python') return lines(await runPython(packages, made));
  const { status, stdout, stderr } = spawnSync('sh', ['-c', made], { encoding: 'utf8', timeout: 60_000 });
  assert.equal(status, 0, stderr);
  return lines(stdout);
}

function lines(text: string): readonly string[] {
  return text.trimEnd().split('\n');
}

const emma = "'price': Decimal('1.10'), 'added': datetime.datetime(2024, 2, 29, 12, 34, 56, 789012, tzinfo=datetime.timezone.utc), 'since': datetime.date(1815, 12, 23), 'isbn': UUID('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')";
const none = "'price': None, 'added': None, 'since': None, 'isbn': None";
const inAvro = [
  `{'id': 1} c {'id': 1, 'title': 'Emma', ${emma}}`, `{'id': 1} u {'id': 1, 'title': 'Émile', ${emma}}`, `{'id': 2} c {'id': 2, 'title': 'Ada', ${none}}`, "{'id': 1} d None",
  "{'id': 1} tombstone",
];

test('clients that are not ours read the topics as the docs show', { skip: kafka.missing ?? false }, async (t) => {
  const other = registry.missing === undefined ? await startSchemaRegistry(t, registryLibs) : undefined;
  const { own, topics } = await books(t, other);

  await t.test("confluent-kafka's consumer reads JSON", { skip: python.missing ?? false }, async () => {
    const told = await documented('json.loads', topics.json);
    const said = (id: number, title: string, rest: string): string => `{'id': ${id}, 'title': '${title}', ${rest}}`;
    const whole = "'price': '1.10', 'added': '2024-02-29T12:34:56.789012Z', 'since': -56257, 'isbn': 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'";
    assert.deepEqual(told, [
      `{'id': 1} c ${said(1, 'Emma', whole)}`, `{'id': 1} u ${said(1, 'Émile', whole)}`, `{'id': 2} c ${said(2, 'Ada', none)}`, "{'id': 1} d None", "{'id': 1} tombstone",
    ]);
  });

  await t.test("confluent-kafka's AvroDeserializer reads Avro by the registry that Tailrace serves: decimals, times, dates and UUIDs of Python's own", { skip: python.missing ?? false }, async () => {
    assert.deepEqual(await documented('AvroDeserializer', topics.own, own), inAvro);
  });

  await t.test("confluent-kafka's AvroDeserializer reads Avro by a real Schema Registry", { skip: registry.missing ?? false }, async () => {
    assert.deepEqual(await documented('AvroDeserializer', topics.other, other), inAvro);
  });

  await t.test('kcat prints keys and values, and NULL for a tombstone', { skip: tool.missing ?? false }, async () => {
    const told = (await documented('kcat', topics.json)).map((line) => /^(\d+) (\{.*?\}) (?:NULL|.*"op":"(.)".*)$/.exec(line)?.slice(1));
    assert.deepEqual(told, [['0', '{"id":1}', 'c'], ['1', '{"id":1}', 'u'], ['2', '{"id":2}', 'c'], ['3', '{"id":1}', 'd'], ['4', '{"id":1}', undefined]]);
  });
});

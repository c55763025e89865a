import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fencedBlock } from '../support/docs-page.ts';
import { startConnect } from '../support/kafka-connect.ts';
import { connectJars } from '../support/kafka-jars.ts';
import { kafkaSetting } from '../support/kafka-shop.ts';
import { sharedKafka } from '../support/kafka.ts';
import { freshDatabase, type TestDatabase } from '../support/postgres.ts';
import { dumpPostgres } from '../support/replicas.ts';
import { nameFor } from '../support/shop.ts';
import { eventually } from '../support/wait.ts';

const kafka = await sharedKafka();
const jars = kafka.missing === undefined ? connectJars() : { missing: kafka.missing };
const libs = jars.missing === undefined ? jars.libs : '';

/** A column of every type whose values stand in a form of their own, and some that are told by their text. */
const schema = `
  CREATE TYPE mood AS ENUM ('so so', 'happy');
  CREATE TABLE book (id int PRIMARY KEY, title text NOT NULL, price numeric(10,2));
  CREATE TABLE "Odd Name" (n int, "a B" uuid, note text, PRIMARY KEY (n, "a B"));
  CREATE TABLE kind (
    id bigint PRIMARY KEY, yes bool, small smallint, o oid, r real, d double precision, n numeric, price numeric(10,2), paid money,
    bytes bytea, day date, at time, at3 time(3), atz timetz, ts timestamp, ts3 timestamp(3), tstz timestamptz, span interval,
    j json, jb jsonb, x xml, u uuid, texts text[], feeling mood, place inet, bits bit(3), range int4range, body text)`;

const row = `(1, true, -32768, 4294967295, 0.1, 5e-324, 123456789012345678901234567890.10, -0.50, '1.50', '\\x00ff', '2024-02-29',
  '23:59:59.999999', '12:00:00.5', '12:00:00+02', '2024-02-29 12:34:56.789012', '1969-12-31 23:59:59.999', '0001-01-01 00:00:00.000001+00',
  '1 mon -1 days', ' {"a" : 1}', '{"a": 1e400}', '<a/>', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{a,NULL,"b c"}', 'so so', '10.0.0.1', '101', '[1,5)',
  (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) n))`;

/** Values that their column's type has no number for. */
const unsayable = `INSERT INTO kind (id, r, d, n, price, day, at, ts, tstz) VALUES
  (2, 'NaN', '-Infinity', 'Infinity', 'NaN', 'infinity', '24:00:00', '-infinity', 'infinity'),
  (3, NULL, NULL, 'NaN', NULL, '10000-01-01', NULL, '294276-12-31 23:59:59.999999', '0044-03-15 00:00:00+00 BC')`;

/** The connector as docs/kafka.md shows it, for this pipeline and this database. */
function documented(pipeline: string, target: TestDatabase): string {
  const { host, pathname, username, password } = new URL(target.url);
  const shown = fencedBlock('kafka.md', 'properties');
  const made = shown.replaceAll('shop', pipeline).replace('reporting.example.com:5432/reporting', `${host}${pathname}`).replace('=loader', `=${username}`).replace('=secret', `=${password}`);
  for (const each of [pipeline, `${host}${pathname}`, username, password]) assert.ok(made.includes(each), `the page's connector has no place for ${each}`);
  return `${made}consumer.override.metadata.max.age.ms=500\n`;
}

test("Debezium's JDBC sink connector, set as the docs show, makes a Postgres equal: every type, deletes, key changes, truncates, unchanged TOAST", { skip: jars.missing ?? false }, async (t) => {
  const { source, daemon } = await kafkaSetting(t, kafka.brokers, { schema, yaml: 'format: { type: json, schemas: true }\n' });
  const target = await freshDatabase(t);
  await target.sql(schema);
  await source.sql('CREATE TABLE unknown_there (id int PRIMARY KEY, t text NOT NULL, n numeric(10,2), ts timestamptz, j json)');
  await source.sql("INSERT INTO book VALUES (1, 'Emma', 1.10), (2, 'Ada', NULL), (3, 'gone', 3)");
  await source.sql("INSERT INTO unknown_there VALUES (1, 'x', 1.10, now(), '{}')");
  daemon.start();
  await daemon.streaming();
  const worker = await startConnect(t, { libs, brokers: kafka.brokers, connector: documented(nameFor(source), target) });
  const equal = async (...tables: readonly string[]): Promise<void> => {
    for (const table of tables) {
      let [expected, found]: readonly (readonly string[])[] = [];
      const same = async (): Promise<boolean> => {
        [expected, found] = [await dumpPostgres(source, table), await dumpPostgres(target, table)];
        return expected.join('\n') === found.join('\n');
      };
      await eventually(same, { timeoutMs: 60_000 }).catch(async () => assert.deepEqual(found, expected, `${table}\n${(await worker.output()).slice(-3000)}`));
    }
  };
  await source.sql(`INSERT INTO kind VALUES ${row}`);
  await source.sql(unsayable);
  await source.sql(`INSERT INTO "Odd Name" VALUES (1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'v')`);
  await equal('book', 'kind', '"Odd Name"', 'unknown_there');

  await source.sql("UPDATE book SET title = 'Émile' WHERE id = 1");
  await source.sql('UPDATE book SET id = 7 WHERE id = 2');
  await source.sql('DELETE FROM book WHERE id = 3');
  // The text in body is not sent again, and must stay.
  await source.sql('UPDATE kind SET small = 7 WHERE id = 1');
  await source.sql('DELETE FROM kind WHERE id = 3');
  await source.sql(`UPDATE "Odd Name" SET "a B" = '00000000-0000-0000-0000-000000000000'`);
  await equal('book', 'kind', '"Odd Name"');

  await source.sql('TRUNCATE book');
  await source.sql("INSERT INTO book VALUES (9, 'after', 9)");
  await equal('book');
  assert.equal((await target.sql('SELECT FROM kind')).length, 2);
});

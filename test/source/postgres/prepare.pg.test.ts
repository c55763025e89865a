import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { silentLogger } from '../../../src/runtime/logger.ts';
import type { Query } from '../../../src/runtime/postgres/connection.ts';
import { postgresSourceConfig } from '../../../src/source/postgres/config.ts';
import { sourceNames } from '../../../src/source/postgres/names.ts';
import { preparePublication, survey } from '../../../src/source/postgres/prepare.ts';
import { freshDatabase, keptOpen } from '../../support/postgres.ts';
import { eventually } from '../../support/wait.ts';
import { connected, sourceOn, Tail } from './support.ts';

test('a table, or its schema, that is dropped while it is put into our publication is no reason to stop', async (t) => {
  const database = keptOpen(await freshDatabase(t), t);
  const query: Query = async (text, params) => database.sql(text, params);
  const config = postgresSourceConfig.parse({ url: database.url, tables: { include: ['*.*'] } });
  for (const drop of ['DROP TABLE other.gone', 'DROP SCHEMA other CASCADE']) {
    await database.sql('CREATE SCHEMA IF NOT EXISTS other; CREATE TABLE other.gone (id int PRIMARY KEY)');
    const found = await survey(query, config, sourceNames(config, 'p'));
    await database.sql(drop);
    await assert.rejects(preparePublication(query, found, silentLogger), { code: 'source-unreachable' }, drop);
  }
});

test('D6: a table whose name is another one\'s by the time that it is put into our publication, or taken out, is no reason to stop', async (t) => {
  const database = keptOpen(await freshDatabase(t), t);
  const query: Query = async (text, params) => database.sql(text, params);
  const config = postgresSourceConfig.parse({ url: database.url, tables: { include: ['public.*'] } });
  const look = (): ReturnType<typeof survey> => survey(query, config, sourceNames(config, 'p'));
  const put = async (): Promise<void> => preparePublication(query, await look(), silentLogger);
  const published = async (): Promise<unknown> => (await database.sql("SELECT tablename FROM pg_publication_tables WHERE pubname = 'tailrace_p' ORDER BY 1")).map(({ tablename }) => tablename);
  await database.sql('CREATE SCHEMA aside; CREATE TABLE t (id int PRIMARY KEY)');
  await put();
  for (const [make, rename] of [
    ['CREATE TABLE other (id int PRIMARY KEY)', 'ALTER TABLE t RENAME TO former; ALTER TABLE other RENAME TO t; ALTER TABLE former RENAME TO other'],
    ['CREATE TABLE other2 (id int PRIMARY KEY)', 'ALTER TABLE other2 RENAME TO beside; CREATE VIEW other2 AS SELECT 1 AS id'],
    ['ALTER TABLE beside SET SCHEMA aside', 'ALTER TABLE aside.beside RENAME TO away; CREATE TABLE aside.beside (id int PRIMARY KEY)'],
  ] as const) {
    await database.sql(make);
    const found = await look();
    await database.sql(rename);
    await assert.rejects(preparePublication(query, found, silentLogger), { code: 'source-unreachable' }, rename);
    await put();
  }
  assert.deepEqual(await published(), ['other', 't']);
});

test('while our publication waits for a table that somebody alters it holds no lock on another one', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)');
  const application = new pg.Client(database.url);
  await application.connect();
  // Its database goes before the scope has ended.
  application.on('error', () => {});
  await application.query('BEGIN; ALTER TABLE b ADD COLUMN v text');
  const connecting = sourceOn(database.url).connect({ signal: new AbortController().signal });
  await eventually(async () => (await database.sql("SELECT FROM pg_locks WHERE relation = 'b'::regclass AND mode = 'ShareUpdateExclusiveLock' AND NOT granted")).length > 0);
  // It would wait for us, who wait for it: the server ends one of both.
  await application.query('LOCK TABLE a IN ACCESS EXCLUSIVE MODE NOWAIT; COMMIT');
  await application.end();
  await (await connecting).close();
});

test('a new table that is dropped as it is taken in ends no session: others are found by the next look', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE first (id int PRIMARY KEY)');
  const session = await connected(sourceOn(database.url), t);
  await database.sql('CREATE TABLE gone (id int PRIMARY KEY); CREATE TABLE one (id int PRIMARY KEY)');
  const application = new pg.Client(database.url);
  await application.connect();
  application.on('error', () => {});
  await application.query('BEGIN; DROP TABLE gone');
  const looking = session.discover();
  await eventually(async () => (await database.sql("SELECT FROM pg_locks WHERE relation = 'gone'::regclass AND NOT granted")).length > 0);
  await application.query('COMMIT');
  await application.end();
  assert.deepEqual(await looking, []);
  assert.deepEqual((await session.discover()).map(({ name }) => name), ['one']);
});

test("tables among the server's own are not captured, whatever the publication has", async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY); CREATE PUBLICATION everything FOR ALL TABLES');
  await database.sql('SET allow_system_table_mods = on; CREATE TABLE pg_catalog.before (id int PRIMARY KEY)');
  const session = await connected(sourceOn(database.url, { config: { publication: 'everything', tables: { include: ['*.*'] } } }), t);
  const tail = new Tail(session);
  await database.sql('SET allow_system_table_mods = on; CREATE TABLE pg_catalog.later (id int PRIMARY KEY); INSERT INTO pg_catalog.later VALUES (1); INSERT INTO pg_catalog.before VALUES (2)');
  await database.sql('INSERT INTO a VALUES (3); TRUNCATE pg_catalog.before, a');
  await eventually(() => tail.rows.some((row) => row.startsWith('t')));
  assert.deepEqual(tail.rows, ['c 0 public.a: 3', 't 1 public.a']);
});

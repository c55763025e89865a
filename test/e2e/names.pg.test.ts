import assert from 'node:assert/strict';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import pg from 'pg';
import type { PipelineVerification } from '../../src/app/verify.ts';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../../src/runtime/postgres/quote.ts';
import { TestDaemon, tailrace } from '../support/daemon.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';
import { connector, nameFor } from '../support/shop.ts';
import { tempDirectory } from '../support/temp.ts';
import { logRecords } from '../support/transaction-oracle.ts';
import { eventually } from '../support/wait.ts';

const longest = `${'é'.repeat(31)}x`;

/** Schema, table and columns; the first column is the key. */
const tables: readonly (readonly [schema: string, name: string, columns: readonly string[]])[] = [
  ['Quoted_" . Schema', 'Quoted_" . Table', ['Quoted_" . Text_Column', 'b']],
  ['public', 'x"; DROP TABLE y; --', ['id"; --', "'; SELECT 1"]],
  ['public', 'select', ['select', 'from', 'table', '__proto__', 'constructor', 'then', 'op', 'before', 'c1', 'rowid']],
  ['PG_evil', 'Users', ['id', 'Name', 'name', 'NAME']],
  ['PG_evil', 'users', ['id', 'x']],
  ['pg evil', 'Users', ['id', 'x']],
  ['PG_evil', 'Orders', ['id', 'x']],
  [longest, longest, [longest, `${'🙂'.repeat(15)}abc`]],
  ['public', '🙂', ['🙂', '\u202eltr']],
  ['public', 'back\\slash', ['\\', '\\n']],
  ['public', '100%_*?', ['%', '*', '?', '_', '${x}', '$1']],
  ['public', ' blanks ', [' ', '  ']],
  ['public', 'new\nline\ttab', ['a\nb', 'a\tb']],
  ['public', 'a.b', ['c.d', 'e']],
  ['dotted.schema', 'table', ['id', 'v']],
  ['public', '..', ['.', '..']],
  ['public', '.', ['/', '\u0001']],
  ['public', 'CON', ['NUL', 'con']],
  ['public', '/etc/passwd', ['id']],
  ['public', '__consumer_offsets', ['id', 'v']],
  ['public', 'é', ['é', 'e\u0301']],
  ['public', 'e\u0301', ['id', 'v']],
  ['public', '<img onerror=alert(1)>', ['id', '{{v}}']],
  ['public', 'transaction', ['id', 'v']],
  ['transaction', 'schema', ['id', 'v']],
  // What statements of ours call things.
  ['public', 'excluded', ['id', 'v']],
  ['public', 't', ['s', 't']],
];

/** A name as it stands in a topic's: what Kafka does not take is written as its code point. */
function written(name: string): string {
  return Array.from(name, (character) => (/[\w.-]/.test(character) ? character : `_x${character.codePointAt(0)?.toString(16)}`)).join('');
}

test('I1, I2, I4, I6, I7: names of every kind, from the source to both replicas, the topics and what verify says', async (t) => {
  const server = await sharedPostgres();
  const [replica, other] = [await freshDatabase(t), await freshDatabase(t)];
  const directory = await tempDirectory(t);
  const database = `${other.name} "it's" = é?&`;
  const role = `${other.name} "Röle" @:/`;
  const password = `p@:/?#%[]&= 'é"\\`;
  await server.createDatabase(database);
  // The driver's own reading of URLs leaves some escapes of a database's name as they are.
  const sql = async (text: string): Promise<void> => {
    const { username, password: secret } = new URL(server.url());
    const client = new pg.Client({ host: server.host, port: server.port, user: username, password: decodeURIComponent(secret), database });
    await client.connect();
    try {
      await client.query(text);
    } finally {
      await client.end();
    }
  };
  await server.sql(`CREATE ROLE ${quoteIdentifier(role)} LOGIN REPLICATION SUPERUSER PASSWORD ${quoteLiteral(password)}`);
  const publication = `Odd "pub", it's`;
  for (const [schema, name, columns] of tables) {
    await sql(`CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(schema)}; CREATE TABLE ${quoteQualified(schema, name)} (${columns.map((column, i) => `${quoteIdentifier(column)} text${i === 0 ? ' PRIMARY KEY' : ''}`).join(', ')});
      INSERT INTO ${quoteQualified(schema, name)} VALUES (${columns.map((_, i) => `'before ${i}'`).join(', ')})`);
  }
  await sql(`CREATE PUBLICATION ${quoteIdentifier(publication)} FOR ALL TABLES`);
  const url = `postgres://${encodeURIComponent(role)}:${encodeURIComponent(password)}@127.0.0.1:${server.port}/${encodeURIComponent(database)}`;
  const sqlite = join(directory, 'odd "name" é.sqlite');
  const daemon = await TestDaemon.create(t, directory, '');
  const yaml = connector({ name: nameFor(other), source: url, replica: replica.url, directory, sqlite: 'SQLITE', inSource: `  publication: ${JSON.stringify(publication)}\n` });
  await writeFile(daemon.file, yaml.replace('public.*', '"*.*"').replace('SQLITE', JSON.stringify(sqlite)));
  // Registered behind the daemon's own end.
  t.after(async () => {
    await daemon.kill();
    await server.sql('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT active', [database]);
    await server.sql(`DROP DATABASE ${quoteIdentifier(database)} WITH (FORCE)`);
    await server.sql(`DROP ROLE ${quoteIdentifier(role)}`);
  });
  // SQLite does not tell capitals apart in names of tables.
  const clash = await tailrace(['check', daemon.file]);
  assert.equal(clash.code, 3);
  assert.match(clash.out, /PG_evil\.Users and PG_evil\.users both go to the table PG_evil\.users/);
  await appendFile(daemon.file, '    rename: { PG_evil.users: PG_evil.small }\n');
  const checked = await tailrace(['check', daemon.file]);
  assert.equal(checked.code, 0, checked.out + checked.err);
  daemon.start();
  await daemon.streaming();
  for (const [schema, name, columns] of tables) {
    const [table, key, last] = [quoteQualified(schema, name), quoteIdentifier(columns[0] as string), quoteIdentifier(columns.at(-1) as string)];
    await sql(`INSERT INTO ${table} (${columns.map(quoteIdentifier).join(', ')}) VALUES (${columns.map((column) => quoteLiteral(column)).join(', ')}), (${columns.map((_, i) => `'gone ${i}'`).join(', ')});
      UPDATE ${table} SET ${last} = ${last} || ' and after' WHERE ${key} LIKE 'before%'; UPDATE ${table} SET ${key} = ${key} || ' moved' WHERE ${key} LIKE 'before%'; DELETE FROM ${table} WHERE ${key} LIKE 'gone%'`);
  }
  const verified = await eventually(async () => {
    const { code, out, err } = await tailrace(['verify', daemon.file, '--json']);
    if (code !== 0) throw new Error(`${out} ${err} ${daemon.output.slice(-3000)}`);
    return (JSON.parse(out) as PipelineVerification[])[0];
  }, { timeoutMs: 60_000 });
  for (const { tables: found } of verified.sinks) {
    assert.deepEqual(found.map(({ table, state, rows }) => `${table} ${state} ${rows}`).toSorted(), tables.map(([schema, name]) => `${schema}.${name} equal 2`).toSorted());
  }
  // The replica's names are the source's, byte for byte.
  const there = await replica.sql<{ name: string }>(`SELECT table_schema || '.' || table_name || ': ' || string_agg(column_name, ',' ORDER BY ordinal_position) AS name FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema', 'tailrace') GROUP BY table_schema, table_name`);
  assert.deepEqual(there.map(({ name }) => name).toSorted(), tables.map(([schema, name, columns]) => `${schema}.${name}: ${columns.join(',')}`).toSorted());
  const file = new DatabaseSync(sqlite, { readOnly: true });
  const columns = (file.prepare('SELECT name FROM pragma_table_info(?)').all('PG_evil.Users') as { name: string }[]).map(({ name }) => name);
  file.close();
  assert.deepEqual(columns, ['id', 'Name', 'name%3', 'NAME%4']);
  // A topic for each table, whose folders no two share; a line for people holds nothing that a terminal obeys.
  const { out } = await tailrace(['topics', 'list', daemon.file, '--json']);
  const topics = (JSON.parse(out) as { topic: string; kind: string }[]).filter(({ kind }) => kind === 'events').map(({ topic }) => topic);
  assert.deepEqual(topics.toSorted(), tables.map(([schema, name]) => `${nameFor(other)}.${written(`${schema}.${name}`)}`).toSorted());
  const records = await logRecords(daemon.file, `${nameFor(other)}.public.select`);
  assert.deepEqual(records.filter(({ op }) => op === 'c').map(({ after }) => Object.entries(after ?? {})), [
    tables[2]?.[2].map((column) => [column, column]), tables[2]?.[2].map((column, i) => [column, `gone ${i}`]),
  ]);
  const line = await tailrace(['consume', `${nameFor(other)}.public.new_xaline_x9tab`, daemon.file, '--from-beginning', '--format', 'line']);
  // oxlint-disable-next-line no-control-regex -- that they are not there is the point
  assert.doesNotMatch(line.out.replaceAll('\n', ''), /[\u0000-\u001f\u007f-\u009f]/);
  assert.equal((await tailrace(['status', daemon.file])).code, 0);
  assert.ok(!`${daemon.output}${out}`.includes(password) && !daemon.output.includes(encodeURIComponent(password)), 'the password is nowhere');
});

test('I3: two tables that would share a topic are named, both, by check and by run, and nothing is written', async (t) => {
  const [source, replica] = [await freshDatabase(t), await freshDatabase(t)];
  const directory = await tempDirectory(t);
  await source.sql(`CREATE SCHEMA a; CREATE SCHEMA "a.b"; CREATE TABLE a."b.c" (id int PRIMARY KEY); CREATE TABLE "a.b".c (id int PRIMARY KEY); CREATE SCHEMA sink; CREATE TABLE sink.reporting (id int PRIMARY KEY)`);
  const daemon = await TestDaemon.create(t, directory, connector({ name: nameFor(source), source: source.url, replica: replica.url, directory, sqlite: join(directory, 'r.sqlite') }).replace('public.*', '"*.*"'));
  const checked = await tailrace(['check', daemon.file]);
  assert.equal(checked.code, 3);
  assert.match(checked.out + checked.err, /"a\.b"\."c" and "a"\."b\.c" would share the topic/);
  assert.match(checked.out + checked.err, /"sink"\."reporting" would take the topic .*, which Tailrace uses itself/);
  daemon.start();
  await eventually(async () => (await daemon.status()).error?.message.includes('would share the topic'), { what: 'the error in the status' });
  await daemon.kill();
  await writeFile(daemon.file, (await readFile(daemon.file, 'utf8')).replace('include: ["*.*"]', 'include: ["*.*"]\n    exclude: [\'"a.b".c\', sink.*]'));
  await source.sql('INSERT INTO a."b.c" VALUES (1)');
  daemon.start();
  await daemon.streaming();
  await eventually(async () => (await replica.sql('SELECT FROM a."b.c"')).length === 1);
});

test("I2: a table that is called like one of Tailrace's own at a replica, or as SQLite allows none to be, stops that sink and says so", async (t) => {
  const [source, replica] = [await freshDatabase(t), await freshDatabase(t)];
  const directory = await tempDirectory(t);
  await source.sql(`CREATE SCHEMA tailrace; CREATE TABLE tailrace.position (id int PRIMARY KEY); INSERT INTO tailrace.position VALUES (1); CREATE TABLE sqlite_items (id int PRIMARY KEY); INSERT INTO sqlite_items VALUES (1)`);
  const daemon = await TestDaemon.create(t, directory, connector({ name: nameFor(source), source: source.url, replica: replica.url, directory, sqlite: join(directory, 'r.sqlite') }).replace('public.*', '"*.*"'));
  daemon.start();
  const errors = await eventually(async () => {
    const { sinks } = await daemon.status();
    const found = Object.fromEntries(sinks.map(({ name, error }) => [name, error?.code ?? null]));
    return found['reporting'] !== null && found['local'] !== null && found;
  }, { what: () => `the errors of both sinks; the daemon said: ${daemon.output.slice(-3000)}`, timeoutMs: 120_000 });
  assert.deepEqual(errors, { reporting: 'sink-conflict', local: 'sink-conflict' });
});

import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { actionFor, type TailraceError } from '../../../src/runtime/errors.ts';
import { silentLogger } from '../../../src/runtime/logger.ts';
import { DatabaseFile } from '../../../src/sink/sqlite/database-file.ts';
import { openSession, sorted } from '../../contract/sink.ts';
import { apply, changes, insert, positionAt, rekey, remove, tableOf, update, updateFull } from '../../contract/sink-samples.ts';
import { tempDirectory } from '../../support/temp.ts';
import { openSink, sqliteReplica } from './replica.ts';

const table = tableOf({ columns: [['id', 'integer'], ['name', 'text'], ['note', 'text']] });

test('values stand in the types that are documented', async (t) => {
  const replica = await sqliteReplica(t);
  const typed = tableOf({ name: 'typed', columns: [['id', 'bigint'], ['ok', 'boolean'], ['f', 'double precision'], ['nan', 'real'], ['raw', 'bytea'], ['none', 'bytea'], ['n', 'numeric'], ['at', 'timestamp with time zone'], ['j', 'jsonb']] });
  const row = ['9223372036854775807', 't', '1', 'NaN', '\\x00ff', '\\x', '1.10', '2024-01-01 00:00:00+00', '{"a": 1}'];
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(typed, [insert(typed, row)]));
  const types = replica.query('SELECT typeof(id) a, typeof(ok) b, typeof(f) c, typeof(nan) d, typeof(raw) e, typeof("none") f, length("none") g, typeof(n) h, typeof("at") i, typeof(j) j FROM typed')[0];
  assert.deepEqual(Object.values(types ?? {}), ['integer', 'integer', 'real', 'text', 'blob', 'blob', 0, 'text', 'text', 'text']);
  assert.deepEqual(replica.query('SELECT CAST(id AS TEXT) id FROM typed')[0]?.['id'], '9223372036854775807');
  assert.deepEqual(replica.query("SELECT strict, wr FROM pragma_table_list WHERE name = 'typed'").map((each) => Object.values(each)), [[1, 0]]);
});

test('keys of every kind find their row', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  let lsn = 1;
  for (const [type, keys] of [['bytea', ['\\x', '\\x00']], ['double precision', ['-0', '0', 'NaN', '0.1', '1e+20']], ['numeric', ['1', '1.0']], ['boolean', ['t', 'f']], ['bigint', ['9007199254740993', '9007199254740992', '-5']], ['text', ['', ' ', 'a', 'A']]] as const) {
    const keyed = tableOf({ name: `by_${type.replaceAll(' ', '_')}`, columns: [['k', type], ['v', 'text']] });
    await apply(session, positionAt(lsn++), changes(keyed, keys.map((key) => insert(keyed, [key, 'old']))));
    await apply(session, positionAt(lsn++), changes(keyed, [...keys.map((key) => update(keyed, [key, `new ${key}`])), remove(keyed, [keys[0], null])]));
    assert.deepEqual(sorted(await replica.rows(keyed)), sorted(keys.slice(1).map((key) => [key, `new ${key}`])));
  }
});

test('without a key -0 and 0 are two rows', async (t) => {
  const replica = await sqliteReplica(t);
  const bag = tableOf({ name: 'bag', columns: [['f', 'double precision']], key: [] });
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(bag, [insert(bag, ['0']), insert(bag, ['-0']), remove(bag, ['-0'])]));
  assert.deepEqual(await replica.rows(bag), [['0']]);
});

test('a table of 1,600 columns without a key is written like any other', async (t) => {
  const replica = await sqliteReplica(t);
  const wide = tableOf({ name: 'wide', columns: Array.from({ length: 1600 }, (_, i) => [`c${i}`, 'text'] as const), key: [] });
  const row = wide.columns.map((_, i) => (i % 7 === 0 ? null : `v${i}`));
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(wide, [insert(wide, row), insert(wide, row), updateFull(wide, row, row.with(1599, 'z')), remove(wide, row)]));
  assert.deepEqual(await replica.rows(wide), [row.with(1599, 'z')]);
});

test('a column called rowid hides none of the rows', async (t) => {
  const replica = await sqliteReplica(t);
  const bag = tableOf({ name: 'bag', columns: [['_rowid_', 'integer'], ['RowId', 'text']], key: [] });
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(bag, [insert(bag, ['7', 'a']), insert(bag, ['7', 'a']), insert(bag, ['7', 'b']), remove(bag, ['7', 'a'])]));
  assert.deepEqual(sorted(await replica.rows(bag)), sorted([['7', 'a'], ['7', 'b']]));
  const all = tableOf({ name: 'all', columns: [['_rowid_', 'integer'], ['rowid', 'text'], ['oid', 'text']], key: [] });
  await assert.rejects(apply(session, positionAt(2), changes(all, [insert(all, ['1', 'a', 'b']), remove(all, ['1', 'a', 'b'])])), { code: 'sink-conflict' });
});

test('partial updates with more sets of columns than are kept prepared', async (t) => {
  const replica = await sqliteReplica(t);
  const wide = tableOf({ name: 'wide', columns: [['id', 'integer'], ...Array.from({ length: 100 }, (_, i) => [`c${i}`, 'text'] as const)] });
  const session = await openSession(t, replica.sink());
  const list = Array.from({ length: 100 }, (_, i) => update(wide, ['1', ...Array.from({ length: 100 }, (_, j) => (i === j ? 'new' : undefined))]));
  await apply(session, positionAt(1), changes(wide, [insert(wide, ['1', ...Array.from({ length: 100 }, () => 'old')]), ...list]));
  assert.deepEqual(await replica.rows(wide), [['1', ...Array.from({ length: 100 }, () => 'new')]]);
});

test('a file deleted under a worker is an error, and is not made again in silence', async (t) => {
  const replica = await sqliteReplica(t);
  const sink = replica.sink();
  const session = await openSession(t, sink);
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  for (const suffix of ['', '-wal', '-shm']) rmSync(replica.path + suffix, { force: true });
  await assert.rejects(session.begin(positionAt(2)), { code: 'sink-lost' });
  await session.close();
  await assert.rejects(sink.open({ signal: new AbortController().signal }), { code: 'sink-lost' });
  assert.ok(!existsSync(replica.path));
});

test('a file deleted inside a transaction takes no commit', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  await session.begin(positionAt(1));
  await session.write(changes(table, [insert(table, ['1', 'a', 'x'])]));
  rmSync(replica.path);
  await assert.rejects(session.commit(), { code: 'sink-lost' });
});

test('a file replaced under a worker is an error', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1));
  copyFileSync(replica.path, `${replica.path}.copy`);
  rmSync(replica.path);
  copyFileSync(`${replica.path}.copy`, replica.path);
  await assert.rejects(session.begin(positionAt(2)), { code: 'sink-lost' });
});

test('a table dropped at the replica is a loss, not a beginning', async (t) => {
  const replica = await sqliteReplica(t);
  const first = await openSession(t, replica.sink());
  await apply(first, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  await first.close();
  await replica.sql('DROP TABLE people');
  const second = await openSession(t, replica.sink());
  await assert.rejects(apply(second, positionAt(2), changes(table, [insert(table, ['2', 'b', 'y'])])), { code: 'sink-lost' });
  const [finding] = await replica.sink().check([table]);
  assert.match(finding?.message ?? '', /people/);
});

test('a file that another connection writes is waited for, then tried again later', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  const other = new DatabaseSync(replica.path);
  t.after(() => other.close());
  other.exec('BEGIN IMMEDIATE');
  await assert.rejects(session.begin(positionAt(2)), (error) => {
    assert.equal((error as TailraceError).code, 'sink-unreachable');
    assert.equal(actionFor(error), 'retry');
    return true;
  });
  other.exec('COMMIT');
  await apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b', 'y'])]));
  assert.equal((await replica.rows(table)).length, 2);
});

test('a reader inside a transaction holds nothing up', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a', 'x'])]));
  const reader = new DatabaseSync(replica.path, { readOnly: true });
  t.after(() => reader.close());
  const count = (): unknown => reader.prepare('SELECT count(*) n FROM people').get()?.['n'];
  reader.exec('BEGIN');
  assert.equal(count(), 1);
  await apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b', 'y'])]));
  assert.equal(count(), 1);
  reader.exec('COMMIT');
  assert.equal(count(), 2);
});

test('a reader that stays open is named once when it keeps the write-ahead log from being emptied, and the log is emptied after it', async (t) => {
  const warnings: unknown[] = [];
  const logger = { ...silentLogger, warn: (fields: unknown) => warnings.push(fields) } as unknown as typeof silentLogger;
  const path = join(await tempDirectory(t), 'wal.sqlite');
  const file = new DatabaseFile(path, { busyTimeout: 0, walLimit: 100_000, logger });
  t.after(() => file.close());
  file.db.exec('CREATE TABLE t (a TEXT)');
  const reader = new DatabaseSync(path);
  t.after(() => reader.close());
  reader.exec('BEGIN; SELECT * FROM t');
  const write = (): void => {
    file.db.exec("INSERT INTO t VALUES (hex(zeroblob(100000)))");
    file.boundWal();
  };
  write();
  write();
  assert.equal(warnings.length, 1);
  reader.exec('COMMIT');
  for (let i = 0; i < 3; i++) write();
  assert.equal(warnings.length, 1);
});

test('what is not a database is refused, and check says so', async (t) => {
  const directory = await tempDirectory(t);
  const path = join(directory, 'notes.txt');
  writeFileSync(path, 'these are notes, not a database\n'.repeat(100));
  assert.equal((await openSink(path).check([table]))[0]?.severity, 'error');
  await assert.rejects(openSink(path).open({ signal: new AbortController().signal }), { code: 'sink-conflict' });
  mkdirSync(join(directory, 'folder'));
  await assert.rejects(openSink(join(directory, 'folder')).open({ signal: new AbortController().signal }), { code: 'sink-refused' });
  await assert.rejects(openSink(join(path, 'x.sqlite')).open({ signal: new AbortController().signal }), { code: 'sink-refused' });
});

test('check of a file that is not there finds nothing and makes nothing; opening makes the folder too', async (t) => {
  const path = join(await tempDirectory(t), 'a', 'b', 'replica.sqlite');
  assert.deepEqual(await openSink(path).check([table]), []);
  assert.ok(!existsSync(join(path, '..')));
  await openSink(path).forget();
  assert.ok(!existsSync(path));
  await openSession(t, openSink(path));
  assert.ok(existsSync(path));
});

test('a damaged file is a loss', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  await apply(session, positionAt(1), changes(table, Array.from({ length: 2000 }, (_, i) => insert(table, [String(i), 'name', 'note']))));
  await session.close();
  const file = new DatabaseSync(replica.path);
  file.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  file.close();
  const bytes = readFileSync(replica.path);
  bytes.fill(0x5a, 4096);
  writeFileSync(replica.path, bytes);
  const attempt = async (): Promise<void> => apply(await openSession(t, replica.sink()), positionAt(2), changes(table, [update(table, ['1', 'x', undefined])]));
  await assert.rejects(attempt(), { code: 'sink-lost' });
});

test('a commit is on disk when it returns, and readers never wait', async (t) => {
  const file = new DatabaseFile(join(await tempDirectory(t), 'a.sqlite'), { busyTimeout: 0, logger: silentLogger });
  t.after(() => file.close());
  const pragma = (name: string): unknown => Object.values(file.db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
  assert.equal(pragma('synchronous'), 2);
  assert.equal(pragma('journal_mode'), 'wal');
});

test('a table made for a row that was refused is made again for the next', async (t) => {
  const replica = await sqliteReplica(t);
  const session = await openSession(t, replica.sink());
  await session.begin(positionAt(1));
  assert.ok((await session.tryWrite(changes(table, [update(table, ['1', 'a', undefined])]))) instanceof Error);
  assert.equal(await session.tryWrite(changes(table, [insert(table, ['2', 'b', 'y'])])), null);
  await session.commit();
  assert.deepEqual(await replica.rows(table), [['2', 'b', 'y']]);
});

test('a key column that did not come, being unchanged TOAST, is taken from the old key', async (t) => {
  const replica = await sqliteReplica(t);
  const byText = tableOf({ columns: [['k', 'text'], ['v', 'text']] });
  const session = await openSession(t, replica.sink());
  const sent = rekey(byText, ['long', null], [undefined, 'new']);
  await apply(session, positionAt(1), changes(byText, [insert(byText, ['long', 'old']), sent]));
  assert.deepEqual(await replica.rows(byText), [['long', 'new']]);
  await assert.rejects(apply(session, positionAt(2), changes(byText, [update(byText, [undefined, 'lost'])])), { code: 'sink-data' });
});

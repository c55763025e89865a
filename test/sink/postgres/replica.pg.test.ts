import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TailraceError } from '../../../src/runtime/errors.ts';
import type { TableSchema } from '../../../src/event/table.ts';
import { typeDefinition } from '../../../src/runtime/postgres/type-definition.ts';
import type { TableChanges, TableOperation } from '../../../src/sink/sink.ts';
import { altered, apply, changes, insert, positionAt, read, remove, tableOf, truncate, update } from '../../contract/sink-samples.ts';
import { openSession, sorted } from '../../contract/sink.ts';
import { emptyDatabase, rowsOf, sinkOf } from './harness.ts';

const table = tableOf({ columns: [['id', 'integer'], ['name', 'text']] });
const many = (from: number, count: number, make: (row: string[]) => TableOperation): TableOperation[] =>
  Array.from({ length: count }, (_, i) => make([String(from + i), `name ${from + i}`]));

test('rows that are read again, and inserts of rows that are there, go by staging when COPY finds them', async (t) => {
  const database = await emptyDatabase();
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, many(1, 100, (row) => read(table, row))));
  await apply(session, positionAt(2), changes(table, many(51, 100, (row) => read(table, [row[0], 'again'])), 'copying'));
  await apply(session, positionAt(3), changes(table, many(1, 60, (row) => insert(table, [row[0], 'twice']))));
  const counts = await database.sql('SELECT left(name, 5) AS name, count(*)::int AS n FROM people GROUP BY 1 ORDER BY 1');
  assert.deepEqual(counts, [{ name: 'again', n: 90 }, { name: 'twice', n: 60 }]);
});

test('a handful of inserts go by COPY, a few fewer by a statement each, and so do those that meet a row which is there', async (t) => {
  const database = await emptyDatabase();
  await database.sql(`CREATE TABLE people (id int PRIMARY KEY, name text); CREATE TABLE statements (rows int);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.statements SELECT count(*) FROM came; RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT ON people REFERENCING NEW TABLE AS came EXECUTE FUNCTION note(); ALTER TABLE people ENABLE ALWAYS TRIGGER note`);
  const session = await openSession(t, sinkOf(database));
  let position = 0;
  const statements = async (...list: readonly TableOperation[]): Promise<number[]> => {
    await database.sql('TRUNCATE statements');
    await apply(session, positionAt(++position), changes(table, list));
    return (await database.sql<{ rows: number }>('SELECT rows FROM statements WHERE rows > 0')).map(({ rows }) => rows);
  };
  const inserts = (from: number, count: number): TableOperation[] => many(from, count, (row) => insert(table, row));
  assert.deepEqual(await statements(...inserts(0, 8)), Array(8).fill(1));
  assert.deepEqual(await statements(...inserts(8, 9)), [9]);
  assert.deepEqual(await statements(...inserts(17, 9), update(table, ['17', 'changed'])), Array(9).fill(1));
  // Two of these are there: each finds its row, and COPY is left alone for a hundred batches.
  assert.deepEqual(await statements(...inserts(24, 20)), Array(18).fill(1));
  assert.deepEqual(await statements(...inserts(44, 20)), Array(20).fill(1));
  for (let i = 0; i < 97; i++) await apply(session, positionAt(++position), changes(table, [update(table, ['44', `${i}`])]));
  assert.deepEqual(await statements(...inserts(64, 20)), Array(20).fill(1));
  assert.deepEqual(await statements(...inserts(84, 20)), [20]);
  assert.deepEqual(await database.sql('SELECT count(*)::int AS n, max(id) AS last FROM people'), [{ n: 104, last: 103 }]);
});

test("a unique key of the replica's own is no hindrance when the source's order does not violate it", async (t) => {
  const database = await emptyDatabase();
  await database.sql('CREATE TABLE people (id int PRIMARY KEY, name text UNIQUE)');
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, many(1, 100, (row) => insert(table, row))));
  // Every name moves on to the next row: folded together, each would meet the one that still has it.
  const swap = [update(table, ['100', 'free']), ...Array.from({ length: 99 }, (_, i) => update(table, [String(99 - i), `name ${100 - i}`]))];
  await apply(session, positionAt(2), changes(table, swap));
  const rows = await database.sql("SELECT count(*)::int AS n FROM people WHERE name = 'name ' || (id + 1)");
  assert.deepEqual(rows, [{ n: 99 }]);
});

test('a refused row in the middle of a long COPY is found and named, and what it says of values stays unsaid', async (t) => {
  const database = await emptyDatabase();
  await database.sql("CREATE TABLE people (id int PRIMARY KEY, name text CHECK (name <> 'poison'))");
  const session = await openSession(t, sinkOf(database));
  const long = 'x'.repeat(2000);
  const list = many(1, 3000, (row) => insert(table, [row[0], row[0] === '1500' ? 'poison' : long]));
  await assert.rejects(apply(session, positionAt(1), changes(table, list)), (error) => {
    assert.ok(error instanceof TailraceError);
    assert.equal(error.code, 'sink-data');
    assert.equal(error.message, 'writing public.people, key (1500): a check constraint is violated (constraint people_name_check, SQLSTATE 23514)');
    assert.equal(error.cause, undefined);
    return true;
  });
  await session.abort();
  await apply(session, positionAt(1), changes(table, list.filter((_, i) => i !== 1499)));
  assert.equal((await rowsOf(database, table)).length, 2999);
});

test('a constraint that is checked at COMMIT refuses the whole transaction', async (t) => {
  const database = await emptyDatabase();
  await database.sql(`CREATE TABLE people (id int PRIMARY KEY, name text);
    CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF (SELECT count(*) FROM public.people WHERE name = NEW.name) > 1 THEN RAISE unique_violation; END IF; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER twice AFTER INSERT ON people DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION twice();
    ALTER TABLE people ENABLE ALWAYS TRIGGER twice`);
  const session = await openSession(t, sinkOf(database));
  await assert.rejects(apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a']), insert(table, ['2', 'a'])])), { code: 'sink-data' });
  await session.abort();
  assert.equal(session.position, null);
  assert.deepEqual(await rowsOf(database, table), []);
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a']), insert(table, ['2', 'b'])]));
});

test("the replica's triggers and foreign keys stay quiet", async (t) => {
  const database = await emptyDatabase();
  await database.sql(`CREATE TABLE people (id int PRIMARY KEY, name text REFERENCES people (name), UNIQUE (name));
    CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;
    CREATE TRIGGER shout BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION shout();
    CREATE TABLE pets (id int PRIMARY KEY, owner int REFERENCES people (id))`);
  const pets = tableOf({ columns: [['id', 'integer'], ['owner', 'integer']], name: 'pets' });
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(pets, [insert(pets, ['1', '1'])]), changes(table, [insert(table, ['1', 'a'])]));
  await apply(session, positionAt(2), changes(table, [remove(table, ['1', 'a']), insert(table, ['2', 'b'])]));
  assert.deepEqual(await rowsOf(database, table), [['2', 'b']]);
  // TRUNCATE would refuse a table that others refer to.
  await apply(session, positionAt(3), changes(table, [truncate, insert(table, ['3', 'c'])]));
  assert.deepEqual(await rowsOf(database, table), [['3', 'c']]);
});

test('without the right to keep triggers quiet a table that has some is refused, with the GRANT', async (t) => {
  const database = await emptyDatabase();
  const role = `r_${database.name}`;
  await database.sql(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; GRANT CREATE ON DATABASE ${database.name} TO ${role}; GRANT CREATE, USAGE ON SCHEMA public TO ${role};
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$`);
  t.after(() => database.sql(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`));
  const url = new URL(database.url);
  url.username = role;
  url.password = 'x';
  const sink = sinkOf(database, { url: url.href });
  const session = await openSession(t, sink);
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
  assert.deepEqual(await sink.check([table]), []);
  await session.close();
  await database.sql('CREATE TRIGGER nothing BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION nothing()');
  const [finding] = await sink.check([table]);
  assert.match(finding?.remedy ?? '', /GRANT SET ON PARAMETER session_replication_role/);
  const next = await openSession(t, sink);
  await assert.rejects(apply(next, positionAt(2), changes(table, [insert(table, ['2', 'b'])])), { code: 'sink-conflict' });
  await next.close();
  await database.sql(`GRANT SET ON PARAMETER session_replication_role TO ${role}`);
  assert.deepEqual(await sink.check([table]), []);
  await database.sql(`REVOKE SET ON PARAMETER session_replication_role FROM ${role}; REVOKE CREATE ON SCHEMA public FROM ${role}`);
  const other = tableOf({ columns: [['id', 'integer']], name: 'other' });
  assert.deepEqual((await sink.check([other])).map((one) => one.check), ['replica-rights']);
});

test('a dropped replica table is lost, not made again in silence; so is a position that somebody removed', async (t) => {
  const database = await emptyDatabase();
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
  await database.sql('ALTER TABLE people RENAME TO elsewhere');
  await assert.rejects(apply(session, positionAt(2), changes(table, [insert(table, ['2', 'b'])])), { code: 'sink-conflict' });
  await session.close();
  const next = await openSession(t, sinkOf(database));
  await assert.rejects(apply(next, positionAt(2), changes(table, [insert(table, ['2', 'b'])])), { code: 'sink-lost' });
  await next.close();
  assert.deepEqual((await sinkOf(database).check([table])).map((one) => one.check), ['sink-lost']);
  await database.sql('DELETE FROM tailrace.position');
  await assert.rejects(sinkOf(database).open({ signal: new AbortController().signal }), { code: 'sink-lost' });
});

test('an existing table may have columns of its own that fill themselves, and indexes', async (t) => {
  const database = await emptyDatabase();
  await database.sql('CREATE TABLE people (loaded_at timestamptz NOT NULL DEFAULT now(), name text, id bigint, UNIQUE (id)); CREATE INDEX ON people (name)');
  const sink = sinkOf(database);
  assert.match((await sink.check([table]))[0]?.message ?? '', /column id is of type bigint, not integer/);
  await database.sql('ALTER TABLE people ALTER id TYPE int');
  assert.deepEqual(await sink.check([table]), []);
  const session = await openSession(t, sink);
  await apply(session, positionAt(1), changes(table, many(1, 100, (row) => insert(table, row))));
  await apply(session, positionAt(2), changes(table, many(1, 100, (row) => update(table, [row[0], 'new']))));
  assert.deepEqual(await database.sql("SELECT count(*)::int AS n, count(loaded_at)::int AS loaded FROM people WHERE name = 'new'"), [{ n: 100, loaded: 100 }]);
});

test('D13: what the replica cannot follow stops the sink with the statements to run; it goes on once nothing is in the way, or somebody has run them', async (t) => {
  const database = await emptyDatabase();
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', '10'])]));
  await database.sql('CREATE VIEW used AS SELECT id, name FROM people');
  const refused = async (step: TableChanges, at: number): Promise<string> => {
    const error = await apply(session, positionAt(at), step).then(() => assert.fail('it was followed'), (reason: unknown) => reason as TailraceError);
    await session.abort();
    assert.equal(error.code, 'sink-shape');
    assert.match(error.message, /public\.people changed its shape/);
    return /Run at the replica: (.*?)\. The sink/.exec(error.remedy)?.[1] ?? '';
  };
  const retyped = altered(table, { columns: [['id', 'integer'], ['name', 'integer']], version: 2 });
  const step = changes(retyped, [insert(retyped, ['2', '20'])]);
  const statement = await refused(step, 2);
  await database.sql(`DROP VIEW used; ${statement}`);
  await apply(session, positionAt(2), step);
  await database.sql('CREATE VIEW used AS SELECT id, name FROM people');
  const narrower = altered(table, { columns: [['id', 'integer']], version: 3 });
  const next = changes(narrower, [insert(narrower, ['3'])]);
  assert.equal(await refused(next, 3), 'ALTER TABLE "public"."people" DROP COLUMN "name"');
  await database.sql('DROP VIEW used');
  await apply(session, positionAt(3), next);
  assert.deepEqual(sorted(await rowsOf(database, narrower)), sorted([['1'], ['2'], ['3']]));
});

test('D2, D3: with ddl: pause a swap of names, and a column made again under its name, are known to be done once somebody has done them', async (t) => {
  const database = await emptyDatabase();
  const session = await openSession(t, sinkOf(database, { ddl: 'pause' }));
  const paused = async (step: TableChanges, at: number): Promise<void> => {
    const error = await apply(session, positionAt(at), step).then(() => assert.fail('it was followed'), (reason: unknown) => reason as TailraceError);
    await session.abort();
    assert.equal(error.code, 'sink-shape');
    await database.sql(/Run at the replica: (.*?)\. The sink/.exec(error.remedy)?.[1] ?? 'a statement is missing');
    await apply(session, positionAt(at), step);
  };
  const start = altered(table, { columns: [['id', 'integer'], ['a', 'text'], ['b', 'text']], version: 2 });
  await apply(session, positionAt(1), changes(start, [insert(start, ['1', 'a', 'b'])]));
  const swapped = altered(table, { columns: [['id', 'integer'], ['b', 'text'], ['a', 'text']], version: 3 });
  await paused(changes(swapped, [insert(swapped, ['2', 'a', 'b'])]), 2);
  const again = altered(table, { columns: [['id', 'integer'], ['b', 'text'], ['a', 'text']], attnums: [1, 2, 4], version: 4 });
  await paused(changes(again, [insert(again, ['3', 'a', 'new'])]), 3);
  assert.deepEqual(await database.sql('SELECT id, b, a FROM people ORDER BY id'), [{ id: 1, b: 'a', a: null }, { id: 2, b: 'a', a: null }, { id: 3, b: 'a', a: 'new' }]);
});

test('D5: a type of the user\'s that is not the same at the replica any more is carried as text', async (t) => {
  const database = await emptyDatabase();
  await database.sql("CREATE TYPE mood AS ENUM ('sad', 'ok')");
  const [same] = await database.sql<{ definition: string }>(`SELECT ${typeDefinition('t.oid')} AS definition FROM pg_type t WHERE t.oid = 'mood'::regtype`);
  const typed = (definition: string | undefined, version: number): TableSchema => {
    const shape = altered(table, { columns: [['id', 'integer'], ['m', 'public.mood']], version });
    return { ...shape, name: 'moods', columns: shape.columns.map((column, i) => (i === 1 ? { ...column, typeOid: 90_001, baseTypeOid: 90_001, ...(definition === undefined ? {} : { definition }) } : column)) };
  };
  const [before, after] = [typed(same?.definition, 2), typed('another', 3)];
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(before, [insert(before, ['1', 'sad'])]));
  await apply(session, positionAt(2), changes(after, [insert(after, ['2', 'new label'])]));
  assert.deepEqual(sorted(await rowsOf(database, after)), sorted([['1', 'sad'], ['2', 'new label']]));
  assert.deepEqual(await database.sql("SELECT format_type(atttypid, -1) AS type FROM pg_attribute WHERE attrelid = 'moods'::regclass AND attname = 'm'"), [{ type: 'text' }]);
});

test('a table whose source was renamed to a name that is taken at the replica is made anew there, and the old one stays', async (t) => {
  const database = await emptyDatabase();
  const session = await openSession(t, sinkOf(database));
  const other = tableOf({ columns: [['id', 'integer'], ['name', 'text']], name: 'folk' });
  await apply(session, positionAt(1), changes(table, [insert(table, ['1', 'a'])]), changes(other, [insert(other, ['9', 'z'])]));
  const renamed = { ...altered(table, { columns: [['id', 'integer'], ['name', 'text']], version: 2 }), name: 'folk' };
  await apply(session, positionAt(2), changes(renamed, [insert(renamed, ['2', 'b'])]));
  assert.deepEqual(await rowsOf(database, renamed), [['2', 'b']]);
  assert.deepEqual(await rowsOf(database, table), [['1', 'a']]);
});

test('many sets of absent columns do not run out of prepared statements', async (t) => {
  const database = await emptyDatabase();
  const wide = tableOf({ columns: [['id', 'integer'], ...Array.from({ length: 8 }, (_, i): [string, string] => [`c${i}`, 'text'])], name: 'wide' });
  const session = await openSession(t, sinkOf(database));
  await apply(session, positionAt(1), changes(wide, [insert(wide, ['1', ...Array.from({ length: 8 }, () => '-')])]));
  const expected = Array.from({ length: 8 }, () => '-');
  for (let round = 0; round < 43; round++) {
    const list = Array.from({ length: 6 }, (_, i) => {
      const mask = round * 6 + i;
      const texts = Array.from({ length: 8 }, (__, bit) => ((mask >> bit) % 2 === 1 ? (expected[bit] = String(mask)) : undefined));
      return update(wide, ['1', ...texts]);
    });
    await apply(session, positionAt(round + 2), changes(wide, list));
  }
  assert.deepEqual(await rowsOf(database, wide), [['1', ...expected]]);
});

test('the position alone moves over transactions that hold nothing, and rows of other sinks stay theirs', async (t) => {
  const database = await emptyDatabase();
  const one = await openSession(t, sinkOf(database, { sink: 'one', schema: 'a' }));
  const two = await openSession(t, sinkOf(database, { sink: 'two', schema: 'b' }));
  await apply(one, positionAt(1), changes(table, [insert(table, ['1', 'a'])]));
  await apply(two, positionAt(1), changes(table, [insert(table, ['1', 'b'])]));
  await sinkOf(database, { sink: 'one' }).forget();
  assert.deepEqual(sorted(await rowsOf(database, { ...table, schema: 'a' })), sorted([['1', 'a']]));
  await apply(two, positionAt(2));
  assert.deepEqual((await database.sql('SELECT sink, commit_lsn::text FROM tailrace.position')), [{ sink: 'two', commit_lsn: '0/2' }]);
});

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import pg from 'pg';
import type { TableShape } from '../../../src/event/table.ts';
import { tupleTexts } from '../../../src/event/tuple.ts';
import type { Chunk, RowBlock, SourceSession } from '../../../src/source/source.ts';
import { freshDatabase, type TestDatabase } from '../../support/postgres.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { there } from '../../support/there.ts';
import { eventually } from '../../support/wait.ts';
import { connected, sourceOn, Tail, type SourceOptions } from './support.ts';

const { signal } = new AbortController();

function texts(rows: RowBlock): (string | null | undefined)[][] {
  return Array.from({ length: rows.count }, (_, i) => tupleTexts(rows.bytes, rows.starts[i] as number));
}

function tableOf(session: SourceSession, name: string): TableShape {
  const table = session.tables.find((candidate) => candidate.name === name);
  assert.ok(table !== undefined, `${name} is captured`);
  return table;
}

async function readChunk(session: SourceSession, table: TableShape, options: { after?: readonly string[] | null; until?: readonly string[]; maxRows?: number; keys?: readonly (readonly string[])[]; where?: string } = {}): Promise<Chunk> {
  return there(await session.snapshots.chunk({
    table, low: 'low', high: 'high', after: options.after ?? null, until: options.until ?? null, keys: options.keys ?? null, where: options.where ?? null, maxRows: options.maxRows ?? 1000, maxBytes: 1 << 24, signal,
  }));
}

/** Every row, by chunks of `maxRows`, as the texts of its first column. */
async function readAll(session: SourceSession, table: TableShape, maxRows: number): Promise<string[]> {
  const seen: string[] = [];
  for (let after: readonly string[] | null = null; ; ) {
    const chunk = await readChunk(session, table, { after, maxRows });
    const rows = texts(chunk.rows);
    seen.push(...rows.map((row) => String(row[0])));
    if (chunk.last) return seen;
    after = table.key.map((index) => rows.at(-1)?.[index] as string);
  }
}

async function prepared(t: TestContext, sql: string, options: SourceOptions = {}): Promise<{ database: TestDatabase; session: SourceSession }> {
  const database = await freshDatabase(t);
  await database.sql(sql);
  return { database, session: await connected(sourceOn(database.url, options), t) };
}

const words = ['a', 'A', 'b', 'B', 'ä', 'z', 'Z', '_', '-', ' ', '', 'a b', 'ab', 'a-b', "it's", '\\', 'ß', 'ss', '🙂', '9', '10'];

for (const [what, type, values] of [
  ['text under an ICU collation', 'text COLLATE "en-x-icu"', words],
  ['text under the C collation', 'text COLLATE "C"', words],
  ['text under a collation that takes capitals for equal', 'text COLLATE no_case', words.filter((word) => word === word.toLowerCase())],
  ['varchar', 'varchar(20)', words],
  ['char', 'char(5)', ['a', 'b', 'B', 'ab', '']],
  ['numeric', 'numeric', ['1', '2', '10', '-1', '1.5', '1e30', 'NaN', 'Infinity', '-Infinity', '0.00']],
  ['double precision', 'float8', ['1', '2', '10', '-1', '0.1', 'NaN', 'Infinity', '-Infinity', '5e-324']],
  ['an enum', 'mood', ['sad', 'ok', 'happy', 'so "so"']],
  ['uuid', 'uuid', ['00000000-0000-0000-0000-000000000001', 'ffffffff-0000-0000-0000-000000000000', '10000000-0000-0000-0000-000000000000']],
  ['bytea', 'bytea', ['\\x00', '\\xff', '\\x', '\\x5c']],
  ['timestamptz', 'timestamptz', ['-infinity', 'infinity', '2024-01-01 00:00:00.000001+00', '4714-11-24 00:00:00+00 BC']],
  ['a composite', 'pair', ['(1,a)', '(1,"a b")', '(2,)', '(10,"")']],
  ['a domain', 'positive', ['1', '2', '10']],
  ['an array', 'int[]', ['{1,2}', '{1,10}', '{2}', '{}']],
  ['a range', 'int4range', ['[1,5)', 'empty', '(,3)']],
  ['"char"', '"char"', ['a', 'b']],
  ['interval', 'interval', ['1 mon', '29 days', '-1 days', '00:00:01']],
] as const) {
  test(`a key of ${what} is read row by row, none twice and none left out`, async (t) => {
    const { database, session } = await prepared(t, `CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      CREATE TYPE mood AS ENUM ('sad', 'ok', 'so "so"', 'happy'); CREATE TYPE pair AS (n int, t text); CREATE DOMAIN positive AS int CHECK (value > 0);
      CREATE TABLE k (id ${type} PRIMARY KEY)`);
    await database.sql(`INSERT INTO k SELECT x::text::${type.split(' COLLATE')[0]} FROM unnest($1::text[]) x`, [values]);
    const expected = await database.sql<{ id: string }>('SELECT id::text AS id FROM k ORDER BY k.id');
    const seen = await readAll(session, tableOf(session, 'k'), 1);
    if (type === 'char(5)') assert.equal(seen.length, values.length);
    else if (type !== 'bytea') assert.deepEqual(seen, expected.map((row) => row.id).map((id) => (type.startsWith('timestamptz') ? seen[seen.indexOf(id)] ?? id : id)));
    assert.equal(new Set(seen).size, values.length);
    // Cut in two anywhere, each stretch has its own rows and no other.
    const table = tableOf(session, 'k');
    const middle = [seen[seen.length >> 1] as string];
    const halves = [await readChunk(session, table, { until: middle }), await readChunk(session, table, { after: middle })];
    assert.deepEqual(halves.flatMap(({ rows }) => texts(rows).map(([text]) => String(text))), seen);
    assert.equal(halves[0]?.rows.count, (seen.length >> 1) + 1);
  });
}

test('a key of several columns goes in the order of its index, not of the table', async (t) => {
  const { database, session } = await prepared(t, 'CREATE TABLE k (a int, b text, c int, PRIMARY KEY (c, b))');
  await database.sql("INSERT INTO k SELECT g, 'x' || g % 3, g / 3 FROM generate_series(1, 20) g");
  const table = tableOf(session, 'k');
  assert.deepEqual(table.key, [2, 1]);
  const expected = await database.sql<{ a: number }>('SELECT a FROM k ORDER BY c, b');
  assert.deepEqual(await readAll(session, table, 3), expected.map((row) => String(row.a)));
});

test('an index with operators and a collation of its own decides the order, and is used', async (t) => {
  const { database, session } = await prepared(t, `CREATE TABLE k (id text COLLATE "en-x-icu" NOT NULL, n int NOT NULL);
    CREATE UNIQUE INDEX k_key ON k (id COLLATE "C" text_pattern_ops, n DESC); ALTER TABLE k REPLICA IDENTITY USING INDEX k_key`);
  await database.sql('INSERT INTO k SELECT x, 1 FROM unnest($1::text[]) x', [words]);
  const table = tableOf(session, 'k');
  assert.deepEqual(table.key, [0, 1]);
  const seen = await readAll(session, table, 1);
  assert.deepEqual(seen, [...words].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
});

test('an index whose operators are of another schema is followed by them', async (t) => {
  const { database, session } = await prepared(t, `
    CREATE FUNCTION back_cmp(int, int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT pg_catalog.btint4cmp($2, $1)';
    ${['lt >', 'le >=', 'eq =', 'ge <=', 'gt <'].map((pair) => `CREATE FUNCTION back_${pair.split(' ')[0]}(int, int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 ${pair.split(' ')[1]} $2';`).join('')}
    ${['< lt', '<= le', '= eq', '>= ge', '> gt'].map((pair) => `CREATE OPERATOR public.${pair.split(' ')[0]} (LEFTARG = int, RIGHTARG = int, FUNCTION = back_${pair.split(' ')[1]});`).join('')}
    CREATE OPERATOR CLASS backwards FOR TYPE int USING btree AS OPERATOR 1 public.<, OPERATOR 2 public.<=, OPERATOR 3 public.=, OPERATOR 4 public.>=, OPERATOR 5 public.>, FUNCTION 1 back_cmp(int, int);
    CREATE TABLE k (id int NOT NULL, n int NOT NULL); CREATE UNIQUE INDEX k_key ON k (id backwards, n); ALTER TABLE k REPLICA IDENTITY USING INDEX k_key`);
  await database.sql('INSERT INTO k SELECT g / 2, g FROM generate_series(1, 9) g');
  const table = tableOf(session, 'k');
  assert.deepEqual(await readAll(session, table, 2), ['4', '4', '3', '3', '2', '2', '1', '1', '0']);
  const keys = await readChunk(session, table, { keys: [['4', '9'], ['0', '1'], ['0', '2']] });
  assert.deepEqual(texts(keys.rows), [['4', '9'], ['0', '1']]);
});

test('a condition picks rows of a chunk, whatever is in it, and no text can be more than a condition', async (t) => {
  const { database, session } = await prepared(t, `CREATE TABLE k (id int PRIMARY KEY, v text); INSERT INTO k SELECT g, 'x' || g FROM generate_series(1, 9) g`);
  const table = tableOf(session, 'k');
  for (const [where, ids] of [["id % 2 = 0 OR v = 'x1'", ['1', '2', '4', '6', '8']], ["v = ')' OR id > 8 -- the newest", ['9']], ["v <> ';'AND id < 2", ['1']]] as const) {
    await session.snapshots.checkWhere(table, where);
    assert.deepEqual(texts((await readChunk(session, table, { where, maxRows: 5 })).rows).map(([id]) => id), ids);
  }
  assert.deepEqual(texts((await readChunk(session, table, { where: 'id > 3', after: ['1'], until: ['5'] })).rows).map(([id]) => id), ['4', '5']);
  assert.deepEqual(texts((await readChunk(session, table, { where: 'id > 3', keys: [['2'], ['4']] })).rows).map(([id]) => id), ['4']);
  for (const where of ['id = ', 'nothing = 1', 'id', 'true) LIMIT 0; DROP TABLE k; SELECT (true', 'true); DELETE FROM k; --', 'count(*) > 1', "pg_sleep('x')"]) {
    await assert.rejects(session.snapshots.checkWhere(table, where), { code: 'usage', message: /--where is no condition for public\.k/ });
  }
  assert.equal((await database.sql('SELECT 1 FROM k')).length, 9);
});

test('a large table is cut into stretches of about the same size, a small one is not', async (t) => {
  const { session } = await prepared(t, `CREATE TABLE k (id text COLLATE "en-x-icu", n int, v text, PRIMARY KEY (id, n)); CREATE TABLE small (id int PRIMARY KEY); CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
    CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    ALTER TABLE k ALTER v SET STORAGE EXTERNAL; ALTER TABLE p0 ALTER v SET STORAGE EXTERNAL; ALTER TABLE p1 ALTER v SET STORAGE EXTERNAL;
    INSERT INTO k SELECT md5(g::text), g, repeat('x', 3000) FROM generate_series(1, 12000) g; INSERT INTO p SELECT g, repeat('x', 3000) FROM generate_series(1, 12000) g; INSERT INTO small VALUES (1)`);
  assert.deepEqual(await session.snapshots.boundaries(tableOf(session, 'small'), 4), []);
  for (const name of ['k', 'p']) {
    const table = tableOf(session, name);
    const boundaries = await session.snapshots.boundaries(table, 4);
    assert.equal(boundaries.length, 3);
    const ends = [...boundaries, null];
    const counts: number[] = [];
    for (const [i, until] of ends.entries()) counts.push((await readChunk(session, table, { after: boundaries[i - 1] ?? null, ...(until === null ? {} : { until }), maxRows: 20_000 })).rows.count);
    assert.equal(counts.reduce((sum, count) => sum + count), 12_000);
    assert.ok(Math.min(...counts) > 1000, `${counts.join(', ')} rows`);
  }
});

test('where the identity is another index than the primary key, the key is that index', async (t) => {
  const { database, session } = await prepared(t, `CREATE TABLE k (id int PRIMARY KEY, other int NOT NULL);
    CREATE UNIQUE INDEX k_other ON k (other); ALTER TABLE k REPLICA IDENTITY USING INDEX k_other`);
  const tail = new Tail(session);
  await database.sql('INSERT INTO k VALUES (1, 100)');
  await database.sql('DELETE FROM k');
  await eventually(() => tail.commits().length === 2);
  assert.deepEqual(tail.rows, ['c 0 public.k: 1 100', 'd 0 public.k: [key ∅ 100]']);
  assert.deepEqual(tableOf(session, 'k').key, [1]);
});

test('a primary key is the key beside identity full, a deferrable one is none', async (t) => {
  const { database, session } = await prepared(t, `CREATE TABLE a (id int PRIMARY KEY); ALTER TABLE a REPLICA IDENTITY FULL;
    CREATE TABLE b (id int PRIMARY KEY DEFERRABLE); ALTER TABLE b REPLICA IDENTITY FULL`);
  const tail = new Tail(session);
  await database.sql('INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)');
  await eventually(() => tail.items.filter((item) => item.op === 'c').length === 2);
  for (const item of tail.items) if (item.op === 'c') assert.deepEqual(item.table.key, item.table.name === 'a' ? [0] : []);
  assert.deepEqual([tableOf(session, 'a').key, tableOf(session, 'b').key], [[0], []]);
});

test('a partitioned table is copied and streamed under its own name, its partitions are not tables of their own', async (t) => {
  const { database, session } = await prepared(t, `CREATE TABLE p (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
    CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE TABLE p2 (v text, id int NOT NULL);
    ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (1, 'a'), (11, 'b')`);
  assert.deepEqual(session.tables.map((table) => table.name), ['p']);
  const tail = new Tail(session);
  const chunk = await readChunk(session, tableOf(session, 'p'));
  assert.deepEqual(texts(chunk.rows), [['1', 'a'], ['11', 'b']]);
  await database.sql('UPDATE p SET id = 12 WHERE id = 1; TRUNCATE p');
  await eventually(() => tail.rows.some((row) => row.startsWith('t ')));
  assert.deepEqual(tail.rows.filter((row) => !row.startsWith('m')), ['d 0 public.p: [key 1 ∅]', 'c 1 public.p: 12 a', 't 2 public.p']);
});

test('children by inheritance are tables of their own', async (t) => {
  const { database, session } = await prepared(t, `CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
    INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2)`);
  assert.deepEqual(texts((await readChunk(session, tableOf(session, 'parent'))).rows), [['1']]);
  assert.deepEqual(texts((await readChunk(session, tableOf(session, 'child'))).rows), [['2']]);
  assert.equal((await database.sql('SELECT 1 FROM pg_publication_rel')).length, 2);
});

test('a copy has the columns and the rows that a named publication sends', async (t) => {
  const { database, session } = await prepared(t, `CREATE TABLE k (id int PRIMARY KEY, secret text, v int, twice int GENERATED ALWAYS AS (v * 2) STORED);
    CREATE PUBLICATION "some, ""pub'" FOR TABLE k (id, v) WHERE (id > 1)`, { config: { publication: 'some, "pub\'' } });
  await database.sql("INSERT INTO k VALUES (1, 's', 10), (2, 's', 20)");
  const tail = new Tail(session);
  const chunk = await readChunk(session, tableOf(session, 'k'));
  assert.deepEqual(texts(chunk.rows), [['2', '20']]);
  await database.sql('UPDATE k SET v = 21 WHERE id = 2');
  await eventually(() => tail.rows.some((row) => row.startsWith('u ')));
  assert.deepEqual(tail.rows.filter((row) => !row.startsWith('m')), ['c 0 public.k: 2 20', 'u 0 public.k: 2 21']);
});

test('a stored generated column is streamed and copied, a virtual one neither', async (t) => {
  const { database, session } = await prepared(t, 'CREATE TABLE k (id int PRIMARY KEY, half int GENERATED ALWAYS AS (id / 2) VIRTUAL, twice int GENERATED ALWAYS AS (id * 2) STORED)');
  const tail = new Tail(session);
  await database.sql('INSERT INTO k VALUES (1)');
  assert.deepEqual(texts((await readChunk(session, tableOf(session, 'k'))).rows), [['1', '2']]);
  await eventually(() => tail.rows.some((row) => row === 'c 0 public.k: 1 2'));
});

for (const [what, ddl] of [
  ['a column is added', 'ALTER TABLE k ADD COLUMN w int DEFAULT 5'],
  ['a column changes its type', 'ALTER TABLE k ALTER COLUMN v TYPE int USING 7'],
  ['the table is rewritten', 'VACUUM FULL k'],
  ['the replica identity changes', 'ALTER TABLE k REPLICA IDENTITY FULL'],
  ['the table is renamed', 'ALTER TABLE k RENAME TO l'],
  ['the table is truncated', 'TRUNCATE k'],
] as const) {
  test(`a chunk is not stable when ${what} between its watermarks`, async (t) => {
    const database = await freshDatabase(t);
    await database.sql("CREATE TABLE k (id int PRIMARY KEY, v text); INSERT INTO k VALUES (1, 'a')");
    const proxy = await TcpProxy.before(database.url);
    t.after(() => proxy.close());
    const session = await connected(sourceOn(proxy.through(database.url)), t);
    const table = tableOf(session, 'k');
    assert.equal((await readChunk(session, table)).stable, true);
    // The chunk's transaction is over, and that of the high watermark has not begun.
    const between = proxy.holdAfter('ROLLBACK');
    const reading = readChunk(session, table);
    const goOn = await between;
    await database.sql(ddl);
    goOn();
    assert.equal((await reading).stable, false);
  });
}

test('a transaction that ran when the table entered is waited for, and named', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)');
  const source = sourceOn(database.url, { config: { tables: { include: ['public.a'] } }, pipeline: 'entered' });
  await (await source.connect({ signal })).close();
  const writer = new pg.Client({ connectionString: database.url, application_name: 'the writer' });
  await writer.connect();
  await writer.query('BEGIN; INSERT INTO b VALUES (1)');
  // b enters while its writer runs.
  const session = await connected(sourceOn(database.url, { pipeline: 'entered' }), t);
  const waits: string[] = [];
  let over = false;
  const entering = session.snapshots.entered(tableOf(session, 'b'), { signal, onWait: (session) => waits.push(session) }).then(() => (over = true));
  await eventually(() => waits.length >= 2);
  assert.match(waits[0] ?? '', /^pid \d+ \(application the writer, user postgres\)$/);
  assert.equal(over, false);
  await writer.query('COMMIT');
  await writer.end();
  await entering;
});

test('the newest of all transactions is waited for too, when none behind it has ended', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const source = sourceOn(database.url);
  await (await source.connect({ signal })).close();
  const writer = new pg.Client(database.url);
  await writer.connect();
  await writer.query('BEGIN; INSERT INTO a VALUES (1)');
  const session = await connected(source, t);
  const waits: string[] = [];
  const entering = session.snapshots.entered(tableOf(session, 'a'), { signal, onWait: (session) => waits.push(session) });
  await eventually(() => waits.length > 0);
  await writer.query('COMMIT');
  await writer.end();
  await entering;
});

test('a transaction of another database is not waited for', async (t) => {
  const database = await freshDatabase(t);
  const other = await freshDatabase(t);
  await other.sql('CREATE TABLE x (id int)');
  const writer = new pg.Client(other.url);
  writer.on('error', () => {});
  await writer.connect();
  await database.sql('CREATE TABLE a (id int PRIMARY KEY)');
  const source = sourceOn(database.url, { pipeline: 'elsewhere' });
  await (await source.connect({ signal })).close();
  await writer.query('BEGIN; INSERT INTO x VALUES (1)');
  const session = await connected(source, t);
  const waits: string[] = [];
  await session.snapshots.entered(tableOf(session, 'a'), { signal, onWait: (session) => waits.push(session) });
  assert.deepEqual(waits, []);
  await writer.end();
});

test('a table that is dropped is gone to whoever copies it, wherever they are in that', async (t) => {
  const database = await freshDatabase(t);
  await database.sql('CREATE TABLE k (id int PRIMARY KEY); CREATE TABLE bag (id int); ALTER TABLE bag REPLICA IDENTITY FULL');
  const proxy = await TcpProxy.before(database.url);
  t.after(() => proxy.close());
  const session = await connected(sourceOn(proxy.through(database.url)), t);
  const [k, bag] = [tableOf(session, 'k'), tableOf(session, 'bag')];
  const request = { table: k, low: 'low', high: 'high', after: null, keys: null, maxRows: 10, maxBytes: 1 << 20, signal };
  // Behind the snapshot of the chunk, and in front of everything that is asked in it.
  const between = proxy.holdAfter('pg_current_snapshot()');
  const reading = session.snapshots.chunk(request);
  const goOn = await between;
  await database.sql('DROP TABLE k, bag');
  goOn();
  assert.notEqual((await reading)?.stable, true);
  assert.equal(await session.snapshots.chunk(request), null);
  assert.equal(await session.snapshots.whole(bag, signal), null);
  assert.deepEqual(await session.snapshots.boundaries(k, 4), []);
  const open = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
  await eventually(async () => (await database.sql(open)).length === 0);
});

test('the texts of a key that cannot be one are an error without the text', async (t) => {
  const { session } = await prepared(t, 'CREATE TABLE k (id int PRIMARY KEY)');
  await assert.rejects(readChunk(session, tableOf(session, 'k'), { after: ["1'; DROP TABLE k --"] }), (error: Error) => !error.message.includes('DROP'));
  assert.equal((await readChunk(session, tableOf(session, 'k'))).stable, true);
});

test('a whole table is read in blocks, at the moment of its snapshot', async (t) => {
  const { database, session } = await prepared(t, `CREATE TABLE k (id int, v text); ALTER TABLE k REPLICA IDENTITY FULL;
    INSERT INTO k SELECT g, repeat('x', 1000) FROM generate_series(1, 3000) g`);
  const whole = there(await session.snapshots.whole(tableOf(session, 'k'), signal));
  await database.sql('DELETE FROM k');
  const ids: string[] = [];
  let blocks = 0;
  for await (const block of whole.blocks()) {
    blocks++;
    ids.push(...texts(block).map((row) => String(row[0])));
  }
  assert.equal(ids.length, 3000);
  assert.ok(blocks >= 3, `${blocks} blocks of about 1 MiB`);
});

test('D3, D6: names that are swapped while a whole table is read take no value into another column or table', async (t) => {
  const { database, session } = await prepared(t, "CREATE TABLE k (a text, b text); ALTER TABLE k REPLICA IDENTITY FULL; INSERT INTO k VALUES ('of a', 'of b'); CREATE TABLE other AS SELECT 'b of another' AS b, 'a of another' AS a");
  const read = async (meanwhile: string): Promise<unknown> => {
    const whole = there(await session.snapshots.whole(tableOf(session, 'k'), signal));
    await database.sql(meanwhile);
    const seen: unknown[] = [];
    for await (const block of whole.blocks()) seen.push(...texts(block));
    const isStable = await whole.isStable();
    await whole.close();
    return [seen, whole.shape.columns.map(({ name }) => name), isStable];
  };
  assert.deepEqual(await read('ALTER TABLE k RENAME a TO c; ALTER TABLE k RENAME b TO a; ALTER TABLE k RENAME c TO b'), [[['of b', 'of a']], ['a', 'b'], false]);
  assert.deepEqual(await read('ALTER TABLE k ALTER a TYPE text USING upper(a)'), [[], ['b', 'a'], false]);
  assert.deepEqual(await read('ALTER TABLE k RENAME TO aside; ALTER TABLE other RENAME TO k'), [[['b of another', 'a of another']], ['b', 'a'], false]);
  await database.sql('ALTER TABLE k RENAME TO other; ALTER TABLE aside RENAME TO k');
  assert.deepEqual(await read('SELECT'), [[['of a', 'OF B']], ['b', 'a'], true]);
});

test('a whole table that is given up leaves no transaction behind', async (t) => {
  const { database, session } = await prepared(t, 'CREATE TABLE k (id int); ALTER TABLE k REPLICA IDENTITY FULL');
  const whole = there(await session.snapshots.whole(tableOf(session, 'k'), signal));
  const open = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";
  assert.equal((await database.sql(open)).length, 1);
  await whole.close();
  await eventually(async () => (await database.sql(open)).length === 0);
});

test('a copy that row-level security would thin out is refused', async (t) => {
  const database = await freshDatabase(t);
  const role = `r_${database.name}`;
  await database.sql(`CREATE TABLE k (id int PRIMARY KEY); INSERT INTO k SELECT generate_series(1, 9); CREATE ROLE ${role} LOGIN REPLICATION PASSWORD 'x';
    GRANT SELECT ON k TO ${role}; CREATE PUBLICATION p FOR TABLE k`);
  t.after(() => database.sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`).then(() => undefined, () => undefined));
  const url = new URL(database.url);
  url.username = role;
  url.password = 'x';
  const session = await connected(sourceOn(url.href, { config: { publication: 'p' } }), t);
  assert.equal((await readChunk(session, tableOf(session, 'k'))).rows.count, 9);
  await database.sql('ALTER TABLE k ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON k USING (id < 4)');
  await assert.rejects(readChunk(session, tableOf(session, 'k')), { code: 'source-refused' });
});

test('an estimate is what ANALYZE found, and nothing before it', async (t) => {
  const { database, session } = await prepared(t, 'CREATE TABLE k (id int PRIMARY KEY); INSERT INTO k SELECT generate_series(1, 1000)');
  assert.equal(await session.snapshots.estimate(tableOf(session, 'k')), undefined);
  await database.sql('ANALYZE k');
  assert.equal(await session.snapshots.estimate(tableOf(session, 'k')), 1000);
});

test('tables that come later are found, enter our publication, and who ran meanwhile is waited for', async (t) => {
  const { database, session } = await prepared(t, 'CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE plain (v text)', { config: { tables: { include: ['public.*'], exclude: ['public.not_*'] } } });
  assert.deepEqual(await session.discover(), []);
  assert.match(session.leftOut.map((finding) => finding.message).join(), /public\.plain is left out/);
  const writer = new pg.Client(database.url);
  await writer.connect();
  await writer.query('BEGIN; CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE not_b (id int PRIMARY KEY); CREATE TABLE c (v text)');
  assert.deepEqual(await session.discover(), [], 'nobody sees it yet');
  await writer.query('COMMIT; BEGIN; INSERT INTO b VALUES (1)');
  const found = await session.discover();
  assert.deepEqual(found.map(({ name }) => name), ['b']);
  assert.deepEqual(session.tables.map(({ name }) => name), ['a', 'b']);
  assert.match(session.leftOut.map((finding) => finding.message).join(), /public\.c is left out/);
  const waits: string[] = [];
  const entering = session.snapshots.entered(tableOf(session, 'b'), { signal, onWait: (holder) => waits.push(holder) });
  await eventually(() => waits.length > 0);
  await writer.query('COMMIT');
  await writer.end();
  await entering;
  const tail = new Tail(session);
  assert.deepEqual(texts((await readChunk(session, tableOf(session, 'b'))).rows), [['1']]);
  await database.sql('INSERT INTO b VALUES (2)');
  await eventually(() => tail.rows.some((row) => row.endsWith('public.b: 2')));
  // A table that gets what it lacked is captured as well, and one that loses it ends the session, so that the next one leaves it out.
  await database.sql('ALTER TABLE plain REPLICA IDENTITY FULL');
  assert.deepEqual((await session.discover()).map(({ name }) => name), ['plain']);
  await database.sql('ALTER TABLE a REPLICA IDENTITY NOTHING');
  await assert.rejects(session.discover(), { code: 'source-unreachable', message: /public\.a cannot be captured any more/ });
});

test('a new table that somebody holds is taken in afterwards, and the stream goes on meanwhile', async (t) => {
  const { database, session } = await prepared(t, 'CREATE TABLE a (id int PRIMARY KEY)');
  await session.discover();
  const tail = new Tail(session);
  const holder = new pg.Client(database.url);
  await holder.connect();
  await database.sql('CREATE TABLE b (id int PRIMARY KEY)');
  await holder.query('BEGIN; LOCK TABLE b IN SHARE MODE');
  const looking = session.discover();
  // Its shape has to be looked up in the catalog.
  await database.sql('INSERT INTO a VALUES (1)');
  await eventually(() => tail.rows.some((row) => row.endsWith('public.a: 1')));
  assert.deepEqual(await looking, []);
  await holder.query('COMMIT');
  await holder.end();
  assert.deepEqual((await session.discover()).map(({ name }) => name), ['b']);
});

test('a table that its owner adds to a named publication is found', async (t) => {
  const { database, session } = await prepared(t, 'CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE a', { config: { publication: 'p' } });
  await session.discover();
  assert.deepEqual(session.tables.map(({ name }) => name), ['a']);
  await database.sql('ALTER PUBLICATION p ADD TABLE b');
  assert.deepEqual((await session.discover()).map(({ name }) => name), ['b']);
});

test('a copy is what it is whatever the chunks of the socket, and after an error in its middle the session is good for the next', async (t) => {
  const database = await freshDatabase(t);
  await database.sql("CREATE TABLE k (id int PRIMARY KEY, v text); INSERT INTO k SELECT g, repeat(E'\\t\\\\é', g) FROM generate_series(1, 200) g");
  const proxy = await TcpProxy.before(database.url);
  t.after(() => proxy.close());
  const session = await connected(sourceOn(proxy.through(database.url)), t);
  const table = tableOf(session, 'k');
  const expected = Array.from({ length: 200 }, (_, i) => [String(i + 1), '\t\\é'.repeat(i + 1)]);
  assert.deepEqual(texts((await readChunk(session, table)).rows), expected);
  proxy.randomChunks(7, 4);
  assert.deepEqual(texts((await readChunk(session, table)).rows), expected);
  await assert.rejects(readChunk(session, table, { where: '1 / (id - 150) IS NOT NULL' }), { code: 'source-failed', message: /22012/ });
  assert.deepEqual(texts((await readChunk(session, table, { maxRows: 3 })).rows), expected.slice(0, 3));
});

test('the memory that a huge row has taken is not kept for the next chunk', async (t) => {
  const { session } = await prepared(t, "CREATE TABLE k (id int PRIMARY KEY, v text); INSERT INTO k VALUES (1, 'a'), (2, repeat('x', 1000000))");
  const memory = { bytes: new Uint8Array(100) };
  const { bytes } = memory;
  const chunk = there(await session.snapshots.chunk({ table: tableOf(session, 'k'), low: 'low', high: 'high', after: null, keys: null, maxRows: 100, maxBytes: 100_000, memory, signal }));
  assert.equal(chunk.rows.count, 2);
  assert.equal(memory.bytes, bytes);
});

test('a chunk that is full gives up the rest, and says how far it came', async (t) => {
  const { session } = await prepared(t, "CREATE TABLE k (id int PRIMARY KEY, v text); INSERT INTO k SELECT g, repeat('x', 1000) FROM generate_series(1, 30000) g");
  const table = tableOf(session, 'k');
  const seen: string[] = [];
  const memory = { bytes: new Uint8Array(0) };
  for (let after: readonly string[] | null = null; ; ) {
    const before = memory.bytes;
    const chunk: Chunk = there(await session.snapshots.chunk({ table, low: 'low', high: 'high', after, keys: null, maxRows: 100_000, maxBytes: 1 << 22, memory, signal }));
    // Each in the memory of the one before.
    assert.equal(chunk.rows.bytes, memory.bytes);
    if (before.length > 0) assert.equal(memory.bytes, before);
    assert.ok(chunk.rows.length < 1.1 * (1 << 22), `${chunk.rows.length} bytes`);
    seen.push(...texts(chunk.rows).map(([id]) => String(id)));
    if (chunk.last) break;
    after = [seen.at(-1) as string];
  }
  assert.deepEqual(seen, Array.from({ length: 30_000 }, (_, i) => String(i + 1)));
});

test('a chunk says whose rows it may have: partitions, at any depth and each by its place in the table', async (t) => {
  const { database, session } = await prepared(t, `CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (100);
    CREATE TABLE high PARTITION OF p FOR VALUES FROM (100) TO (1000) PARTITION BY RANGE (id); CREATE TABLE highest PARTITION OF high FOR VALUES FROM (900) TO (1000); CREATE TABLE alone (id int PRIMARY KEY)`);
  const [p, alone] = [tableOf(session, 'p'), tableOf(session, 'alone')];
  const oids = async (...names: readonly string[]): Promise<string[]> => (await database.sql<{ oid: string }>('SELECT n::regclass::oid::text AS oid FROM unnest($1::text[]) n', [names])).map(({ oid }) => oid);
  const before = (await readChunk(session, p)).partitions;
  assert.deepEqual(before.map((partition) => partition.replace(/:.*/, '')).toSorted(), (await oids('low', 'high', 'highest')).toSorted());
  assert.deepEqual((await readChunk(session, p)).partitions, before);
  assert.deepEqual((await readChunk(session, alone)).partitions, []);
  await database.sql('ALTER TABLE p DETACH PARTITION low; ALTER TABLE p ATTACH PARTITION low FOR VALUES FROM (0) TO (100)');
  const after = (await readChunk(session, p)).partitions;
  assert.deepEqual([after.length, after.filter((partition) => before.includes(partition)).length], [3, 2], 'it is in another place now');
});

test('rows of a partition that was attached behind the snapshot that they were read in make it unstable, also where it went before anybody could see it', async (t) => {
  const database = await freshDatabase(t);
  await database.sql(`CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (100000); INSERT INTO p SELECT g, repeat('x', 1000) FROM generate_series(1, 10000) g;
    CREATE TABLE first (id int PRIMARY KEY, v text); INSERT INTO first VALUES (-1, 'there before'); CREATE TABLE bag (v text) PARTITION BY LIST (v); ALTER TABLE bag REPLICA IDENTITY FULL; CREATE TABLE other (v text); INSERT INTO other VALUES ('there before')`);
  const proxy = await TcpProxy.before(database.url);
  t.after(() => proxy.close());
  const connect = (): Promise<SourceSession> => connected(sourceOn(proxy.through(database.url)), t);
  for (const [maxRows, maxBytes] of [[100, 1 << 20], [100_000, 1 << 16]] as const) {
    // What is asked for the first time is sent in words.
    const session = await connect();
    const p = tableOf(session, 'p');
    // Everything about the table has been asked, and no row yet.
    const asked = proxy.holdAfter('amopstrategy');
    const reading = session.snapshots.chunk({ table: p, low: 'low', high: 'high', after: null, keys: null, maxRows, maxBytes, signal });
    const read = await asked;
    await database.sql('ALTER TABLE p ATTACH PARTITION first FOR VALUES FROM (-100) TO (0)');
    // Where it is cut, the locks go with the cancelling: what is asked only then comes too late.
    const over = proxy.holdAfter(maxRows === 100 ? 'ROLLBACK' : 'pg_cancel_backend');
    read();
    await Promise.race([over, reading]);
    await database.sql('ALTER TABLE p DETACH PARTITION first');
    void over.then((goOn) => goOn());
    const chunk = there(await reading);
    assert.deepEqual([texts(chunk.rows)[0], chunk.stable], [['-1', 'there before'], false]);
    assert.equal((await readChunk(session, p)).stable, true);
  }
  const session = await connect();
  for (const [partition, stable] of [['other', false], [null, true]] as const) {
    const whole = there(await session.snapshots.whole(tableOf(session, 'bag'), signal));
    if (partition !== null) await database.sql(`ALTER TABLE bag ATTACH PARTITION ${partition} DEFAULT`);
    const seen: unknown[] = [];
    for await (const block of whole.blocks()) seen.push(...texts(block));
    assert.deepEqual([seen, await whole.isStable()], [[['there before']], stable]);
    await whole.close();
  }
});

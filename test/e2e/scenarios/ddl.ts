import pg from 'pg';
import type { Scenario, Step } from '../../support/scenarios.ts';

/** Rows in one transaction before and after the change, and a row in another one behind it. */
function within(before: string, change: string, ...after: readonly string[]): readonly string[] {
  const [inside, ...behind] = after;
  return [`BEGIN; ${before}; ${change}; ${inside ?? 'SELECT 1'}; COMMIT`, ...behind];
}

const keyed = `CREATE TABLE t (id int PRIMARY KEY, a text, b text); INSERT INTO t SELECT n, 'a' || n, 'b' || n FROM generate_series(1, 20) n`;

/** A tablespace inside the data directory, which needs a setting of the session's and no transaction around it. */
const intoTablespace: Step = async ({ source, sql, schema }) => {
  const name = `"${source.name} ${schema}"`;
  const client = new pg.Client({ connectionString: source.url, options: '-c allow_in_place_tablespaces=on' });
  await client.connect();
  await client.query(`CREATE TABLESPACE ${name} LOCATION ''`);
  await client.end();
  await sql(`ALTER TABLE t SET TABLESPACE ${name}`);
};

/** What becomes of a table's columns and key while it is copied on: rows before, in the same transaction, and after. */
export const columns: readonly Scenario[] = [
  { title: 'D1: columns added with a constant and with a volatile default, and NOT NULL', setup: keyed, steps: within(`UPDATE t SET a = 'x' WHERE id = 1`, `ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT 7, ADD COLUMN d text DEFAULT md5(random()::text)`, `INSERT INTO t VALUES (21, 'a', 'b')`, 'UPDATE t SET c = 8 WHERE id = 2') },
  { title: 'D2: a column dropped and added under its name with another type', setup: keyed, steps: within(`UPDATE t SET b = 'x' WHERE id = 1`, 'ALTER TABLE t DROP COLUMN b, ADD COLUMN b int', 'INSERT INTO t VALUES (21, \'a\', 5)', 'UPDATE t SET b = id WHERE id < 4') },
  {
    title: 'D2: a table loses its last column and gets another, and one never has any',
    setup: 'CREATE TABLE t (a int); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1), (2), (2); CREATE TABLE bare (); ALTER TABLE bare REPLICA IDENTITY FULL; INSERT INTO bare DEFAULT VALUES; CREATE TABLE lost (id int PRIMARY KEY); INSERT INTO lost VALUES (1), (2)',
    steps: [
      'INSERT INTO t VALUES (3); ALTER TABLE t DROP COLUMN a',
      'INSERT INTO t DEFAULT VALUES; INSERT INTO bare DEFAULT VALUES; DELETE FROM bare WHERE ctid = (SELECT min(ctid) FROM bare); INSERT INTO bare DEFAULT VALUES',
      'ALTER TABLE lost DROP COLUMN id; ALTER TABLE lost REPLICA IDENTITY FULL',
      "ALTER TABLE t ADD COLUMN b text DEFAULT 'b'; INSERT INTO t VALUES ('c'); UPDATE t SET b = 'd' WHERE ctid = (SELECT min(ctid) FROM t)",
    ],
  },
  { title: 'D3: a column renamed', setup: keyed, steps: within(`UPDATE t SET a = 'x' WHERE id = 1`, 'ALTER TABLE t RENAME COLUMN a TO c', `INSERT INTO t VALUES (21, 'c', 'b')`, `UPDATE t SET c = 'y' WHERE id = 2`) },
  { title: 'D3: two columns swap their names in one transaction', setup: keyed, steps: within(`UPDATE t SET a = 'x' WHERE id = 1`, 'ALTER TABLE t RENAME COLUMN a TO c; ALTER TABLE t RENAME COLUMN b TO a; ALTER TABLE t RENAME COLUMN c TO b', `INSERT INTO t (id, a, b) VALUES (21, 'a', 'b')`, `UPDATE t SET a = 'y' WHERE id = 2`) },
  { title: 'D3: a column renamed, and no row of the table after it', setup: keyed, steps: ['ALTER TABLE t RENAME COLUMN a TO c'] },
  { title: 'D4: int to bigint, varchar(10) to varchar(20)', setup: `CREATE TABLE t (id int PRIMARY KEY, v varchar(10)); INSERT INTO t VALUES (1, 'short')`, steps: within(`UPDATE t SET v = 'x'`, 'ALTER TABLE t ALTER id TYPE bigint, ALTER v TYPE varchar(20)', `INSERT INTO t VALUES (9007199254740993, 'longer than ten')`) },
  { title: 'D4: text to int USING', setup: keyed, steps: within(`UPDATE t SET a = 'xyz' WHERE id = 1`, 'ALTER TABLE t ALTER a TYPE int USING length(a)', 'INSERT INTO t VALUES (21, 21, NULL)', 'UPDATE t SET a = -1 WHERE id = 2') },
  { title: 'D4: timestamp to timestamptz, json to jsonb, numeric(10,2) to numeric(12,1)', setup: `CREATE TABLE t (id int PRIMARY KEY, at timestamp, j json, n numeric(10,2)); INSERT INTO t VALUES (1, '2020-01-01 10:00', '{"b":1,  "a":1}', 1.25), (2, 'infinity', '[]', 'NaN')`, steps: within(`UPDATE t SET n = 2.35 WHERE id = 1`, 'ALTER TABLE t ALTER at TYPE timestamptz, ALTER j TYPE jsonb, ALTER n TYPE numeric(12,1)', `INSERT INTO t VALUES (3, '2024-06-01 00:00+02', '{"c": [1, 2]}', 7)`) },
  { title: 'D5: an enum gets labels, and the first row with one follows at once', setup: `CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id int PRIMARY KEY, m mood); INSERT INTO t VALUES (1, 'sad')`, steps: [`ALTER TYPE mood ADD VALUE 'glad'`, `INSERT INTO t VALUES (2, 'glad')`, `ALTER TYPE mood ADD VALUE 'awful' BEFORE 'sad'; `, `INSERT INTO t VALUES (3, 'awful')`] },
  { title: 'D5: an enum label is renamed: rows that nobody touched read otherwise', setup: `CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id int PRIMARY KEY, m mood); INSERT INTO t VALUES (1, 'sad'), (2, 'ok')`, steps: [`ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`, `INSERT INTO t VALUES (3, 'blue')`] },
  { title: 'D8: a primary key goes, and equal rows come', setup: keyed, steps: [`BEGIN; UPDATE t SET a = 'x' WHERE id = 1; ALTER TABLE t DROP CONSTRAINT t_pkey, REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 'x', 'b1'); COMMIT`, 'ALTER TABLE t ALTER id DROP NOT NULL', 'INSERT INTO t VALUES (NULL, NULL, NULL)', `DELETE FROM t WHERE ctid = (SELECT ctid FROM t WHERE id = 1 LIMIT 1)`] },
  { title: 'D8: a table gets the primary key that it lacked', setup: `CREATE TABLE t (id int, a text); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 'a'), (2, 'b')`, steps: within(`UPDATE t SET a = 'x' WHERE id = 1`, 'ALTER TABLE t ADD PRIMARY KEY (id); ALTER TABLE t REPLICA IDENTITY DEFAULT', `INSERT INTO t VALUES (3, 'c')`, `UPDATE t SET a = 'y' WHERE id = 2`) },
  { title: 'D8: the primary key goes to other columns', setup: keyed, steps: within(`UPDATE t SET a = 'x' WHERE id = 1`, 'ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (b, id)', `INSERT INTO t VALUES (1, 'again', 'b0')`, `UPDATE t SET b = 'moved' WHERE id = 2`, `DELETE FROM t WHERE id = 3`) },
  { title: 'D8: a key column is renamed and retyped', setup: keyed, steps: within(`UPDATE t SET a = 'x' WHERE id = 1`, 'ALTER TABLE t RENAME COLUMN id TO number; ALTER TABLE t ALTER number TYPE bigint', `INSERT INTO t VALUES (9007199254740993, 'n', 'n')`, `UPDATE t SET a = 'y' WHERE number = 2`) },
  { title: 'D9: a composite gets an attribute, and a domain a constraint', setup: `CREATE TYPE pair AS (x int, y text); CREATE DOMAIN small AS int; CREATE TABLE t (id int PRIMARY KEY, p pair, s small); INSERT INTO t VALUES (1, '(1,a)', 3)`, steps: ['ALTER TYPE pair ADD ATTRIBUTE z int', `INSERT INTO t VALUES (2, '(2,b,5)', 4)`, 'ALTER DOMAIN small ADD CHECK (value < 100)', `UPDATE t SET s = 5 WHERE id = 1`] },
  { title: 'D12: DDL that is rolled back changes nothing', setup: keyed, steps: ['BEGIN; ALTER TABLE t RENAME COLUMN a TO c; ALTER TABLE t ADD COLUMN d int DEFAULT 1; ROLLBACK', `BEGIN; SAVEPOINT s; ALTER TABLE t DROP COLUMN a; ROLLBACK TO s; INSERT INTO t VALUES (21, 'a', 'b'); COMMIT`] },
];

/** What becomes of tables. */
export const tables: readonly Scenario[] = [
  { title: 'D6: a table is renamed', setup: keyed, steps: within(`UPDATE t SET a = 'x' WHERE id = 1`, 'ALTER TABLE t RENAME TO u', `INSERT INTO u VALUES (21, 'a', 'b')`, `DELETE FROM u WHERE id = 2`) },
  { title: 'D6: two tables swap their names in one transaction', setup: `${keyed}; CREATE TABLE s (code text PRIMARY KEY, n int); INSERT INTO s VALUES ('x', 1), ('y', 2)`, steps: within(`UPDATE t SET a = 'x' WHERE id = 1`, 'ALTER TABLE t RENAME TO u; ALTER TABLE s RENAME TO t; ALTER TABLE u RENAME TO s', `INSERT INTO s VALUES (21, 'a', 'b'); INSERT INTO t VALUES ('z', 3)`, `DELETE FROM t WHERE code = 'x'`, `UPDATE s SET a = 'y' WHERE id = 3`) },
  { title: 'D6: a table made beside another takes its place', setup: keyed, steps: [`CREATE TABLE t_new (id bigint PRIMARY KEY, a text)`, `INSERT INTO t_new SELECT id, a FROM t`, `BEGIN; ALTER TABLE t RENAME TO t_old; ALTER TABLE t_new RENAME TO t; COMMIT`, `INSERT INTO t VALUES (99, 'new')`], staying: ['t_new'] },
  {
    title: 'D6: a table goes to another schema and comes back under another name',
    setup: keyed,
    steps: [
      async ({ sql, schema }) => void (await sql(`CREATE SCHEMA "${schema}_away"; ALTER TABLE t SET SCHEMA "${schema}_away"; INSERT INTO "${schema}_away".t VALUES (21, 'a', 'b')`)),
      async ({ sql, schema }) => void (await sql(`UPDATE "${schema}_away".t SET a = 'away' WHERE id = 1`)),
      async ({ sql, schema }) => void (await sql(`ALTER TABLE "${schema}_away".t SET SCHEMA "${schema}"; ALTER TABLE t RENAME TO back; DELETE FROM back WHERE id = 2`)),
      `UPDATE back SET a = 'back' WHERE id = 3`,
    ],
  },
  { title: 'D7: a table dropped and made again with another shape', setup: keyed, steps: ['BEGIN; DROP TABLE t; CREATE TABLE t (name text PRIMARY KEY, id int[]); COMMIT', `INSERT INTO t VALUES ('n', '{1,2}')`] },
  { title: 'D10: a table that comes later, and changes its shape at once', setup: keyed, steps: ['CREATE TABLE late (id int PRIMARY KEY, v text)', `INSERT INTO late VALUES (1, 'one')`, 'ALTER TABLE late RENAME COLUMN v TO w', `INSERT INTO late VALUES (2, 'two')`] },
  {
    title: 'D9: a type that is gone before anybody could ask what it is',
    setup: keyed,
    steps: ["CREATE TYPE passing AS ENUM ('one', 'two'); CREATE TABLE brief (id int PRIMARY KEY, p passing, ps passing[]); INSERT INTO brief VALUES (1, 'one', '{two,NULL}'); ALTER TABLE brief ALTER p TYPE text, ALTER ps TYPE text[] USING ps::text[]; DROP TYPE passing", "UPDATE brief SET p = 'three' WHERE id = 1; INSERT INTO brief VALUES (2, 'four', '{}')"],
  },
  { title: 'D11: CLUSTER, REINDEX and another tablespace change nothing', setup: keyed, steps: ['CLUSTER t USING t_pkey', 'REINDEX TABLE t', intoTablespace, `UPDATE t SET a = 'x' WHERE id = 1`] },
];

import pg from 'pg';
import type { Scenario, Stage, Step } from '../../support/scenarios.ts';

/** For each publication that a pipeline of this database has made, or the one that they were given. */
async function inPublications({ source, sql, schema }: Stage, change: (publication: string, table: string) => string): Promise<void> {
  const made = await source.sql<{ name: string }>("SELECT quote_ident(pubname) AS name FROM pg_publication WHERE pubname LIKE 'tailrace%' OR pubname = 'made'");
  for (const { name } of made) await sql(change(name, `"${schema}".t`));
}

const keyed = `CREATE TABLE t (id int PRIMARY KEY, a text, b text); INSERT INTO t SELECT n, 'a' || n, 'b' || n FROM generate_series(1, 20) n`;
const partitioned = `CREATE TABLE t (id int PRIMARY KEY, a text) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100); CREATE TABLE high PARTITION OF t FOR VALUES FROM (100) TO (200);
  INSERT INTO t SELECT n, 'a' || n FROM generate_series(90, 110) n`;

/** A pipeline that finds its table out of its own publication takes it in again, maybe before this does. */
async function publishAgain(stage: Stage): Promise<void> {
  await inPublications(
    stage,
    (publication, table) => `DO $$ BEGIN ALTER PUBLICATION ${publication} ADD TABLE ${table}; EXCEPTION WHEN duplicate_object THEN NULL; END $$`,
  );
}

/** What Postgres sends no event for: it is noticed, and the table brought right by itself. */
export const unsent: readonly Scenario[] = [
  {
    title: 'D11: a table that was out of the publication for a while has what happened meanwhile',
    setup: keyed,
    steps: [
      (stage) => inPublications(stage, (publication, table) => `ALTER PUBLICATION ${publication} DROP TABLE ${table}`),
      `DELETE FROM t WHERE id < 5; UPDATE t SET a = 'unseen' WHERE id = 7; INSERT INTO t VALUES (99, 'unseen', NULL)`,
      publishAgain,
      `UPDATE t SET b = 'seen' WHERE id = 8`,
    ],
    published: ['t'],
  },
  {
    title: 'D11: an update of a row that came while its table was out of the publication, with a value that is not sent again',
    setup: `CREATE TABLE t (id int PRIMARY KEY, a text, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t VALUES (1, 'a', repeat('x', 5000))`,
    steps: [
      (stage) => inPublications(stage, (publication, table) => `ALTER PUBLICATION ${publication} DROP TABLE ${table}`),
      `INSERT INTO t VALUES (2, 'unseen', repeat('y', 5000))`,
      async (stage) => {
        await publishAgain(stage);
        await stage.sql(`UPDATE t SET a = 'seen' WHERE id = 2`);
      },
    ],
    published: ['t'],
  },
  { title: 'D4: every row written anew by a type with USING, and no row after it', setup: keyed, steps: ['ALTER TABLE t ALTER a TYPE int USING length(a) * 3'] },
  { title: 'D4: text to jsonb writes other texts', setup: `CREATE TABLE t (id int PRIMARY KEY, j text); INSERT INTO t VALUES (1, '{"b": 1,   "a": 2, "a": 3}')`, steps: ['ALTER TABLE t ALTER j TYPE jsonb USING j::jsonb'] },
  { title: 'D4: cidr to inet: no row is written, and every value reads otherwise', setup: `CREATE TABLE t (id int PRIMARY KEY, net cidr); INSERT INTO t VALUES (1, '10.0.0.0/8'), (2, '10.1.2.3/32')`, steps: ['ALTER TABLE t ALTER net TYPE inet', `INSERT INTO t VALUES (3, '10.1.2.3/8')`] },
  { title: 'D4: varchar to text and back to a shorter one', setup: keyed, steps: ['ALTER TABLE t ALTER a TYPE varchar(30)', 'ALTER TABLE t ALTER a TYPE varchar(3) USING left(a, 2)', 'ALTER TABLE t ALTER a TYPE text'] },
  {
    title: 'R12: partitions that are attached with rows, detached, dropped and made anew',
    setup: partitioned,
    steps: [
      `CREATE TABLE more (a text, id int NOT NULL PRIMARY KEY); INSERT INTO more VALUES ('attached', 250), ('attached', 251); ALTER TABLE t ATTACH PARTITION more FOR VALUES FROM (200) TO (300)`,
      `UPDATE t SET a = 'then' WHERE id = 250`,
      'ALTER TABLE t DETACH PARTITION low',
      'DROP TABLE low',
      `CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100); INSERT INTO t VALUES (1, 'new')`,
      'DROP TABLE high',
    ],
    staying: ['low', 'more'],
  },
  {
    title: 'R12: what came with a partition that came and went before anybody had looked at it is gone',
    setup: partitioned,
    steps: ["CREATE TABLE brief PARTITION OF t FOR VALUES FROM (300) TO (400); INSERT INTO t VALUES (300, 'brief'); INSERT INTO brief VALUES (301, 'brief')", 'DROP TABLE brief'],
  },
  {
    title: 'R12: rows that were written into a partition before it was attached come, whatever the ages of the transactions and the partitions between',
    setup: partitioned,
    steps: [
      "CREATE TABLE upper (id int NOT NULL PRIMARY KEY, a text) PARTITION BY RANGE (id); CREATE TABLE nested PARTITION OF upper FOR VALUES FROM (200) TO (300); INSERT INTO upper VALUES (200, 'nested')",
      'ALTER TABLE t ATTACH PARTITION upper FOR VALUES FROM (200) TO (300)',
      "BEGIN; CREATE TABLE saved (id int NOT NULL PRIMARY KEY, a text); SAVEPOINT s; INSERT INTO saved VALUES (300, 'saved'); RELEASE s; ALTER TABLE t ATTACH PARTITION saved FOR VALUES FROM (300) TO (400); COMMIT",
      async ({ source, schema, sql }) => {
        const long = new pg.Client({ connectionString: source.url, options: `-c search_path=${schema}` });
        await long.connect();
        await long.query('BEGIN; SELECT pg_current_xact_id()');
        await sql("CREATE TABLE filled (id int NOT NULL PRIMARY KEY, a text); INSERT INTO filled VALUES (400, 'filled')");
        await long.query('ALTER TABLE t ATTACH PARTITION filled FOR VALUES FROM (400) TO (500); COMMIT');
        await long.end();
      },
      "INSERT INTO t VALUES (201, 'then'), (301, 'then'), (401, 'then')",
    ],
    staying: ['upper', 'saved', 'filled'],
  },
  {
    title: 'R12: a partition that was out of its table for a moment has what happened to it meanwhile',
    setup: partitioned,
    steps: [
      'ALTER TABLE t DETACH PARTITION high',
      "UPDATE high SET a = 'unseen' WHERE id < 105; DELETE FROM high WHERE id > 108; UPDATE high SET id = 150 WHERE id = 106",
      'ALTER TABLE t ATTACH PARTITION high FOR VALUES FROM (100) TO (200)',
      "UPDATE t SET a = 'seen' WHERE id = 107",
    ],
    staying: ['high'],
  },
  {
    title: 'R4: the index that rows are told by is another one while running',
    setup: `CREATE TABLE t (id int NOT NULL, code int NOT NULL, a text); CREATE UNIQUE INDEX by_id ON t (id); CREATE UNIQUE INDEX by_code ON t (code); ALTER TABLE t REPLICA IDENTITY USING INDEX by_id;
      INSERT INTO t SELECT n, n + 1000, 'a' FROM generate_series(1, 10) n`,
    steps: [
      `UPDATE t SET a = 'x' WHERE id = 1; UPDATE t SET id = 20 WHERE id = 2`,
      'ALTER TABLE t REPLICA IDENTITY USING INDEX by_code',
      `UPDATE t SET a = 'y', id = 30 WHERE code = 1003; UPDATE t SET code = 1 WHERE code = 1004; DELETE FROM t WHERE code = 1005`,
      'BEGIN; DROP INDEX by_code; ALTER TABLE t REPLICA IDENTITY FULL; COMMIT',
      `UPDATE t SET a = 'z' WHERE code = 1006; DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (50, 1, 'twin of a code')`,
    ],
  },
];

const schemaWent: Step = ({ sql, schema }) => sql(`ALTER PUBLICATION made DROP TABLES IN SCHEMA "${schema}"`).then(() => undefined);
const schemaCame: Step = ({ sql, schema }) => sql(`ALTER PUBLICATION made ADD TABLES IN SCHEMA "${schema}"`).then(() => undefined);

/** With a publication of whole schemas, which tables enter and leave without anybody altering it. */
export const bySchema: readonly Scenario[] = [
  {
    title: 'D10: in a publication of schemas a table that is made later is there, and one that is made elsewhere and moved in has its rows',
    setup: keyed,
    steps: [
      "CREATE TABLE made_later (id int PRIMARY KEY, v text); INSERT INTO made_later VALUES (1, 'one')",
      async ({ sql, schema }) => void (await sql(`CREATE SCHEMA "${schema}_out"; CREATE TABLE "${schema}_out".moved (id int PRIMARY KEY, v text); INSERT INTO "${schema}_out".moved SELECT n, 'v' FROM generate_series(1, 9) n; ALTER TABLE "${schema}_out".moved SET SCHEMA "${schema}"`)),
      "UPDATE moved SET v = 'then' WHERE id = 3; DELETE FROM made_later; INSERT INTO made_later VALUES (2, 'two')",
    ],
  },
  {
    title: 'R12: of a table that comes later, what goes with its partitions before anybody has looked at it is gone',
    setup: 'SELECT',
    steps: ['CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (1000); CREATE TABLE high PARTITION OF t DEFAULT; INSERT INTO t VALUES (1), (1000), (1500)', 'DROP TABLE low', 'ALTER TABLE t DETACH PARTITION high', 'DROP TABLE high'],
    staying: ['high'],
  },
  {
    title: 'D11: a schema that was out of the publication for a while has what happened in it meanwhile',
    setup: `${keyed}; CREATE TABLE bag (n int, v text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag VALUES (1, 'twin'), (1, 'twin'), (2, 'x')`,
    steps: [
      schemaWent,
      "DELETE FROM t WHERE id < 5; UPDATE t SET id = id + 100, a = 'unseen' WHERE id = 7; INSERT INTO t VALUES (99, 'unseen', NULL); DELETE FROM bag WHERE n = 2; INSERT INTO bag VALUES (1, 'twin')",
      schemaCame,
      "UPDATE t SET b = 'seen' WHERE id = 8; DELETE FROM bag WHERE ctid = (SELECT min(ctid) FROM bag)",
    ],
  },
  {
    title: 'D11: in a publication of schemas a table that was unlogged for a while has what happened meanwhile',
    setup: keyed,
    steps: ['ALTER TABLE t SET UNLOGGED', "DELETE FROM t WHERE id < 3; UPDATE t SET a = 'unseen' WHERE id = 4; INSERT INTO t VALUES (103, 'unseen')", 'ALTER TABLE t SET LOGGED', "UPDATE t SET b = 'seen' WHERE id = 15"],
  },
];

/** The scenario's tables `t` and `c` are in the publication in another way from now on. */
function relisted(...tables: readonly string[]): Step {
  return async ({ sql, schema }) => {
    await sql(`BEGIN; ALTER PUBLICATION made DROP TABLE "${schema}".t, "${schema}".c; ALTER PUBLICATION made ADD TABLE ${tables.map((table) => `"${schema}".${table}`).join(', ')}; COMMIT`);
  };
}

/** With a publication that sends partitions under their own names, and lists columns and rows. */
export const byList: readonly Scenario[] = [
  {
    title: 'R12: partitions that are attached with rows, detached, made anew and put back, each under its own name',
    setup: partitioned,
    steps: [
      `CREATE TABLE more (a text, id int NOT NULL PRIMARY KEY); INSERT INTO more VALUES ('attached', 250), ('attached', 251); ALTER TABLE t ATTACH PARTITION more FOR VALUES FROM (200) TO (300)`,
      `UPDATE t SET a = 'then' WHERE id = 250`,
      'ALTER TABLE t DETACH PARTITION high',
      "UPDATE high SET a = 'unseen' WHERE id < 105; DELETE FROM high WHERE id > 108",
      'ALTER TABLE t ATTACH PARTITION high FOR VALUES FROM (100) TO (200)',
      `UPDATE t SET id = id + 100 WHERE id = 107`,
      `BEGIN; DROP TABLE low; CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (100); INSERT INTO t VALUES (1, 'new'); COMMIT`,
    ],
    published: ['t'],
    leaves: true,
  },
  {
    title: 'D11: a partitioned table that was out of a publication of partitions for a while has what happened in them meanwhile',
    setup: partitioned,
    steps: [
      (stage) => inPublications(stage, (publication, table) => `ALTER PUBLICATION ${publication} DROP TABLE ${table}`),
      `DELETE FROM t WHERE id IN (91, 104); UPDATE t SET id = id + 50, a = 'unseen' WHERE id = 98; INSERT INTO t VALUES (5, 'unseen')`,
      publishAgain,
      `UPDATE t SET a = 'seen' WHERE id IN (92, 105)`,
    ],
    published: ['t'],
    leaves: true,
  },
  {
    title: 'R15: a row filter and a list of columns that were others for a while have what happened meanwhile',
    setup: `CREATE TABLE t (id int PRIMARY KEY, a text, b text); INSERT INTO t SELECT n, 'a' || n, 'b' || n FROM generate_series(1, 20) n; CREATE TABLE c (id int PRIMARY KEY, v text, w text); INSERT INTO c SELECT n, 'v', 'w' FROM generate_series(1, 20) n`,
    steps: [
      "UPDATE t SET a = 'x' WHERE id < 15; UPDATE c SET v = 'x', w = 'y' WHERE id < 5",
      relisted('t WHERE (id > 10)', 'c (id, v)'),
      "UPDATE t SET a = 'unseen' WHERE id BETWEEN 6 AND 12; UPDATE t SET id = 100 - id WHERE id < 3; DELETE FROM t WHERE id = 8; UPDATE c SET w = 'unseen' WHERE id = 7; UPDATE c SET w = 'unseen', v = 'y' WHERE id = 8",
      relisted('t WHERE (id > 5)', 'c (id, w)'),
      "UPDATE t SET id = 2 WHERE id = 9; UPDATE t SET id = 30 WHERE id = 5; UPDATE c SET w = 'z' WHERE id = 9; INSERT INTO c VALUES (21, 'v', 'w')",
    ],
    published: ['t WHERE (id > 5)', 'c (id, w)'],
    where: { t: 'WHERE id > 5' },
    lacking: { c: ['v'] },
  },
  {
    title: 'D4: rows written anew by a type with USING, by a volatile default and in one partition, under lists of columns and rows',
    setup: `CREATE TABLE t (id int PRIMARY KEY, a text, secret text); INSERT INTO t SELECT n, 'a' || n, 's' FROM generate_series(1, 20) n; CREATE TABLE p (id int PRIMARY KEY, a text) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
      CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (30); INSERT INTO p SELECT n, 'a' || n FROM generate_series(1, 20) n`,
    steps: ['ALTER TABLE p ALTER a TYPE int USING length(a) * 3', 'ALTER TABLE p ADD COLUMN token text DEFAULT md5(random()::text)', "ALTER TABLE t ADD COLUMN other text DEFAULT md5(random()::text)", "UPDATE t SET a = 'then', other = NULL WHERE id IN (3, 12)", 'VACUUM FULL p1'],
    published: ['t (id, a) WHERE (id > 10)', 'p'],
    where: { t: 'WHERE id > 10' },
    lacking: { t: ['secret', 'other'] },
    leaves: true,
  },
];

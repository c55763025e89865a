import type { Scenario, Stage } from '../../support/scenarios.ts';

/** For each publication that a pipeline of this database has made. */
async function inPublications({ source, sql, schema }: Stage, change: (publication: string, table: string) => string): Promise<void> {
  const made = await source.sql<{ name: string }>("SELECT quote_ident(pubname) AS name FROM pg_publication WHERE pubname LIKE 'tailrace%'");
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

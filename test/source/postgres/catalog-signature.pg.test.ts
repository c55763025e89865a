import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCatalogSignature } from '../../../src/source/postgres/catalog-signature.ts';
import { readDigests } from '../../../src/source/postgres/stream-catalog.ts';
import type { Query } from '../../../src/runtime/postgres/connection.ts';
import { freshDatabase, keptOpen } from '../../support/postgres.ts';

const schema = `
  CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (x int, y text); CREATE DOMAIN small AS int; CREATE SCHEMA other;
  CREATE TABLE a (id int PRIMARY KEY, m mood, p pair, s small, v text); CREATE UNIQUE INDEX by_v ON a (v); ALTER TABLE a ALTER v SET NOT NULL;
  CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (100);
  CREATE TABLE more (id int NOT NULL PRIMARY KEY); CREATE PUBLICATION made FOR TABLE a, parts`;

/** Each of them says something else of a table than before. */
const changes = [
  'ALTER TABLE a ADD COLUMN n int DEFAULT 7', 'ALTER TABLE a RENAME COLUMN n TO o', 'ALTER TABLE a DROP COLUMN o', 'ALTER TABLE a ALTER v TYPE varchar(99)', 'ALTER TABLE a REPLICA IDENTITY USING INDEX by_v',
  'ALTER TABLE a REPLICA IDENTITY FULL', 'ALTER TABLE a DROP CONSTRAINT a_pkey', 'ALTER TABLE a ADD PRIMARY KEY (v)', 'VACUUM FULL a', 'TRUNCATE a', 'ALTER TABLE a RENAME TO b', 'ALTER TABLE b SET SCHEMA other',
  'ALTER SCHEMA other RENAME TO third', `ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`, `ALTER TYPE mood ADD VALUE 'glad'`, 'ALTER TYPE pair ADD ATTRIBUTE z int', 'ALTER TYPE mood RENAME TO humour',
  'ALTER DOMAIN small RENAME TO little', 'ALTER TABLE parts ATTACH PARTITION more FOR VALUES FROM (100) TO (200)', 'VACUUM FULL low',
  'ALTER TABLE parts DETACH PARTITION more; ALTER TABLE parts ATTACH PARTITION more FOR VALUES FROM (100) TO (200)', 'ALTER TABLE parts DETACH PARTITION more', 'DROP TABLE low',
  'ALTER PUBLICATION made DROP TABLE third.b', 'ALTER PUBLICATION made ADD TABLE third.b (v, id)', 'ALTER PUBLICATION made SET (publish_via_partition_root = true)', 'DROP TABLE third.b',
];

test('the catalog is asked for its tables only where its signature is another one, and it is for every change that concerns them', async (t) => {
  const database = keptOpen(await freshDatabase(t), t);
  await database.sql(schema);
  const query: Query = async (text, params) => database.sql(text, params);
  const relids = (await database.sql<{ oid: number }>(`SELECT oid::int FROM pg_class WHERE relname IN ('a', 'parts')`)).map(({ oid }) => oid);
  const [row] = await database.sql<{ version: number }>("SELECT current_setting('server_version_num')::int AS version");
  const options = { version: row?.version ?? 0, publication: 'made' };
  const look = async (): Promise<readonly [string, string]> => {
    const found = await readDigests(query, relids, options);
    return [await readCatalogSignature(query, relids, options), relids.map((relid) => found.get(relid)).join()];
  };
  let [signature, digests] = await look();
  for (const sql of [`INSERT INTO a VALUES (1, 'ok', '(1,a)', 2, 'v')`, 'ANALYZE a', 'VACUUM FREEZE a', 'CREATE TEMP TABLE passing (id int PRIMARY KEY)', 'CREATE TABLE elsewhere (id int)', 'DROP TABLE elsewhere']) {
    await database.sql(sql);
    assert.deepEqual(await look(), [signature, digests], sql);
  }
  for (const sql of changes) {
    await database.sql(sql);
    const [now, then] = await look();
    assert.notEqual(then, digests, `${sql}: the tables say so`);
    assert.notEqual(now, signature, `${sql}: the signature says so`);
    [signature, digests] = [now, then];
  }
});

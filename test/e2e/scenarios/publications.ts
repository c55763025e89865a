import type { Scenario } from '../../support/scenarios.ts';

const big = (seed: string): string => `repeat(md5((${seed})::text), 100)`;

/** With a publication of the user's own, which lists tables, columns and rows, and partitions one by one: R12 and R15. */
export const lists: readonly Scenario[] = [
  {
    title: 'R15: a row that an update brings into the filter is there, one that it takes out is gone, from the copy as from the stream',
    setup: `CREATE TABLE t (id int PRIMARY KEY, active boolean, v text, big text); ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t SELECT i, i % 2 = 0, 'v', ${big('i')} FROM generate_series(1, 80) i;
      CREATE TABLE k (id int PRIMARY KEY, v text); INSERT INTO k SELECT i, 'v' FROM generate_series(1, 80) i`,
    steps: [
      'UPDATE t SET active = NOT active WHERE id < 30; UPDATE t SET v = v || id; UPDATE k SET id = id + 200',
      'UPDATE t SET active = NULL WHERE id % 3 = 0; DELETE FROM t WHERE id > 70; UPDATE k SET id = -id WHERE id > 250; UPDATE k SET id = 1000 - id WHERE id < -260',
      "INSERT INTO t VALUES (500, true, 'in'), (501, false, 'out'); UPDATE t SET active = true WHERE id = 501; UPDATE t SET active = false WHERE id = 500; TRUNCATE k; INSERT INTO k VALUES (1, 'out'), (60, 'in')",
    ],
    published: ['t WHERE (active)', 'k WHERE (id > 50)'],
    where: { t: 'WHERE active', k: 'WHERE id > 50' },
    decoding: false,
  },
  {
    title: "R15: of a table with a column list only those columns arrive, from the copy as from the stream",
    setup: `CREATE TABLE t (secret text, id int PRIMARY KEY, v text, big text, extra int); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t SELECT 's', i, 'v', ${big('i')}, i FROM generate_series(1, 60) i;
      CREATE TABLE pair (id int PRIMARY KEY, v text, secret text); INSERT INTO pair SELECT i, 'v', 's' FROM generate_series(1, 60) i`,
    steps: ["UPDATE t SET secret = 'other'; UPDATE t SET v = 'w', extra = 0 WHERE id < 50; UPDATE pair SET v = 'w' WHERE id < 50", "UPDATE t SET id = id + 100; UPDATE pair SET id = 1000 - id WHERE id % 2 = 0; UPDATE pair SET id = -id WHERE id > 990; INSERT INTO t (id) VALUES (7); DELETE FROM t WHERE id = 150; ALTER TABLE t DROP COLUMN extra; UPDATE t SET v = 'x' WHERE id = 7"],
    published: ['t (id, v, big)', 'pair (v, id) WHERE (id > 30)'],
    where: { pair: 'WHERE id > 30' },
    lacking: { t: ['secret', 'extra'], pair: ['secret'] },
    decoding: false,
  },
  {
    title: 'R12: without publish_via_partition_root each partition is a table of its own, and rows move between them',
    setup: `CREATE TABLE orders (region text, id int, n int, big text, PRIMARY KEY (region, id)) PARTITION BY LIST (region); CREATE TABLE eu PARTITION OF orders FOR VALUES IN ('eu');
      CREATE TABLE us (big text, id int NOT NULL, n int, region text NOT NULL, PRIMARY KEY (region, id)); ALTER TABLE orders ATTACH PARTITION us FOR VALUES IN ('us'); ALTER TABLE eu ALTER big SET STORAGE EXTERNAL;
      INSERT INTO orders SELECT CASE i % 2 WHEN 0 THEN 'eu' ELSE 'us' END, i, i, ${big('i')} FROM generate_series(1, 100) i`,
    steps: [
      "UPDATE orders SET n = n + 1; UPDATE orders SET region = 'us' WHERE id < 50; UPDATE orders SET id = id + 1000 WHERE region = 'eu'",
      "TRUNCATE eu; INSERT INTO orders VALUES ('eu', 1, 1, 'after'); DELETE FROM orders WHERE id = 3",
      "TRUNCATE orders; INSERT INTO orders VALUES ('eu', 5, 5, NULL), ('us', 5, 5, NULL)",
    ],
    published: ['orders'],
    leaves: true,
  },
];

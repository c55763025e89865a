import type { Scenario } from '../../support/scenarios.ts';

const big = (seed: string): string => `repeat(md5((${seed})::text), 100)`;

/** A table by list and below that by range, one leaf with its columns in another order and a dropped one. */
const orders = `CREATE TABLE orders (region text, id int, n int, big text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
  CREATE TABLE eu PARTITION OF orders FOR VALUES IN ('eu') PARTITION BY RANGE (id); CREATE TABLE eu_low PARTITION OF eu FOR VALUES FROM (MINVALUE) TO (100);
  CREATE TABLE eu_high PARTITION OF eu FOR VALUES FROM (100) TO (MAXVALUE);
  CREATE TABLE us (gone int, big text, id int NOT NULL, n int, region text NOT NULL, PRIMARY KEY (region, id)); ALTER TABLE us DROP COLUMN gone; ALTER TABLE orders ATTACH PARTITION us FOR VALUES IN ('us');
  ALTER TABLE eu_low ALTER big SET STORAGE EXTERNAL; ALTER TABLE eu_high ALTER big SET STORAGE EXTERNAL; ALTER TABLE us ALTER big SET STORAGE EXTERNAL;
  INSERT INTO orders SELECT CASE i % 2 WHEN 0 THEN 'eu' ELSE 'us' END, i, i, ${big('i')} FROM generate_series(1, 150) i`;

export const truncates: readonly Scenario[] = [
  {
    title: 'R11: what a truncate takes is gone, what comes behind it stays: one table, many, in the middle of a transaction',
    setup: 'CREATE TABLE a (id int PRIMARY KEY, v text); CREATE TABLE b (id int, v text); ALTER TABLE b REPLICA IDENTITY FULL; INSERT INTO a SELECT i, $$a$$ FROM generate_series(1, 60) i; INSERT INTO b SELECT id, v FROM a',
    steps: [
      "INSERT INTO a VALUES (100, 'before'); UPDATE a SET v = 'x' WHERE id < 10; TRUNCATE a; INSERT INTO a VALUES (1, 'after'), (2, 'after'); UPDATE a SET v = 'later' WHERE id = 2",
      "INSERT INTO a VALUES (3, 'more'); INSERT INTO b VALUES (3, 'more'), (3, 'more')",
      "TRUNCATE a, b; INSERT INTO b VALUES (4, 'b'), (4, 'b'); TRUNCATE a; INSERT INTO a VALUES (5, 'a'); TRUNCATE b; INSERT INTO b VALUES (6, 'b')",
      "BEGIN; TRUNCATE a; INSERT INTO a VALUES (7, 'never'); ROLLBACK; INSERT INTO a VALUES (8, 'stays')",
      "BEGIN; SAVEPOINT s; TRUNCATE b; ROLLBACK TO s; INSERT INTO b VALUES (9, 'b'); COMMIT; TRUNCATE b, a; TRUNCATE a, b; INSERT INTO a VALUES (10, 'last')",
    ],
  },
  {
    title: 'R11: CASCADE takes the tables that refer to it, and RESTART IDENTITY numbers anew',
    setup: `CREATE TABLE parent (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text); CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent); CREATE TABLE grandchild (id int PRIMARY KEY, child int REFERENCES child);
      INSERT INTO parent (v) SELECT 'v' FROM generate_series(1, 50); INSERT INTO child SELECT id, id FROM parent; INSERT INTO grandchild SELECT id, id FROM child`,
    steps: [
      "TRUNCATE child CASCADE; INSERT INTO child VALUES (1, 1); INSERT INTO grandchild VALUES (1, 1)",
      "TRUNCATE parent RESTART IDENTITY CASCADE; INSERT INTO parent (v) VALUES ('one'), ('two'); INSERT INTO child VALUES (7, 2); INSERT INTO grandchild VALUES (7, 7)",
      'TRUNCATE grandchild, child, parent CONTINUE IDENTITY; INSERT INTO parent (v) VALUES (NULL)',
    ],
  },
  {
    title: 'R11: a truncate of the root of partitions, and of a parent by inheritance with and without its children',
    setup: `${orders}; CREATE TABLE up (id int PRIMARY KEY); CREATE TABLE down (PRIMARY KEY (id), v text) INHERITS (up); INSERT INTO up VALUES (1), (2); INSERT INTO down VALUES (3, 'x'), (4, 'x')`,
    steps: [
      "INSERT INTO orders VALUES ('eu', 1000, 1); TRUNCATE orders; INSERT INTO orders VALUES ('us', 1, 1, 'after'), ('eu', 2, 2, 'after')",
      'TRUNCATE ONLY up; INSERT INTO up VALUES (10); INSERT INTO down VALUES (11, NULL)',
      'TRUNCATE up; INSERT INTO down VALUES (12, NULL)',
    ],
    decoding: false,
  },
];

export const partitions: readonly Scenario[] = [
  {
    title: 'R12: rows of partitions arrive under the root, whatever the order of columns in a leaf',
    setup: orders,
    steps: [
      "INSERT INTO orders SELECT 'us', i, i, NULL FROM generate_series(1000, 1060) i; UPDATE orders SET n = n + 1; DELETE FROM orders WHERE id % 10 = 0",
      "UPDATE us SET n = -1 WHERE id < 20; INSERT INTO eu_low VALUES ('eu', 20, 20, 'into the leaf'); DELETE FROM eu WHERE id = 22",
      "CREATE TABLE asia PARTITION OF orders FOR VALUES IN ('asia'); INSERT INTO orders VALUES ('asia', 1, 1, 'new'), ('asia', 2, 2, NULL); UPDATE orders SET n = 7 WHERE region = 'asia'",
      "CREATE TABLE rest PARTITION OF orders DEFAULT; INSERT INTO orders VALUES ('mars', 1, 1, 'rest')",
    ],
    decoding: false,
  },
  {
    title: 'R12: a row that moves to another partition is one row, with its unchanged TOAST',
    setup: orders,
    steps: [
      "UPDATE orders SET region = 'us' WHERE region = 'eu' AND id < 50; UPDATE orders SET id = id + 500 WHERE region = 'eu' AND id BETWEEN 60 AND 98",
      "UPDATE orders SET region = CASE region WHEN 'eu' THEN 'us' ELSE 'eu' END, id = id + 10000 WHERE id % 3 = 0; UPDATE orders SET n = 0 WHERE id > 10000",
      "UPDATE orders SET region = 'us' WHERE region = 'eu' AND id = 602; UPDATE orders SET region = 'eu' WHERE region = 'us' AND id = 602; DELETE FROM orders WHERE id = 602",
    ],
    decoding: false,
  },
  {
    title: 'R12: partitions with identity full, and by hash, without a key at the root',
    setup: `CREATE TABLE h (id int, v text) PARTITION BY HASH (id); CREATE TABLE h0 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE h1 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 1);
      ALTER TABLE h REPLICA IDENTITY FULL; ALTER TABLE h0 REPLICA IDENTITY FULL; ALTER TABLE h1 REPLICA IDENTITY FULL; INSERT INTO h SELECT i % 30, 'v' FROM generate_series(1, 90) i`,
    steps: ["UPDATE h SET id = id + 1; UPDATE h SET v = 'w' WHERE id = 5", 'DELETE FROM h WHERE ctid = (SELECT min(ctid) FROM h WHERE id = 7) AND id = 7', 'UPDATE h SET id = 100 WHERE id < 10'],
    decoding: false,
  },
  {
    title: 'R13: children by inheritance are tables of their own; unlogged and temporary tables and views are not captured',
    setup: `CREATE TABLE up (id int PRIMARY KEY, v text); CREATE TABLE down (PRIMARY KEY (id), w int) INHERITS (up); INSERT INTO up VALUES (1, 'up'); INSERT INTO down VALUES (2, 'down', 2);
      CREATE UNLOGGED TABLE fast (id int PRIMARY KEY); INSERT INTO fast VALUES (1); CREATE VIEW seen AS SELECT * FROM up; CREATE MATERIALIZED VIEW kept AS SELECT * FROM up;
      CREATE FOREIGN DATA WRAPPER "fdw_of_r13"; CREATE SERVER "server_of_r13" FOREIGN DATA WRAPPER "fdw_of_r13"; CREATE FOREIGN TABLE far (id int) SERVER "server_of_r13"`,
    steps: [
      "UPDATE up SET v = v || '!'; INSERT INTO down VALUES (3, 'd', 3); DELETE FROM up WHERE id = 2; INSERT INTO fast VALUES (2)",
      'CREATE TEMP TABLE brief (id int PRIMARY KEY); INSERT INTO brief VALUES (1); REFRESH MATERIALIZED VIEW kept; DELETE FROM ONLY up',
    ],
    when: 'live',
    notCaptured: ['fast'],
  },
];

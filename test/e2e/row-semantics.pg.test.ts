import { scenarios } from '../support/scenarios.ts';

const big = "repeat(md5('x'), 200)";

scenarios('row semantics', [
  {
    title: 'R1: a column that was not sent again (unchanged TOAST, identity default) stays as it is',
    setup: `CREATE TABLE t (id int PRIMARY KEY, n int, big text, bytes bytea, doc jsonb, numbers int[], texts text[], ids uuid[], days date[]);
      ALTER TABLE t ALTER big SET STORAGE EXTERNAL, ALTER bytes SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL, ALTER numbers SET STORAGE EXTERNAL,
        ALTER texts SET STORAGE EXTERNAL, ALTER ids SET STORAGE EXTERNAL, ALTER days SET STORAGE EXTERNAL;
      INSERT INTO t SELECT i, i, repeat(md5(i::text), 100), decode(repeat(md5(i::text), 100), 'hex'), jsonb_build_object('k', repeat(md5(i::text), 100)),
        array(SELECT generate_series(i, i + 2000)), array(SELECT md5(j::text) FROM generate_series(i, i + 200) j),
        array(SELECT md5(j::text)::uuid FROM generate_series(i, i + 300) j), array(SELECT date '2024-01-01' + j FROM generate_series(i, i + 2000) j)
      FROM generate_series(1, 60) i`,
    steps: ['UPDATE t SET n = n + 1', 'UPDATE t SET n = n + 1, big = NULL WHERE id % 7 = 0', "UPDATE t SET doc = '{}' WHERE id % 5 = 0; UPDATE t SET n = -1 WHERE id % 5 = 0; DELETE FROM t WHERE id = 5"],
  },
  {
    title: 'R3: a key change with unchanged TOAST keeps what was not sent again',
    setup: `CREATE TABLE t (id int PRIMARY KEY, n int, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
      INSERT INTO t SELECT i, i, repeat(md5(i::text), 100) FROM generate_series(1, 120) i`,
    steps: ['UPDATE t SET id = id + 1000 WHERE id < 100', 'UPDATE t SET id = -id, n = 0 WHERE id > 1050; UPDATE t SET n = n + 1', `UPDATE t SET id = 7 WHERE id = 110; UPDATE t SET big = ${big} WHERE id = 7; UPDATE t SET id = 8 WHERE id = 7`],
  },
]);

import type { Scenario } from '../../support/scenarios.ts';

/** A value that does not stay in its row: 3,200 characters that differ by their seed. */
const big = (seed: string): string => `repeat(md5((${seed})::text), 100)`;
/** More characters than an index entry may have, were it not compressed, and still short enough uncompressed. */
const longKey = (seed: string): string => `substr(repeat(md5((${seed})::text), 80), 1, 2500)`;

/** What a row's images say, and which row they are of: R1 to R10, R14, R17 to R20 of the fault catalogue. */
export const images: readonly Scenario[] = [
  {
    title: 'R1: a column that was not sent again (unchanged TOAST, identity default) stays as it is',
    setup: `CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public; CREATE TABLE t (id int PRIMARY KEY, n int, big text, bytes bytea, doc jsonb, numbers int[], texts text[], ids uuid[], days date[], tags public.hstore);
      ALTER TABLE t ALTER big SET STORAGE EXTERNAL, ALTER bytes SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL, ALTER numbers SET STORAGE EXTERNAL,
        ALTER texts SET STORAGE EXTERNAL, ALTER ids SET STORAGE EXTERNAL, ALTER days SET STORAGE EXTERNAL, ALTER tags SET STORAGE EXTERNAL;
      INSERT INTO t SELECT i, i, repeat(md5(i::text), 100), decode(repeat(md5(i::text), 100), 'hex'), jsonb_build_object('k', repeat(md5(i::text), 100)),
        array(SELECT generate_series(i, i + 2000)), array(SELECT md5(j::text) FROM generate_series(i, i + 200) j),
        array(SELECT md5(j::text)::uuid FROM generate_series(i, i + 300) j), array(SELECT date '2024-01-01' + j FROM generate_series(i, i + 2000) j), public.hstore('k', repeat(md5(i::text), 100))
      FROM generate_series(1, 60) i`,
    steps: [
      'UPDATE t SET n = n + 1',
      'UPDATE t SET n = n + 1, big = NULL WHERE id % 7 = 0',
      "UPDATE t SET doc = '{}' WHERE id % 5 = 0; UPDATE t SET n = -1 WHERE id % 5 = 0; DELETE FROM t WHERE id = 5",
      `INSERT INTO t (id, n, big) VALUES (100, 1, ${big('100')}); UPDATE t SET n = 2 WHERE id = 100; UPDATE t SET bytes = '\\x00' WHERE id = 100`,
    ],
  },
  {
    title: 'R2: under identity full what was not sent again is taken from the old row, with a key and without one',
    setup: `CREATE TABLE keyed (id int PRIMARY KEY, n int, big text); ALTER TABLE keyed REPLICA IDENTITY FULL; ALTER TABLE keyed ALTER big SET STORAGE EXTERNAL;
      CREATE TABLE bare (n int, big text); ALTER TABLE bare REPLICA IDENTITY FULL; ALTER TABLE bare ALTER big SET STORAGE EXTERNAL;
      INSERT INTO keyed SELECT i, i, ${big('i')} FROM generate_series(1, 60) i; INSERT INTO bare SELECT n, big FROM keyed; INSERT INTO bare SELECT n, big FROM keyed WHERE id < 20`,
    steps: [
      'UPDATE keyed SET n = n + 1; UPDATE bare SET n = n + 1',
      'UPDATE keyed SET id = id + 1000 WHERE id % 2 = 0; UPDATE bare SET n = NULL WHERE n % 3 = 0; UPDATE bare SET big = NULL WHERE n % 3 = 1',
      'UPDATE keyed SET n = 7 WHERE id = 1; DELETE FROM bare WHERE n = 6',
    ],
  },
  {
    title: 'R3: a key change with unchanged TOAST keeps what was not sent again',
    setup: `CREATE TABLE t (id int PRIMARY KEY, n int, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t SELECT i, i, ${big('i')} FROM generate_series(1, 120) i`,
    steps: [
      'UPDATE t SET id = id + 1000 WHERE id < 100',
      'UPDATE t SET id = -id, n = 0 WHERE id > 1050; UPDATE t SET n = n + 1',
      `UPDATE t SET id = 7 WHERE id = 110; UPDATE t SET big = ${big('7')} WHERE id = 7; UPDATE t SET id = 8 WHERE id = 7`,
      'UPDATE t SET id = 9 WHERE id = 111; DELETE FROM t WHERE id = 9; UPDATE t SET id = 9 WHERE id = 112; UPDATE t SET id = 112 WHERE id = 9',
    ],
  },
  {
    title: 'R3: key columns that are themselves too long for their row are found again, changed or not',
    setup: `CREATE TABLE t (code text PRIMARY KEY, n int, big text); ALTER TABLE t ALTER code SET STORAGE EXTERNAL, ALTER big SET STORAGE EXTERNAL;
      INSERT INTO t SELECT ${longKey('i')}, i, ${big('i')} FROM generate_series(1, 60) i`,
    steps: [
      'UPDATE t SET n = n + 1',
      `UPDATE t SET code = ${longKey('n + 1000')} WHERE n % 2 = 0`,
      `UPDATE t SET n = -n; DELETE FROM t WHERE n = -3; INSERT INTO t SELECT ${longKey('7777')}, 7777, 'x'; UPDATE t SET n = 7778 WHERE n = 7777`,
    ],
  },
  {
    title: 'R7: keys that rows exchange in one transaction end up where the source has them',
    setup: `CREATE TABLE t (id int PRIMARY KEY, v text, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t SELECT i, 'v' || i, ${big('i')} FROM generate_series(60, 1, -1) i;
      CREATE TABLE late (id int, v text, PRIMARY KEY (id) DEFERRABLE); ALTER TABLE late REPLICA IDENTITY FULL; INSERT INTO late SELECT id, v FROM t;
      CREATE TABLE pairs (id int PRIMARY KEY, a int NOT NULL, CONSTRAINT pairs_a UNIQUE (a) DEFERRABLE, v text); INSERT INTO pairs SELECT id, id, v FROM t`,
    steps: [
      // Rows lie in descending order, so that each finds the next key free.
      'UPDATE t SET id = id + 1',
      'UPDATE t SET id = -1 WHERE id = 2; UPDATE t SET id = 2 WHERE id = 3; UPDATE t SET id = 3 WHERE id = -1',
      "UPDATE t SET id = -1, v = 'one' WHERE id = 10; UPDATE t SET id = 10, v = 'two' WHERE id = 11; UPDATE t SET id = 11 WHERE id = -1; DELETE FROM t WHERE id = 10; INSERT INTO t VALUES (10, 'new', NULL)",
      'UPDATE late SET id = CASE id WHEN 1 THEN 2 ELSE 1 END WHERE id IN (1, 2); UPDATE late SET id = 61 - id',
      'UPDATE pairs SET a = 61 - a; UPDATE pairs SET id = 100 + id WHERE id < 50',
    ],
  },
  {
    title: 'R8: a key that is deleted and inserted again has the row that came last, in one transaction and in several',
    setup: `CREATE TABLE t (id int PRIMARY KEY, v text, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t SELECT i, 'old', ${big('i')} FROM generate_series(1, 80) i`,
    steps: [
      "DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (1, 'new')",
      'DELETE FROM t WHERE id = 2',
      `INSERT INTO t VALUES (2, 'new', ${big("'two'")})`,
      "UPDATE t SET v = 'changed' WHERE id = 2; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (2, 'third'); DELETE FROM t WHERE id = 2",
      "DELETE FROM t WHERE id > 20; INSERT INTO t SELECT i, 'again', NULL FROM generate_series(21, 90) i; UPDATE t SET v = v || i::text FROM generate_series(1, 2) i WHERE id % 2 = 0",
      "DELETE FROM t WHERE id = 3; UPDATE t SET id = 3 WHERE id = 4; INSERT INTO t VALUES (4, 'fresh')",
    ],
  },
  {
    title: 'R9: of equal rows of a table without a key as many go as the source lets go',
    setup: `CREATE TABLE t (a int, b text); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t SELECT 1, 'x' FROM generate_series(1, 3); INSERT INTO t VALUES (NULL, ''), (NULL, ''), (NULL, NULL);
      INSERT INTO t SELECT i % 10, 'y' FROM generate_series(1, 200) i; CREATE TABLE j (doc json, p point, x xml); ALTER TABLE j REPLICA IDENTITY FULL;
      INSERT INTO j SELECT '{"a": 1}', '(1,2)', '<a/>' FROM generate_series(1, 3)`,
    steps: [
      "DELETE FROM t WHERE ctid = (SELECT ctid FROM t WHERE b = 'x' LIMIT 1)",
      'DELETE FROM t WHERE ctid = (SELECT ctid FROM t WHERE a IS NULL AND b IS NOT NULL LIMIT 1)',
      "DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE b = 'y' ORDER BY ctid LIMIT 70); INSERT INTO t SELECT 1, 'x' FROM generate_series(1, 60)",
      "UPDATE t SET b = 'z' WHERE ctid = (SELECT ctid FROM t WHERE b = 'x' LIMIT 1); UPDATE t SET b = NULL WHERE b = ''; UPDATE t SET b = '' WHERE ctid = (SELECT ctid FROM t WHERE b IS NULL LIMIT 1)",
      "INSERT INTO t VALUES (9, 'gone'), (9, 'gone'); DELETE FROM t WHERE b = 'gone' AND ctid = (SELECT ctid FROM t WHERE b = 'gone' LIMIT 1)",
      'DELETE FROM j WHERE ctid = (SELECT ctid FROM j LIMIT 1)',
    ],
  },
  {
    title: 'R10: an update that changes nothing changes nothing',
    setup: `CREATE TABLE t (id int PRIMARY KEY, v text, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t SELECT i, 'v', ${big('i')} FROM generate_series(1, 50) i;
      CREATE TABLE f (LIKE t INCLUDING ALL); ALTER TABLE f REPLICA IDENTITY FULL; INSERT INTO f SELECT * FROM t; CREATE TABLE k (id int PRIMARY KEY); INSERT INTO k VALUES (1), (2)`,
    steps: ['UPDATE t SET v = v; UPDATE f SET v = v; UPDATE k SET id = id', 'UPDATE t SET id = id, big = big WHERE id = 3; UPDATE f SET id = id WHERE id = 3; UPDATE k SET id = 3 WHERE id = 2'],
  },
  {
    title: 'R2: keys of several columns, of text, numeric, enum, uuid, timestamps and of types with several texts for equal values',
    setup: `CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
      CREATE TABLE multi (a int, b text, c date, v int, PRIMARY KEY (c, a, b)); INSERT INTO multi SELECT i, 'b' || i % 3, date '2024-01-01' + i % 5, 0 FROM generate_series(1, 60) i;
      CREATE TABLE texts (id text PRIMARY KEY, v int); INSERT INTO texts VALUES ('', 0), (' ', 0), ('a', 0), ('A', 0), ('ä', 0), ('a ', 0), ('null', 0), (E'\\\\N', 0), (E'tab\\tnew\\nline', 0), ('"', 0);
      CREATE TABLE numbers (id numeric PRIMARY KEY, v int); INSERT INTO numbers VALUES (1.0, 0), (2, 0), ('NaN', 0), ('Infinity', 0), (12345678901234567890.123456789, 0), (-0.5, 0);
      CREATE TABLE moods (id mood PRIMARY KEY, v int); INSERT INTO moods VALUES ('sad', 0), ('happy', 0);
      CREATE TABLE floats (id float8 PRIMARY KEY, v int); INSERT INTO floats VALUES (0, 0), ('NaN', 0), (1e300, 0), (0.1, 0);
      CREATE TABLE stamps (id timestamptz, u uuid, v int, PRIMARY KEY (id, u)); INSERT INTO stamps VALUES ('2024-02-29 12:00:00.000001+02', md5('a')::uuid, 0), ('infinity', md5('b')::uuid, 0);
      CREATE TABLE padded (id char(5) PRIMARY KEY, v int); INSERT INTO padded VALUES ('a', 0), ('bb', 0);
      CREATE TABLE bytes (id bytea, ok boolean, v int, PRIMARY KEY (ok, id)); INSERT INTO bytes VALUES ('\\x00', true, 0), ('', false, 0);
      CREATE TABLE spans (id interval PRIMARY KEY, v int); INSERT INTO spans VALUES ('1 day', 0), ('1 mon', 0)`,
    steps: [
      ...['multi', 'texts', 'numbers', 'moods', 'floats', 'stamps', 'padded', 'bytes', 'spans'].map((table) => `UPDATE ${table} SET v = v + 1`),
      "UPDATE multi SET b = b || 'x' WHERE a % 2 = 0; UPDATE multi SET c = c + 10; DELETE FROM multi WHERE a = 7",
      "UPDATE texts SET id = 'b' WHERE id = 'a'; UPDATE texts SET id = 'a' WHERE id = 'A'; DELETE FROM texts WHERE id IN ('', 'null')",
      'UPDATE numbers SET id = 1.00 WHERE id = 1; UPDATE numbers SET v = 5 WHERE id = 1; UPDATE numbers SET id = 2.50 WHERE id = 2; DELETE FROM numbers WHERE id = 2.5; INSERT INTO numbers VALUES (2.5000, 3)',
      "UPDATE moods SET id = 'ok' WHERE id = 'sad'; DELETE FROM moods WHERE id = 'happy'; INSERT INTO moods VALUES ('happy', 7)",
      "UPDATE floats SET id = '-0' WHERE id = 0; UPDATE floats SET v = 9 WHERE id = 0; DELETE FROM floats WHERE id = 'NaN'",
      "UPDATE stamps SET id = '-infinity' WHERE id = 'infinity'; UPDATE padded SET id = 'b' WHERE id = 'bb'; UPDATE bytes SET id = '\\xff' WHERE id = ''",
      "UPDATE spans SET id = '24:00:00' WHERE id = '1 day'; UPDATE spans SET v = 4 WHERE id = '1 day'; UPDATE spans SET id = '30 days' WHERE id = '1 mon'; DELETE FROM spans WHERE id = '1 mon'",
    ],
  },
  {
    title: 'R6: a replica identity that changes while running is taken as it is at each row: default, full, default',
    setup: `CREATE TABLE t (id int PRIMARY KEY, n int, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; INSERT INTO t SELECT i, i, ${big('i')} FROM generate_series(1, 60) i`,
    steps: [
      'UPDATE t SET n = n + 1',
      'ALTER TABLE t REPLICA IDENTITY FULL; UPDATE t SET n = n + 1; UPDATE t SET id = id + 100 WHERE id < 5',
      'UPDATE t SET n = n + 1; ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET id = id + 200 WHERE id > 50; DELETE FROM t WHERE id = 10',
      'ALTER TABLE t REPLICA IDENTITY FULL; DELETE FROM t WHERE id = 11; ALTER TABLE t REPLICA IDENTITY DEFAULT',
      'UPDATE t SET n = 0',
    ],
  },
  {
    title: 'R4: the index that rows are told by, beside a primary key, is exchanged and dropped while running',
    setup: `CREATE TABLE t (id int PRIMARY KEY, code int NOT NULL UNIQUE, n int NOT NULL, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL; CREATE UNIQUE INDEX by_n ON t (n, code); ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key;
      INSERT INTO t SELECT i, i + 1000, i % 5, ${big('i')} FROM generate_series(1, 40) i`,
    steps: [
      'UPDATE t SET n = n + 1; UPDATE t SET id = id + 100 WHERE id < 5; UPDATE t SET code = code + 500 WHERE id = 6; DELETE FROM t WHERE id = 7',
      'BEGIN; UPDATE t SET id = 300 WHERE id = 8; ALTER TABLE t REPLICA IDENTITY USING INDEX by_n; UPDATE t SET n = 50, id = 301 WHERE id = 9; DELETE FROM t WHERE id = 10; COMMIT',
      'UPDATE t SET id = id + 1000 WHERE n = 3; UPDATE t SET n = n + 100 WHERE id = 11',
      "BEGIN; ALTER TABLE t REPLICA IDENTITY DEFAULT; DROP INDEX by_n; UPDATE t SET code = -id WHERE id > 1000; UPDATE t SET id = 12 WHERE id = 11; COMMIT",
      "ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key; ALTER TABLE t DROP CONSTRAINT t_code_key; INSERT INTO t VALUES (5000, 1, 1, 'while nothing')",
      "ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET big = 'then' WHERE id IN (12, 5000); DELETE FROM t WHERE id = 13",
    ],
    decoding: false,
    whole: false,
  },
  {
    title: 'R5: with replica identity nothing rows still arrive, and updates again once there is an identity',
    setup: `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 10) i`,
    steps: [
      "ALTER TABLE t REPLICA IDENTITY NOTHING; INSERT INTO t VALUES (11, 'while nothing')",
      async ({ sql }) => {
        const refused = await sql("UPDATE t SET v = 'x'").then(() => false, () => true);
        if (!refused) throw new Error('the source took an update without an identity');
      },
      "ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET v = 'after' WHERE id > 8; DELETE FROM t WHERE id = 1",
    ],
  },
  {
    title: 'R19: values that the source made by defaults arrive as they are',
    setup: "CREATE TABLE t (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), tag uuid DEFAULT gen_random_uuid(), v text DEFAULT 'd'); INSERT INTO t DEFAULT VALUES",
    steps: ['INSERT INTO t SELECT FROM generate_series(1, 50)', 'UPDATE t SET tag = DEFAULT, at = DEFAULT WHERE id % 2 = 0', 'INSERT INTO t (v) VALUES (DEFAULT), (NULL) RETURNING id'],
  },
  {
    title: 'R14: identity columns and stored generated ones arrive as they are, from the copy as from the stream; virtual ones do not',
    setup: `CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, half int GENERATED ALWAYS AS (n / 2) VIRTUAL, v text);
      INSERT INTO t (n, v) SELECT i, 'v' FROM generate_series(1, 20) i; CREATE TABLE d (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text); INSERT INTO d (v) VALUES ('x');
      CREATE TABLE f (n int, big text GENERATED ALWAYS AS (repeat(md5(n::text), 100)) STORED, s text); ALTER TABLE f REPLICA IDENTITY FULL; INSERT INTO f (n, s) SELECT i, 's' FROM generate_series(1, 20) i;
      CREATE TABLE k (n int, code text GENERATED ALWAYS AS (lpad(n::text, 5, '0')) STORED PRIMARY KEY); INSERT INTO k SELECT i FROM generate_series(1, 20) i`,
    steps: [
      "INSERT INTO t (n, v) VALUES (100, 'new'); UPDATE t SET n = n + 1; UPDATE k SET n = n + 100 WHERE n < 10",
      'INSERT INTO t OVERRIDING SYSTEM VALUE VALUES (500, 7, DEFAULT, DEFAULT, NULL); INSERT INTO d VALUES (70), (71)',
      "UPDATE t SET id = DEFAULT WHERE id = 3; UPDATE f SET s = 't' WHERE n < 10; UPDATE f SET n = n + 50 WHERE n > 15; DELETE FROM k WHERE n = 101; DELETE FROM f WHERE n = 3",
    ],
    lacking: { t: ['half'] },
  },
  {
    title: 'R16: sequences and large objects are not captured, and hold nothing up',
    setup: 'CREATE SEQUENCE s; CREATE TABLE t (id int PRIMARY KEY, picture oid); INSERT INTO t VALUES (nextval($$s$$), lo_from_bytea(0, $$one$$))',
    steps: ["INSERT INTO t VALUES (nextval('s'), lo_from_bytea(0, 'two')); SELECT setval('s', 100); INSERT INTO t VALUES (nextval('s'), NULL)", 'SELECT lo_unlink(picture) FROM t WHERE id = 2; UPDATE t SET picture = NULL WHERE id = 2; ALTER SEQUENCE s RESTART'],
  },
  {
    title: 'R17: ON CONFLICT, MERGE, INSERT … SELECT and writing CTEs arrive as what they did',
    setup: `CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'd', n int DEFAULT 0, big text); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
      CREATE TABLE history (id int, v text, PRIMARY KEY (id, v)); INSERT INTO t SELECT i, 'v', 0, ${big('i')} FROM generate_series(1, 60) i`,
    steps: [
      "INSERT INTO t (id, v) SELECT i, 'up' FROM generate_series(55, 65) i ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v, n = t.n + 1; INSERT INTO t (id) VALUES (1), (70) ON CONFLICT DO NOTHING",
      `MERGE INTO t USING (SELECT i, i % 3 AS kind FROM generate_series(1, 80) i) s ON t.id = s.i
        WHEN MATCHED AND s.kind = 0 THEN DELETE WHEN MATCHED AND s.kind = 1 THEN UPDATE SET n = t.n + 10 WHEN NOT MATCHED AND s.kind = 2 THEN INSERT (id, v) VALUES (s.i, 'merged')`,
      'INSERT INTO history SELECT id, v FROM t; INSERT INTO t SELECT id + 1000, v, n, big FROM t',
      "WITH gone AS (DELETE FROM t WHERE id > 1050 RETURNING *), moved AS (UPDATE t SET id = id + 5000 WHERE id < 20 RETURNING *) INSERT INTO history SELECT id, 'gone' FROM gone UNION ALL SELECT id, 'moved' FROM moved",
      "WITH again AS (INSERT INTO t VALUES (1, 'again') RETURNING id) UPDATE history SET v = 'seen' FROM again WHERE history.id = again.id + 1",
    ],
  },
  {
    title: 'R18: foreign key cascades, triggers and rules arrive as what they did, once',
    setup: `CREATE TABLE parent (id int PRIMARY KEY, v text); CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
      CREATE TABLE maybe (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE SET NULL ON UPDATE CASCADE); CREATE TABLE audit (n bigserial PRIMARY KEY, what text);
      CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree DEFERRABLE INITIALLY DEFERRED);
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('INSERT INTO %I.audit (what) VALUES (%L)', TG_TABLE_SCHEMA, TG_OP || coalesce(NEW.v, OLD.v)); RETURN NULL; END $$;
      CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON parent FOR EACH ROW EXECUTE FUNCTION note();
      CREATE FUNCTION upper_v() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$;
      CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON parent FOR EACH ROW EXECUTE FUNCTION upper_v();
      CREATE RULE no_delete AS ON DELETE TO tree WHERE OLD.id = 1 DO INSTEAD UPDATE tree SET up = NULL WHERE id = OLD.id;
      INSERT INTO parent SELECT i, 'p' || i FROM generate_series(1, 10) i; INSERT INTO child SELECT i, i % 10 + 1 FROM generate_series(1, 50) i; INSERT INTO maybe SELECT i, i % 10 + 1 FROM generate_series(1, 50) i`,
    steps: [
      'DELETE FROM parent WHERE id = 1; UPDATE parent SET id = 100 WHERE id = 2',
      'INSERT INTO tree VALUES (2, 1), (3, 2), (1, NULL); UPDATE tree SET up = 3 WHERE id = 1; DELETE FROM tree WHERE id = 1',
      "INSERT INTO parent VALUES (200, 'new'); INSERT INTO child VALUES (1000, 200); DELETE FROM parent WHERE id = 200",
      'BEGIN; DELETE FROM parent WHERE id = 3; ROLLBACK; SELECT 1',
      "SET session_replication_role = replica; DELETE FROM parent WHERE id = 4; INSERT INTO parent VALUES (300, 'quiet')",
    ],
  },
  {
    title: 'R20: rows that a replica role or another origin wrote arrive like all others',
    setup: 'CREATE TABLE t (id int PRIMARY KEY, v text)',
    steps: [
      "SET session_replication_role = replica; INSERT INTO t VALUES (1, 'as a replica')",
      async ({ sql, schema }) => {
        await sql(`SELECT pg_replication_origin_create('${schema}')`);
        await sql(`SELECT pg_replication_origin_session_setup('${schema}'); INSERT INTO t VALUES (2, 'from elsewhere'); UPDATE t SET v = v || '!'`);
        await sql(`SELECT pg_replication_origin_drop('${schema}')`);
      },
    ],
  },
];

/** Before PostgreSQL 18. */
export const beforePublishedGenerated: readonly Scenario[] = [
  {
    title: 'R14: before PostgreSQL 18 no generated column arrives, from the copy as from the stream, and one in the key keeps its table out',
    setup: `CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, v text); INSERT INTO t (n, v) SELECT i, 'v' FROM generate_series(1, 20) i;
      CREATE TABLE f (n int, g int GENERATED ALWAYS AS (n * 2) STORED); ALTER TABLE f REPLICA IDENTITY FULL; INSERT INTO f SELECT 1 FROM generate_series(1, 5);
      CREATE TABLE k (n int, code int GENERATED ALWAYS AS (n * 2) STORED PRIMARY KEY); INSERT INTO k VALUES (1)`,
    steps: ["INSERT INTO t (n, v) VALUES (100, 'new'); UPDATE t SET n = n + 1; UPDATE t SET id = DEFAULT WHERE id = 3", 'DELETE FROM f WHERE ctid = (SELECT ctid FROM f LIMIT 1); UPDATE k SET n = 2; INSERT INTO k VALUES (9)'],
    lacking: { t: ['twice'], f: ['g'] },
    notCaptured: ['k'],
  },
];

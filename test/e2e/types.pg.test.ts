import fc from 'fast-check';
import { quoteLiteral } from '../../src/runtime/postgres/quote.ts';
import { scenarios, type Scenario } from '../support/scenarios.ts';
import { anyValue, typeFamilies, type TypeFamily } from '../support/type-samples.ts';

/** A table with a column for each type of the family, keyed and without a key; row i holds the i-th value of each type. */
function edgeValues({ name, setup, samples }: TypeFamily): Scenario {
  const count = Math.max(...samples.map(([, values]) => values.length));
  const columns = samples.map((_, i) => `c${i}`);
  const rows = Array.from({ length: count }, (_, row) => {
    const values = samples.map(([type, all]) => (all[row] === undefined ? 'NULL' : `${quoteLiteral(all[row])}::${type}`));
    return `(${[row + 1, ...values].join(', ')})`;
  });
  const definition = samples.map(([type], i) => `c${i} ${type}`).join(', ');
  return {
    title: `2.K ${name}: every value is exact in a Postgres and a SQLite replica and in both formats, copied or streamed`,
    setup: `${setup ?? 'SELECT'}; CREATE TABLE keyed (id int PRIMARY KEY, ${definition}); CREATE TABLE bag (id int, ${definition}); ALTER TABLE bag REPLICA IDENTITY FULL;
      INSERT INTO keyed VALUES ${rows.join(', ')}; INSERT INTO bag SELECT * FROM keyed`,
    steps: [
      `INSERT INTO keyed SELECT id + 1000, ${columns.join(', ')} FROM keyed; INSERT INTO bag SELECT * FROM keyed WHERE id > 1000`,
      // Each row gets the values of the next one.
      ...['keyed', 'bag'].map((table) => `UPDATE ${table} t SET (${columns.join(', ')}) = (SELECT ${columns.join(', ')} FROM keyed n WHERE n.id = 1000 + t.id % ${count} + 1) WHERE t.id < 1000`),
      'DELETE FROM keyed WHERE id > 1001; DELETE FROM bag WHERE id > 1001',
    ],
  };
}

const seed = Number(process.env['TAILRACE_TEST_SEED'] ?? Date.now() % 1_000_000);
const runs = Number(process.env['TAILRACE_TEST_RUNS'] ?? 60);

/** The table's name tells the seed, should it differ. */
function randomValues(): Scenario {
  const types = Object.keys(anyValue);
  const table = `random_${seed}`;
  const insert = (part: number): string => {
    const lists = Object.values(anyValue).map((any, i) => fc.sample(any, { numRuns: runs, seed: seed + part * 1000 + i }));
    const arrays = lists.map((values) => `unnest(ARRAY[${values.map(quoteLiteral).join(', ')}]::text[])`);
    const columns = types.map((type, i) => `CASE WHEN pg_input_is_valid(v${i}, ${quoteLiteral(type)}) THEN v${i}::${type} END`);
    return `INSERT INTO ${table} SELECT ${part * runs} + n, ${columns.join(', ')} FROM ROWS FROM (${arrays.join(', ')}) WITH ORDINALITY AS u(${types.map((_, i) => `v${i}`).join(', ')}, n)`;
  };
  return {
    title: '2.K: values drawn at random of every kind of type are exact everywhere',
    setup: `CREATE TABLE ${table} (id int PRIMARY KEY, ${types.map((type, i) => `c${i} ${type}`).join(', ')}); ${insert(0)}`,
    steps: [insert(1), `UPDATE ${table} a SET (${types.map((_, i) => `c${i}`).join(', ')}) = (SELECT ${types.map((_, i) => `c${i}`).join(', ')} FROM ${table} b WHERE b.id = a.id + ${runs}) WHERE a.id <= ${runs / 2}`],
  };
}

/** Keys that are equal to Postgres and differ in their text, and keys of types that one would not choose. */
const keys: Scenario = {
  title: '2.K keys: a key may be of any type, and numeric 1 and 1.0, citext a and A, float 0 and -0 are one key each whose text changes',
  setup: `CREATE EXTENSION IF NOT EXISTS citext SCHEMA public; CREATE TYPE mood AS ENUM ('so so', 'happy'); CREATE TYPE pair AS (a int, b text);
    ${[
      ['numeric', `('1'), ('NaN'), ('Infinity'), ('0.00')`], ['float8', `('0'), ('NaN'), ('1e300')`], ['public.citext', `('abc'), ('')`], ['mood', `('happy')`], ['pair', `('(1,"a,b")'), ('(2,)')`],
      ['int[]', `('{1,NULL}'), ('{}')`], ['text', `('a'), ('a '), ('A'), ('é'), ('')`], ['bytea', `('\\x00'), ('\\x')`], ['timestamptz', `('infinity'), ('2024-01-01 00:00:00+00')`],
      ['int4range', `('[1,5)'), ('empty')`], ['uuid', `('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')`], ['bool', `('t'), ('f')`], ['"char"', `('a'), ('')`], ['bit(3)', `('101')`], ['inet', `('10.0.0.1/8')`],
      ['char(4)', `('ab'), ('')`], ['interval', `('1 day'), ('00:00:01')`], ['jsonb', `('{"a": 1}'), ('null')`], ['money', `('1.50')`],
    ].map(([type, values], i) => `CREATE TABLE k${i} (k ${type} PRIMARY KEY, v text, n int DEFAULT 0); ALTER TABLE k${i} ALTER v SET STORAGE EXTERNAL; INSERT INTO k${i} (k) VALUES ${values}; UPDATE k${i} SET v = repeat(k::text, 3000)`).join(';\n')}`,
  steps: [
    `UPDATE k0 SET k = '1.0' WHERE k = 1; UPDATE k0 SET n = n + 1; UPDATE k0 SET k = '1.00', n = 7 WHERE k = 1; DELETE FROM k0 WHERE k = 'NaN'; INSERT INTO k0 VALUES ('NaN', 'again'); UPDATE k0 SET k = '0' WHERE k = 0`,
    `UPDATE k1 SET k = '-0' WHERE k = 0; UPDATE k1 SET n = 1; DELETE FROM k1 WHERE k = 'NaN'; INSERT INTO k1 VALUES ('NaN', 'again'), ('-1', 'x'); UPDATE k1 SET k = '0' WHERE k = 0`,
    `UPDATE k2 SET k = 'ABC' WHERE k = 'abc'; UPDATE k2 SET n = 1; DELETE FROM k2 WHERE k = 'ABC'; INSERT INTO k2 VALUES ('aBc', 'again'); UPDATE k2 SET k = 'AbC' WHERE k = 'aBc'`,
    `UPDATE k3 SET k = 'so so'; INSERT INTO k3 VALUES ('happy', 'new'); DELETE FROM k3 WHERE k = 'so so'`,
    `UPDATE k4 SET k = '(1,"")' WHERE (k).a = 1; UPDATE k4 SET n = 1; DELETE FROM k4 WHERE k = '(2,)'::pair`,
    ...Array.from({ length: 14 }, (_, i) => `UPDATE k${i + 5} SET n = n + 1; UPDATE k${i + 5} SET v = 'short'; DELETE FROM k${i + 5} WHERE k = (SELECT k FROM k${i + 5} LIMIT 1); INSERT INTO k${i + 5} (k, v) SELECT k, 'x' FROM k${i + 5} ON CONFLICT (k) DO UPDATE SET v = 'conflict'`),
  ],
};

scenarios('values', [...typeFamilies.map(edgeValues), randomValues(), keys]);

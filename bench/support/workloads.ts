import type { EmbeddedPostgres } from '../../src/cli/demo/embedded-postgres.ts';

export interface Progress {
  readonly table: string;
  readonly each: number;
  /** All of them are one transaction. */
  readonly atOnce?: boolean;
}

/** Something to do in a source database whose arrival elsewhere can be watched. */
export interface Workload {
  readonly setup: string;
  readonly tables: readonly string[];
  /** What tells how far a replica is: operations arrive in the order of the ids of one table, `each` of them with each id. */
  readonly progress: Progress;
  fill(server: EmbeddedPostgres, database: string, operations: number): Promise<void>;
}

const columns = `
  customer int NOT NULL, amount numeric(12,2) NOT NULL, status text NOT NULL, note text NOT NULL,
  ratio double precision NOT NULL, flag boolean NOT NULL, at timestamptz NOT NULL`;
const values = (n: string): string => `${n} % 1000, ${n} * 1.01, 'status ' || ${n} % 7, repeat(md5((${n})::text), 3), ${n} / 7.0, ${n} % 2 = 0, now()`;

export const rowTable = `CREATE TABLE rows (id bigint PRIMARY KEY, ${columns})`;

/** Inserts of one row of 8 columns and about 200 bytes, so many to a transaction (0: all in one). */
export function inserts(perTransaction: number): Workload {
  return {
    setup: rowTable,
    tables: ['rows'],
    progress: { table: 'rows', each: 1, atOnce: perTransaction === 0 },
    fill: (server, database, rows) => {
      const step = perTransaction === 0 ? rows : perTransaction;
      return call(server, database, `
        FOR i IN 0 .. ${Math.ceil(rows / step) - 1} LOOP
          INSERT INTO rows SELECT i * ${step} + n, ${values('(i * ' + String(step) + ' + n)')} FROM generate_series(1, ${step}) n;
          COMMIT;
        END LOOP;`);
    },
  };
}

const mixed = [1, 2, 3, 4, 5].map((n) => `mix_${n}`);

/**
 * Transactions of ten operations in five tables: an insert in each, an update of an earlier row in four and a delete in the fifth.
 * What is updated lies among the last 5,000 transactions, so that hardly a key is changed twice in a row.
 */
export const mix: Workload = {
  setup: mixed.map((table) => `CREATE TABLE ${table} (id bigint PRIMARY KEY, ${columns});`).join('\n'),
  tables: mixed,
  progress: { table: 'mix_1', each: 10 },
  fill: (server, database, operations) => {
    const insert = mixed.map((table) => `INSERT INTO ${table} VALUES (i, ${values('i')});`);
    // Deleted is what is 100 transactions old where the number of the table is that of the transaction modulo five.
    const change = mixed.map((table, k) => `
      IF i % 5 = ${k} THEN DELETE FROM ${table} WHERE id = i - 100;
      ELSIF i > 10 THEN
        r := greatest(2, i - 1 - floor(random() * 5000)::int);
        IF r % 5 = ${k} THEN r := r - 1; END IF;
        UPDATE ${table} SET status = 'changed by ' || i, amount = i, at = now() WHERE id = r;
      END IF;`);
    return call(server, database, `
      FOR i IN 1 .. ${Math.round(operations / 10)} LOOP
        ${[...insert, ...change].join('\n')}
        COMMIT;
      END LOOP;`);
  },
};

/** Inserts into so many tables in turn, 100 to a transaction, each transaction in one of them. */
export function manyTables(tables: number): Workload {
  const names = Array.from({ length: tables }, (_, i) => `table_${i}`);
  return {
    setup: names.map((name) => `CREATE TABLE ${name} (id bigint PRIMARY KEY, ${columns});`).join('\n'),
    tables: names,
    // The last transaction is in the last table.
    progress: { table: names.at(-1) ?? '', each: 1 },
    fill: (server, database, rows) => call(server, database, `
      FOR i IN 0 .. ${Math.round(rows / 100) - 1} LOOP
        EXECUTE 'INSERT INTO table_' || i % ${tables} || ' SELECT $1 * 100 + n, ${values('($1 * 100 + n)').replaceAll("'", "''")} FROM generate_series(1, 100) n' USING i;
        COMMIT;
      END LOOP;`),
  };
}

/** Rows of one text of so many bytes, about 1 MB to a transaction. */
export function wideRows(bytes: number): Workload {
  const step = Math.max(1, Math.min(1000, Math.round(1e6 / bytes)));
  return {
    setup: 'CREATE TABLE wide (id bigint PRIMARY KEY, body text NOT NULL); ALTER TABLE wide ALTER body SET STORAGE EXTERNAL',
    tables: ['wide'],
    progress: { table: 'wide', each: 1 },
    fill: (server, database, rows) => call(server, database, `
      FOR i IN 0 .. ${Math.ceil(rows / step) - 1} LOOP
        INSERT INTO wide SELECT i * ${step} + n, left(repeat(md5((i * ${step} + n)::text), ${Math.ceil(bytes / 32)}), ${bytes})
        FROM generate_series(1, least(${step}, ${rows} - i * ${step})) n;
        COMMIT;
      END LOOP;`),
  };
}

/** Runs PL/pgSQL that commits. The backlog is not what is measured: it need not wait for the disk. */
async function call(server: EmbeddedPostgres, database: string, body: string): Promise<void> {
  await server.sql(`CREATE OR REPLACE PROCEDURE fill() LANGUAGE plpgsql AS $fill$ DECLARE r bigint; BEGIN
    PERFORM set_config('synchronous_commit', 'off', false);
    ${body} END $fill$`, [], database);
  await server.sql('CALL fill()', [], database);
}

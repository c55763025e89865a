import fc from 'fast-check';
import pg from 'pg';
import { quoteLiteral } from '../../src/runtime/postgres/quote.ts';
import type { TestDatabase } from './postgres.ts';
import { anyValue } from './type-samples.ts';

export interface RandomTable {
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly values: readonly string[] }[];
  readonly key: readonly string[];
}

const keyTypes = ['integer', 'bigint', 'text', 'numeric', 'uuid', 'timestamp with time zone', 'int4range', 'bytea', 'double precision', 'boolean', 'character(7)', 'inet', 'integer[]', 'interval'];
const types = Object.keys(anyValue);

export function pick<T>(random: () => number, from: readonly T[]): T {
  return from[Math.floor(random() * from.length)] as T;
}

/** A table of columns of types drawn at random: without a key, with a key of one or two columns, or with a key and identity full. */
export async function randomTable(source: TestDatabase, random: () => number, name: string): Promise<RandomTable> {
  const keyed = random() < 0.75;
  const key = keyed ? Array.from({ length: 1 + Math.floor(random() * 2) }, (_, i) => ({ name: `k${i}`, type: pick(random, keyTypes) })) : [];
  const others = Array.from({ length: 1 + Math.floor(random() * 6) }, (_, i) => ({ name: `c${i}`, type: pick(random, types) }));
  const columns = await Promise.all([...key, ...others].map(async (column) => {
    const drawn = fc.sample(anyValue[column.type] as fc.Arbitrary<string>, { numRuns: 25, seed: Math.floor(random() * 2 ** 31) });
    const valid = await source.sql<{ v: string }>('SELECT v FROM unnest($1::text[]) v WHERE pg_input_is_valid(v, $2)', [drawn, column.type]);
    return { ...column, values: valid.map(({ v }) => v) };
  }));
  const list = columns.map((column) => `${column.name} ${column.type}`).join(', ');
  const primary = keyed ? `, PRIMARY KEY (${key.map((column) => column.name).join(', ')})` : '';
  await source.sql(`CREATE TABLE ${name} (${list}${primary}); ALTER TABLE ${name} REPLICA IDENTITY ${!keyed || random() < 0.3 ? 'FULL' : 'DEFAULT'}`);
  return { name, columns, key: key.map((column) => column.name) };
}

export function randomStatement(random: () => number, table: RandomTable): string {
  const value = ({ name, type, values }: RandomTable['columns'][number]): string =>
    values.length === 0 || (random() < 0.1 && !table.key.includes(name)) ? 'NULL' : `${quoteLiteral(pick(random, values))}::${type}`;
  const someRow = `ctid = (SELECT ctid FROM ${table.name} OFFSET floor(${random()} * (SELECT count(*) FROM ${table.name})) LIMIT 1)`;
  const what = random();
  if (what < 0.6) return `INSERT INTO ${table.name} VALUES (${table.columns.map(value).join(', ')}) ON CONFLICT DO NOTHING`;
  if (what < 0.9) {
    const column = pick(random, table.columns);
    return `UPDATE ${table.name} SET ${column.name} = ${value(column)} WHERE ${someRow}`;
  }
  if (what < 0.998) return `DELETE FROM ${table.name} WHERE ${someRow}`;
  return `TRUNCATE ${table.name}`;
}

/** Refusals that such a workload meets: taken keys, keys too long for their index, values out of range. */
const refusals = /^(23|22|54|40)/;

export async function randomTransactions(url: string, random: () => number, tables: readonly RandomTable[], count: number): Promise<{ readonly committed: number; readonly statements: number }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  let [committed, statements] = [0, 0];
  for (let i = 0; i < count; i++) {
    const batch = Array.from({ length: 1 + Math.floor(random() * 6) }, () => randomStatement(random, pick(random, tables)));
    try {
      await client.query(`BEGIN; ${batch.join('; ')}; ${random() < 0.1 ? 'ROLLBACK' : 'COMMIT'}`);
      committed++;
      statements += batch.length;
    } catch (error) {
      if (!refusals.test((error as { code?: string }).code ?? '')) throw error;
      await client.query('ROLLBACK');
    }
  }
  await client.end();
  return { committed, statements };
}

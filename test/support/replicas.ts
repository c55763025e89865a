import { createHash } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import type { TestDatabase } from './postgres.ts';

/** A table's rows as one text a row, sorted: equal texts are equal tables, twins included. */
export type Dump = readonly string[];

export async function dumpPostgres(database: TestDatabase, table: string, columns = '*'): Promise<Dump> {
  const rows = await database.sql<{ row: string }>(`SELECT to_jsonb(t)::text AS row FROM (SELECT ${columns} FROM ${table}) t`);
  return rows.map(({ row }) => canonical(JSON.parse(row) as Record<string, unknown>)).toSorted();
}

/** For tables of integers and texts, which SQLite holds as they are. */
export function dumpSqlite(path: string, table: string): Dump {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return (database.prepare(`SELECT * FROM "${table}"`).all() as Record<string, unknown>[]).map(canonical).toSorted();
  } finally {
    database.close();
  }
}

function canonical(row: Record<string, unknown>): string {
  return Object.keys(row).toSorted().map((column) => `${column}=${String(row[column])}`).join(' ');
}

/** For comparing what may be large: a difference is then looked for in the dumps themselves. */
export function fingerprint(dump: Dump): string {
  return `${dump.length} rows ${createHash('md5').update(dump.join('\n')).digest('hex')}`;
}

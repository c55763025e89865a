import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** A server that runs somewhere, seen from its superuser. */
export interface PostgresClient {
  readonly host: string;
  readonly port: number;
  url(database?: string): string;
  /** One connection a call, so that nothing of ours holds a database or survives a restart. Rows of the last statement. */
  sql<Row = Record<string, unknown>>(text: string, params?: readonly unknown[], database?: string): Promise<Row[]>;
  /** Makes an empty database and returns its URL; a random name unless told. */
  createDatabase(name?: string): Promise<string>;
}

export function postgresAt(serverUrl: string): PostgresClient {
  const base = new URL(serverUrl);
  const url = (database = 'postgres'): string => {
    const target = new URL(base);
    target.pathname = `/${encodeURIComponent(database)}`;
    return target.href;
  };
  const sql = async <Row>(text: string, params?: readonly unknown[], database?: string): Promise<Row[]> => {
    const client = new pg.Client({ connectionString: url(database), application_name: 'tailrace-embedded' });
    // A server that is killed while we are idle must not end the process; a running query fails by itself.
    client.on('error', () => {});
    await client.connect();
    try {
      const result: unknown = await client.query(text, params === undefined ? undefined : [...params]);
      const last: unknown = Array.isArray(result) ? result.at(-1) : result;
      return (last as { rows: Row[] }).rows;
    } finally {
      await client.end();
    }
  };
  const createDatabase = async (name = `t_${randomBytes(6).toString('hex')}`): Promise<string> => {
    await sql(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
    return url(name);
  };
  return { host: base.hostname, port: Number(base.port), url, sql, createDatabase };
}

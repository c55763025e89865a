/**
 * Real servers for tests. `sharedPostgres()` is the one server of the test run (or of this file, when it runs alone):
 * take a `freshDatabase` of it a test. A test that stops, kills or configures a server starts its own by `startPostgres`.
 */
import { randomBytes } from 'node:crypto';
import { after } from 'node:test';
import pg from 'pg';
import {
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
} from '../../src/cli/demo/embedded-postgres.ts';
import { postgresAt, type PostgresClient } from '../../src/cli/demo/postgres-client.ts';
import { connectionTarget } from '../../src/runtime/postgres/connection-target.ts';
import type { ConnectionTarget } from '../../src/runtime/postgres/connection-url.ts';
import { Secret } from '../../src/runtime/secret.ts';

export type { EmbeddedPostgres, EmbeddedPostgresOptions, PostgresVersion } from '../../src/cli/demo/embedded-postgres.ts';
export type { PostgresClient } from '../../src/cli/demo/postgres-client.ts';

/** What of a test context is used here: pass `t` of the test. */
export interface Scope {
  after(fn: () => Promise<void>): void;
}

export interface TestDatabase {
  readonly name: string;
  readonly url: string;
  sql<Row = Record<string, unknown>>(text: string, params?: readonly unknown[]): Promise<Row[]>;
}

/** The environment variable by which the test runner passes the URL of its server. */
export const SHARED_URL_VARIABLE = 'TAILRACE_TEST_PG';

/** A server of one's own. It is removed when the scope ends: `t`, or without one the running test, or the file. */
export async function startPostgres(options: EmbeddedPostgresOptions = {}, scope?: Scope): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres(options);
  const remove = (): Promise<void> => server.remove();
  if (scope === undefined) after(remove);
  else scope.after(remove);
  return server;
}

let shared: Promise<PostgresClient> | undefined;
let ofThisFile: EmbeddedPostgres | undefined;

// Here and not where it starts: inside a test `after` would bind to that test, and the next one would find no server.
after(() => ofThisFile?.remove());

export function sharedPostgres(): Promise<PostgresClient> {
  shared ??= findShared();
  return shared;
}

async function findShared(): Promise<PostgresClient> {
  const url = process.env[SHARED_URL_VARIABLE];
  if (url !== undefined && url !== '') return postgresAt(url);
  ofThisFile = await startEmbeddedPostgres();
  return ofThisFile;
}

/**
 * A new, empty database on the shared server, or on one of the test's own, with which it goes. With a scope it goes from the
 * shared one, with its slots, when the test ends. A transaction that stays open for long belongs on
 * one's own: a new slot waits for all that its server has.
 */
export async function freshDatabase(scope?: Scope, on?: PostgresClient): Promise<TestDatabase> {
  const server = on ?? (await sharedPostgres());
  const name = `t_${randomBytes(6).toString('hex')}`;
  const url = await server.createDatabase(name);
  if (on === undefined) scope?.after(() => dropDatabase(server, name));
  return { name, url, sql: (text, params) => server.sql(text, params, name) };
}

/** A URL as a connection takes it, with no keys beside it. */
export function targetOf(url: string): ConnectionTarget {
  return connectionTarget({ url: new Secret(url), sslmode: undefined, sslrootcert: undefined, sslcert: undefined, sslkey: undefined });
}

/** Where the server's WAL ends: what is committed from here on comes behind it. */
export async function walPlace(database: TestDatabase): Promise<string> {
  const [row] = await database.sql<{ at: string }>('SELECT pg_current_wal_insert_lsn()::text AS at');
  return row?.at ?? '0/0';
}

/** The same database by one connection that stays, for whoever asks it thousands of questions. */
export function keptOpen({ name, url }: TestDatabase, scope: Scope): TestDatabase {
  const client = new pg.Client({ connectionString: url, application_name: 'tailrace-test' });
  // Its server may go before the scope has ended.
  client.on('error', () => {});
  const connected = client.connect();
  scope.after(() => client.end());
  return {
    name,
    url,
    sql: async <Row>(text: string, params?: readonly unknown[]): Promise<Row[]> => {
      await connected;
      const result: unknown = await client.query(text, params === undefined ? undefined : [...params]);
      return ((Array.isArray(result) ? result.at(-1) : result) as { rows: Row[] }).rows;
    },
  };
}

/** What must end before a database goes: `after` hooks run first in, first out, and a daemon comes after its databases. */
export const databaseUsers = new Set<() => Promise<void>>();

async function dropDatabase(server: PostgresClient, name: string): Promise<void> {
  for (const end of databaseUsers) await end();
  databaseUsers.clear();
  // A slot in use can't be dropped, and a database with a slot neither: end its sessions first, until they are gone.
  for (let left = 50; left > 0; left -= 1) {
    await server.sql('SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE datname = $1', [name]);
    const busy = await server.sql('SELECT 1 FROM pg_replication_slots WHERE database = $1 AND active', [name]);
    if (busy.length === 0) break;
  }
  await server.sql('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1', [name]);
  await server.sql(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
}

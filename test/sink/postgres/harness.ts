import { after, type TestContext } from 'node:test';
import type { TableShape } from '../../../src/event/table.ts';
import { silentLogger, type Logger } from '../../../src/runtime/logger.ts';
import { quoteQualified, quoteIdentifier } from '../../../src/runtime/postgres/quote.ts';
import { postgresSinkConfig } from '../../../src/sink/postgres/config.ts';
import { createPostgresSink } from '../../../src/sink/postgres/index.ts';
import type { PostgresSink } from '../../../src/sink/postgres/sink.ts';
import type { ReplicaUnderTest, SinkHarness, SinkSettings } from '../../contract/sink.ts';
import { freshDatabase, type TestDatabase } from '../../support/postgres.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { eventually } from '../../support/wait.ts';

export interface PostgresSinkSettings extends SinkSettings {
  readonly url?: string;
  readonly schema?: string;
  readonly logger?: Logger;
  readonly lockTimeoutMs?: number;
  readonly stallMs?: number;
}

export function sinkOf(database: TestDatabase, settings: PostgresSinkSettings = {}): PostgresSink {
  const columns: Record<string, { exclude: readonly string[] }> = {};
  for (const [table, exclude] of Object.entries(settings.leftOut ?? {})) columns[table] = { exclude };
  const config = postgresSinkConfig.parse({
    url: settings.url ?? database.url, schema: settings.schema, rename: settings.rename, columns,
  });
  const { sink = 'replica', logger = silentLogger, lockTimeoutMs = 2000, stallMs = 15_000, ddl = 'apply' } = settings;
  return createPostgresSink(config, { pipeline: 'shop', sink, logger, ddl, lockTimeoutMs, stallMs });
}

export async function rowsOf(database: TestDatabase, table: TableShape, options: { columns?: readonly string[]; renamed?: string } = {}): Promise<(string | null)[][]> {
  const columns = options.columns ?? table.columns.map((column) => column.name);
  const list = columns.map((column) => `${quoteIdentifier(column)}::text`).join(', ');
  const name = quoteQualified(table.schema, options.renamed ?? table.name);
  const rows = await database.sql<{ row: (string | null)[] }>(`SELECT ARRAY[${list}] AS row FROM ${name}`);
  return rows.map(({ row }) => row);
}

/** Ends every session of a sink at the replica. */
export async function endSessions(database: TestDatabase): Promise<void> {
  await database.sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'tailrace/%' AND datname = current_database()");
}

const cleanups: (() => Promise<void>)[] = [];
after(async () => {
  // Without a server of the whole run, this file's own may be gone already, and its databases with it.
  for (const cleanup of cleanups) await cleanup().catch(() => undefined);
});
let shared: Promise<TestDatabase> | undefined;

/** This file's database, emptied: twenty times as quick as a new one. Tests of a file run one after the other. */
export async function emptyDatabase(): Promise<TestDatabase> {
  shared ??= freshDatabase({ after: (cleanup) => void cleanups.push(cleanup) });
  const database = await shared;
  await endSessions(database);
  const schemas = await database.sql<{ name: string }>(
    "SELECT quote_ident(nspname) AS name FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'",
  );
  await database.sql(`${schemas.map(({ name }) => `DROP SCHEMA ${name} CASCADE; `).join('')}CREATE SCHEMA public`);
  return database;
}

export const postgresHarness: SinkHarness = {
  types: { integer: 'integer', text: 'text' },
  async replica(t: TestContext): Promise<ReplicaUnderTest> {
    const database = await emptyDatabase();
    return {
      sink: (settings) => sinkOf(database, settings),
      name: (table, renamed) => quoteQualified(table.schema, renamed ?? table.name),
      sql: async (text) => void (await database.sql(text)),
      rows: (table, options) => rowsOf(database, table, options),
      columns: async (table) => {
        const rows = await database.sql<{ name: string }>(
          'SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum',
          [quoteQualified(table.schema, table.name)],
        );
        return rows.map((row) => row.name);
      },
      kill: () => endSessions(database),
      deaf: async (settings) => {
        const proxy = await TcpProxy.before(database.url);
        t.after(() => proxy.close());
        return {
          sink: sinkOf(database, { ...settings, url: proxy.through(database.url) }),
          spoil: () => {
            proxy.blackhole('down');
            // The reply has been swallowed: only then is the connection cut, so that the commit had gone through.
            void eventually(() => proxy.swallowed.down > 0).then(() => proxy.reset());
          },
          heal: () => proxy.blackhole('both', false),
        };
      },
    };
  },
};


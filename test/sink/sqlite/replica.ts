import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TestContext } from 'node:test';
import type { TableShape } from '../../../src/event/table.ts';
import { silentLogger } from '../../../src/runtime/logger.ts';
import type { Sink } from '../../../src/sink/sink.ts';
import { sqliteSinkConfig } from '../../../src/sink/sqlite/config.ts';
import { createSqliteSink } from '../../../src/sink/sqlite/index.ts';
import { placeTable } from '../../../src/sink/sqlite/replica-table.ts';
import { type SqliteValue, toPostgresText } from '../../../src/sink/sqlite/representation.ts';
import { quote } from '../../../src/sink/sqlite/quote.ts';
import type { ReplicaUnderTest, SinkSettings } from '../../contract/sink.ts';
import { tempDirectory } from '../../support/temp.ts';

export interface SqliteReplica extends ReplicaUnderTest {
  readonly path: string;
  /** Reads the file by a connection of its own. */
  query(sql: string): Record<string, unknown>[];
}

/** A file of its own, and sinks that write it. */
export async function sqliteReplica(t: TestContext, options: { readonly busyTimeout?: string } = {}): Promise<SqliteReplica> {
  const path = join(await tempDirectory(t), 'replica.sqlite');
  const name = (table: TableShape, renamed?: string): string => quote(renamed ?? placeTable(table, { rename: {}, leaveOut: {} }).name);

  function withDb<T>(use: (db: DatabaseSync) => T): T {
    const db = new DatabaseSync(path, { timeout: 1000 });
    try {
      return use(db);
    } finally {
      db.close();
    }
  }

  return {
    path,
    name,
    sink: (settings) => openSink(path, settings, options.busyTimeout),
    sql: async (text) => withDb((db) => db.exec(text)),
    query: (sql) => withDb((db) => db.prepare(sql).all()),
    columns: async (table) => withDb((db) => db.prepare('SELECT name FROM pragma_table_info(?)').all(placeTable(table, { rename: {}, leaveOut: {} }).name).map((row) => String(row['name']))),
    rows: async (table, { columns, renamed } = {}) => {
      const placed = placeTable(table, { rename: {}, leaveOut: {} });
      const wanted = placed.columns.filter((column) => columns?.includes(column.source.name) ?? true);
      return withDb((db) => {
        const statement = db.prepare(`SELECT ${wanted.map((column) => quote(column.name)).join(', ')} FROM ${name(table, renamed)}`);
        statement.setReturnArrays(true);
      statement.setReadBigInts(true);
        const rows = statement.all() as unknown as SqliteValue[][];
        return rows.map((row) => row.map((value, i) => toPostgresText((wanted[i] as (typeof wanted)[number]).form, value)));
      });
    },
    kill: (session) => session.close(),
    deaf: async (settings) => ({ sink: openSink(path, settings, options.busyTimeout), ...deafCommits(t, path) }),
  };
}

export function openSink(path: string, settings: SinkSettings = {}, busyTimeout = '300ms'): Sink {
  const columns = Object.fromEntries(Object.entries(settings.leftOut ?? {}).map(([table, exclude]) => [table, { exclude }]));
  const config = sqliteSinkConfig.parse({ path, rename: settings.rename ?? {}, columns, busy_timeout: busyTimeout });
  return createSqliteSink(config, { pipeline: 'shop', sink: settings.sink ?? 'local', ddl: settings.ddl ?? 'apply', logger: silentLogger });
}

/** While it is spoiled, a COMMIT on this file goes through and then says that reading or writing failed, as a bad disk might. */
function deafCommits(t: TestContext, path: string): { spoil(): void; heal(): void } {
  let spoiled = false;
  const { prototype } = DatabaseSync;
  // oxlint-disable-next-line typescript/unbound-method -- called with its own receiver below
  const exec = prototype.exec;
  prototype.exec = function (this: DatabaseSync, sql: string): void {
    exec.call(this, sql);
    if (spoiled && sql === 'COMMIT' && this.location() === path) throw Object.assign(new Error('disk I/O error'), { code: 'ERR_SQLITE_ERROR', errcode: 10 });
  };
  t.after(() => {
    prototype.exec = exec;
  });
  return { spoil: () => (spoiled = true), heal: () => (spoiled = false) };
}

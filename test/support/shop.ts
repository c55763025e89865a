import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { TestDaemon } from './daemon.ts';
import { freshDatabase, type Scope, type TestDatabase } from './postgres.ts';
import { dumpPostgres, dumpSqlite, fingerprint } from './replicas.ts';
import { tempDirectory } from './temp.ts';
import { eventually } from './wait.ts';
import { ledgerSchema, ledgerTables } from './workload.ts';

/** One source with the ledger's tables, one Postgres and one SQLite replica, and a daemon between them. */
export interface Setting {
  readonly source: TestDatabase;
  readonly replica: TestDatabase;
  readonly sqlite: string;
  readonly directory: string;
  readonly daemon: TestDaemon;
  /** Waits until both replicas hold what the source holds now; nobody may be writing. */
  equal(tables?: readonly string[]): Promise<void>;
}

export interface SettingOptions {
  /** More lines of the connector file, at the top level. */
  readonly yaml?: string;
  /** More lines of its `source`, two spaces in. */
  readonly inSource?: string;
  readonly schema?: string;
  /** In front of the pipeline's name, where two read one source. */
  readonly prefix?: string;
  /** In place of the shared server's databases. */
  readonly source?: TestDatabase;
  readonly replica?: TestDatabase;
  /** In place of the embedded log: the lines of `log`, two spaces in. */
  readonly log?: string;
}

export async function ledgerSetting(scope: Scope, options: SettingOptions = {}): Promise<Setting> {
  const source = options.source ?? (await freshDatabase(scope));
  const replica = options.replica ?? (await freshDatabase(scope));
  const directory = await tempDirectory(scope);
  await source.sql(options.schema ?? ledgerSchema);
  const sqlite = join(directory, 'replica.sqlite');
  const daemon = await TestDaemon.create(scope, directory, connector({ source: source.url, replica: replica.url, directory, sqlite, name: `${options.prefix ?? ''}${nameFor(source)}`, inSource: options.inSource ?? '', ...(options.log === undefined ? {} : { log: options.log }) }) + (options.yaml ?? ''));
  const equal = async (tables: readonly string[] = ledgerTables): Promise<void> => {
    for (const table of tables) {
      const expected = await dumpPostgres(source, table);
      await sameAs(`${table} in postgres`, expected, () => dumpPostgres(replica, table), daemon);
      await sameAs(`${table} in sqlite`, expected, () => Promise.resolve(dumpSqlite(sqlite, table)), daemon);
    }
  };
  return { source, replica, sqlite, directory, daemon, equal };
}

/** Changes of every kind on the ledger's tables: keys that move, truncates, a table without a key. */
export async function changeEverything({ source }: Setting): Promise<void> {
  await source.sql(`
    INSERT INTO ledger (w, s, crc) SELECT 9, n, 'x' FROM generate_series(1, 10) n;
    UPDATE wide SET small = 7 WHERE id < 10;
    UPDATE wide SET id = id + 1000 WHERE id < 5;
    DELETE FROM acct WHERE id > 40;
    DELETE FROM nopk WHERE ctid IN (SELECT ctid FROM nopk LIMIT 3);
    UPDATE nopk SET s = s + 10 WHERE w = 1;
  `);
  await source.sql("BEGIN; INSERT INTO wide VALUES (5000, 1, 'gone'); TRUNCATE wide; INSERT INTO wide SELECT n, n, 'after' FROM generate_series(1, 20) n; UPDATE wide SET id = id + 100 WHERE id > 15; COMMIT");
}

/** Slots are unique on a server, so tests that share one need pipelines of different names. */
export function nameFor(database: TestDatabase): string {
  return `p${database.name.replaceAll('_', '')}`.slice(0, 20);
}

export function connector(of: { readonly name: string; readonly source: string; readonly replica: string; readonly directory: string; readonly sqlite: string; readonly inSource?: string; readonly log?: string }): string {
  return `name: ${of.name}
source:
  type: postgres
  url: ${of.source}
  tables:
    include: [public.*]
${of.inSource ?? ''}log:
${of.log ?? `  type: embedded\n  directory: ${join(of.directory, 'log')}\n`}sinks:
  - name: reporting
    type: postgres
    url: ${of.replica}
  - name: local
    type: sqlite
    path: ${of.sqlite}
`;
}

async function sameAs(what: string, expected: readonly string[], actual: () => Promise<readonly string[]>, daemon: TestDaemon): Promise<void> {
  let last: readonly string[] = [];
  try {
    await eventually(async () => fingerprint((last = await actual())) === fingerprint(expected), { timeoutMs: 120_000 });
  } catch {
    const missing = expected.filter((row) => !last.includes(row)).slice(0, 3);
    const extra = last.filter((row) => !expected.includes(row)).slice(0, 3);
    assert.fail(
      `${what}: ${last.length} rows for ${expected.length}; missing ${JSON.stringify(missing)}, extra ${JSON.stringify(extra)}\n` +
        `status ${JSON.stringify(await daemon.status().catch(() => null))}\ndaemon: ${daemon.output.slice(-3000)}`,
    );
  }
}

/** Reads the sum of the accounts at one moment: it never changes, unless a transaction is seen in part. */
export function sqliteSum(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return (database.prepare('SELECT sum(bal) AS total FROM acct').get() as { total: number | null }).total ?? 0;
  } finally {
    database.close();
  }
}

import { tableName, type TableSchema } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Finding } from '../../runtime/finding.ts';
import { isEmpty, readTable, type Query } from './catalog.ts';
import type { ReplicaConnection } from './connection.ts';
import { mismatches } from './fit.ts';
import { ownTablesExist, readOwned, type SinkName } from './own-tables.ts';
import { recordOf, shapeChange } from './shape-change.ts';
import { conflict, gone, incomplete, unfollowed } from './shape-errors.ts';
import { planOf } from './shape-plan.ts';
import { checkOwner, noisy, wantedTable } from './targets.ts';
import { leftOutColumns, targetName, type NamingConfig } from './target-name.ts';

export interface CheckOptions {
  readonly connection: ReplicaConnection;
  readonly config: NamingConfig;
  readonly owner: SinkName;
  readonly tables: readonly TableSchema[];
}

/** Everything that would stop the sink, at once; reads only. */
export async function checkReplica(options: CheckOptions): Promise<readonly Finding[]> {
  const { connection, tables } = options;
  const own = await ownTablesExist(connection.query);
  const findings = await checkServer(connection.query, own);
  const targets = new Map<string, TableSchema>();
  for (const table of tables) {
    const found = await checkTable(options, { table, own, targets });
    if (found !== undefined) findings.push(found);
  }
  findings.push(...(await checkSchemas(options)));
  return findings;
}

async function checkServer(query: Query, own: boolean): Promise<Finding[]> {
  const [server] = await query<{ standby: boolean; create: boolean; temp: boolean; user: string; database: string; version: number; encoding: string }>(
    `SELECT pg_is_in_recovery() AS standby, has_database_privilege(current_database(), 'CREATE') AS create, has_database_privilege(current_database(), 'TEMP') AS temp,
       quote_ident(current_user) AS user, quote_ident(current_database()) AS database, current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding`,
  );
  if (server === undefined) return [];
  const findings: Finding[] = [];
  const add = (check: string, message: string, remedy: string): unknown => findings.push({ severity: 'error', check, message, remedy });
  if (server.version < 140_000) add('replica-version', 'the replica is older than PostgreSQL 14', 'Upgrade it.');
  if (server.standby) add('replica-standby', 'the replica is a standby and takes no writes', 'Name the primary in url.');
  if (server.encoding !== 'UTF8') add('replica-encoding', `the replica's database is in ${server.encoding}, which cannot hold every text`, 'Use a database with ENCODING UTF8.');
  if (!server.temp) add('replica-rights', `${server.user} may not make temporary tables at the replica`, `GRANT TEMPORARY ON DATABASE ${server.database} TO ${server.user};`);
  if (!own && !server.create) add('replica-rights', `${server.user} may not make the schema tailrace at the replica`, `GRANT CREATE ON DATABASE ${server.database} TO ${server.user};`);
  return findings;
}

/** Where tables are still to be made: the schema is there and may be written, or can be made. */
async function checkSchemas({ connection: { query }, config, tables }: CheckOptions): Promise<Finding[]> {
  const names = [...new Set(tables.map((table) => targetName(config, table).schema))];
  const rows = await query<{ schema: string; user: string; there: boolean; usable: boolean; create: boolean; database: string }>(
    `SELECT u.name AS schema, quote_ident(current_user) AS user, quote_ident(current_database()) AS database, n.oid IS NOT NULL AS there,
       coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE'), false) AS usable,
       has_database_privilege(current_database(), 'CREATE') AS create
     FROM unnest($1::text[]) AS u(name) LEFT JOIN pg_namespace n ON n.nspname = u.name`,
    [names],
  );
  return rows
    .filter((row) => (row.there ? !row.usable : !row.create))
    .map((row) => ({
      severity: 'error' as const,
      check: 'replica-rights',
      message: row.there ? `${row.user} may not make tables in the replica's schema ${row.schema}` : `${row.user} may not make the schema ${row.schema} at the replica`,
      remedy: row.there ? `GRANT USAGE, CREATE ON SCHEMA ${row.schema} TO ${row.user};` : `GRANT CREATE ON DATABASE ${row.database} TO ${row.user};`,
    }));
}

async function checkTable(
  { connection, config, owner }: CheckOptions,
  what: { readonly table: TableSchema; readonly own: boolean; readonly targets: Map<string, TableSchema> },
): Promise<Finding | undefined> {
  const { table, own, targets } = what;
  const { query, quiet } = connection;
  try {
    const name = targetName(config, table);
    const leftOut = leftOutColumns(config, table);
    const other = targets.get(JSON.stringify(name));
    if (other !== undefined) throw conflict(table, name, `is to hold ${tableName(other)} too`, 'Give one of them another name by rename.');
    targets.set(JSON.stringify(name), table);
    const found = await readTable(query, name);
    const owned = own ? await readOwned(query, name) : undefined;
    if (owned !== undefined) checkOwner(owned, { owner, table, name });
    if (found === undefined) {
      if (owned !== undefined) throw gone(table, name);
      return undefined;
    }
    if (!quiet && (found.triggers || found.foreignKeys)) throw noisy(table, name);
    const wanted = await wantedTable(query, table, leftOut);
    if (owned !== undefined) {
      const { steps, undone } = planOf(shapeChange(owned.source, recordOf(table, leftOut)), { table, name, wanted, found });
      if (undone.length > 0) throw incomplete(table, undone);
      const byHand = steps.filter((step) => step.byHand === true);
      if (byHand.length > 0) throw unfollowed(table, byHand.map((step) => step.what).join('; '), byHand);
      return undefined;
    }
    const problems = mismatches(wanted, found);
    if (problems.length > 0) throw conflict(table, name, `does not fit: ${problems.join('; ')}`);
    if (!(await isEmpty(query, name))) throw conflict(table, name, 'holds rows that Tailrace did not write');
    return undefined;
  } catch (error) {
    if (!(error instanceof TailraceError) || error.entry.action === 'retry') throw error;
    return { severity: 'error', check: error.code, message: error.message, remedy: error.remedy };
  }
}

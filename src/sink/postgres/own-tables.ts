import { formatLsn, lsn } from '../../event/lsn.ts';
import type { Position } from '../../event/position.ts';
import type { BlockedKey } from '../sink.ts';
import type { Query } from './catalog.ts';
import type { RecordedTable } from './shape-change.ts';
import type { QualifiedName } from './target.ts';
import type { Statement } from './wire.ts';

/** Which rows of Tailrace's own tables are this sink's. */
export interface SinkName {
  readonly pipeline: string;
  readonly sink: string;
}

/** Any number that nobody else is likely to lock: "tailrace" in ASCII. */
const lockNumber = '8386093285481202533';

// The position's row is rewritten with every transaction: room in its page lets the server do so in place.
const make = [
  'CREATE SCHEMA IF NOT EXISTS tailrace',
  `CREATE TABLE IF NOT EXISTS tailrace.position (
    pipeline text NOT NULL, sink text NOT NULL, log_id text, system_identifier text, start_id text, epoch bigint, commit_lsn pg_lsn,
    within_table text, within_ordinal bigint, "offset" bigint, updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline, sink)) WITH (fillfactor = 20)`,
  `CREATE TABLE IF NOT EXISTS tailrace.blocked (
    pipeline text NOT NULL, sink text NOT NULL, table_name text NOT NULL, whole boolean NOT NULL, key text NOT NULL, reason text NOT NULL,
    blocked_at timestamptz NOT NULL DEFAULT now())`,
  // A key's text can be longer than an index entry may be.
  'CREATE UNIQUE INDEX IF NOT EXISTS blocked_key ON tailrace.blocked (pipeline, sink, table_name, whole, md5(key))',
  `CREATE TABLE IF NOT EXISTS tailrace.tables (
    target_schema text NOT NULL, target_name text NOT NULL, pipeline text NOT NULL, sink text NOT NULL, source jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (target_schema, target_name))`,
];

export async function ownTablesExist(query: Query): Promise<boolean> {
  const rows = await query<{ there: boolean }>(
    "SELECT bool_and(to_regclass(name) IS NOT NULL) AS there FROM unnest('{tailrace.position,tailrace.blocked,tailrace.tables}'::text[]) AS u(name)",
  );
  return rows[0]?.there === true;
}

/** Makes what is missing. Two that start at once would collide in the catalog, IF NOT EXISTS or not: one waits for the other. */
export async function makeOwnTables(query: Query): Promise<void> {
  if (await ownTablesExist(query)) return;
  await query(`BEGIN; SELECT pg_advisory_xact_lock(${lockNumber}); ${make.join('; ')}; COMMIT`);
}

/** The row that `move` moves, without a position. Of two that come first, both find it. */
export async function makePosition(query: Query, { pipeline, sink }: SinkName): Promise<void> {
  // Looked for first: ON CONFLICT waits for whoever is changing the row, and here is nothing yet that would end him.
  await query(
    `INSERT INTO tailrace.position (pipeline, sink) SELECT $1, $2
     WHERE NOT EXISTS (SELECT FROM tailrace.position WHERE pipeline = $1 AND sink = $2) ON CONFLICT DO NOTHING`,
    [pipeline, sink],
  );
}

interface PositionRow {
  readonly log_id: string | null;
  readonly system_identifier: string;
  readonly start_id: string;
  readonly epoch: string;
  readonly commit_lsn: string;
  readonly within_table: string | null;
  readonly within_ordinal: string;
  readonly offset: string;
}

/**
 * The position, once whoever holds its row has ended: a commit that is still under way when its worker is gone must not be
 * overlooked. Fails with 55P03 when the holder does not end within `lock_timeout`.
 */
export async function lockedPosition(query: Query, name: SinkName): Promise<Position | null> {
  return positionOf(query, name, 'FOR UPDATE');
}

/** The position as the session's snapshot has it. */
export async function readPosition(query: Query, name: SinkName): Promise<Position | null> {
  return (await ownTablesExist(query)) ? positionOf(query, name, '') : null;
}

async function positionOf(query: Query, { pipeline, sink }: SinkName, lock: 'FOR UPDATE' | ''): Promise<Position | null> {
  const rows = await query<PositionRow>(`SELECT * FROM tailrace.position WHERE pipeline = $1 AND sink = $2 ${lock}`, [pipeline, sink]);
  const row = rows[0];
  if (row === undefined || row.log_id === null) return null;
  return {
    logId: row.log_id,
    systemIdentifier: row.system_identifier,
    startId: row.start_id,
    epoch: Number(row.epoch),
    commitLsn: lsn(row.commit_lsn),
    ...(row.within_table === null ? {} : { within: { table: row.within_table, ordinal: Number(row.within_ordinal) } }),
    offset: Number(row.offset),
  };
}

/** Ends the session that holds the position's row, if it is a worker of this sink and of our role; returns its process ids. */
export async function endHolder(query: Query, { pipeline, sink }: SinkName): Promise<number[]> {
  const rows = await query<{ pid: number }>(
    `SELECT a.pid, pg_terminate_backend(a.pid) FROM tailrace.position p
     JOIN pg_stat_activity a ON a.backend_xid = p.xmax
     WHERE p.pipeline = $1 AND p.sink = $2 AND a.usename = current_user AND a.application_name = current_setting('application_name')`,
    [pipeline, sink],
  );
  return rows.map((row) => row.pid);
}

const identity = 'log_id, system_identifier, start_id, epoch, commit_lsn, within_table, within_ordinal';
const types = ['text', 'text', 'text', 'bigint', 'pg_lsn', 'text', 'bigint'];
const numbered = (from: number): string => types.map((type, i) => `$${from + i}::${type}`).join(', ');

/**
 * Moves the position from one to another; the identity alone decides, hints do not. It divides by zero when the row is at
 * neither, so that everything that was sent behind it, the COMMIT too, is passed over without a word from us.
 */
export const move: Statement = {
  name: 'tailrace_move',
  text: `WITH moved AS (UPDATE tailrace.position SET (${identity}, "offset", updated_at) = (${numbered(3)}, $10::bigint, now())
    WHERE pipeline = $1 AND sink = $2 AND (${identity}) IS NOT DISTINCT FROM (${numbered(11)}) RETURNING 1) SELECT 1 / count(*) FROM moved`,
};

export function moveParameters({ pipeline, sink }: SinkName, from: Position | null, to: Position): (string | null)[] {
  return [pipeline, sink, ...identityOf(to), String(to.offset), ...identityOf(from)];
}

function identityOf(position: Position | null): (string | null)[] {
  if (position === null) return types.map(() => null);
  const { logId, systemIdentifier, startId, epoch, commitLsn, within } = position;
  const place = within === undefined ? [null, null] : [within.table, String(within.ordinal)];
  return [logId, systemIdentifier, startId, String(epoch), formatLsn(commitLsn), ...place];
}

export async function readBlocked(query: Query, { pipeline, sink }: SinkName): Promise<BlockedKey[]> {
  const rows = await query<{ table_name: string; whole: boolean; key: string; reason: string }>(
    'SELECT table_name, whole, key, reason FROM tailrace.blocked WHERE pipeline = $1 AND sink = $2 ORDER BY blocked_at',
    [pipeline, sink],
  );
  return rows.map((row) => ({ table: row.table_name, key: row.whole ? null : row.key, reason: row.reason }));
}

export async function writeBlocked(query: Query, { pipeline, sink }: SinkName, keys: readonly BlockedKey[]): Promise<void> {
  const list = keys.map(({ table, key, reason }) => ({ table_name: table, whole: key === null, key: key ?? '', reason }));
  await query(
    `INSERT INTO tailrace.blocked (pipeline, sink, table_name, whole, key, reason)
     SELECT $1, $2, k.* FROM json_to_recordset($3) AS k(table_name text, whole boolean, key text, reason text)
     ON CONFLICT (pipeline, sink, table_name, whole, md5(key)) DO UPDATE SET reason = EXCLUDED.reason`,
    [pipeline, sink, JSON.stringify(list)],
  );
}

export async function removeBlocked(query: Query, { pipeline, sink }: SinkName, table: string): Promise<void> {
  await query('DELETE FROM tailrace.blocked WHERE pipeline = $1 AND sink = $2 AND table_name = $3', [pipeline, sink, table]);
}

/** A replica table that a sink made or took over. */
export interface OwnedTable extends SinkName {
  readonly source: RecordedTable;
}

export async function readOwned(query: Query, target: QualifiedName): Promise<OwnedTable | undefined> {
  const rows = await query<OwnedTable>('SELECT pipeline, sink, source FROM tailrace.tables WHERE target_schema = $1 AND target_name = $2', [target.schema, target.name]);
  return rows[0];
}

/** The table that this sink has filled from the source table of this relid, under whatever name. */
export async function readMoved(query: Query, { pipeline, sink }: SinkName, relid: number): Promise<{ readonly target: QualifiedName; readonly source: RecordedTable } | undefined> {
  const rows = await query<{ target: QualifiedName; source: RecordedTable }>(
    `SELECT json_build_object('schema', target_schema, 'name', target_name) AS target, source FROM tailrace.tables
     WHERE pipeline = $1 AND sink = $2 AND source ->> 'relid' = $3 ORDER BY updated_at DESC LIMIT 1`,
    [pipeline, sink, String(relid)],
  );
  return rows[0];
}

export async function moveOwned(query: Query, from: QualifiedName, { to, source }: { readonly to: QualifiedName; readonly source: RecordedTable }): Promise<void> {
  await query('UPDATE tailrace.tables SET target_schema = $3, target_name = $4, source = $5, updated_at = now() WHERE target_schema = $1 AND target_name = $2', [
    from.schema, from.name, to.schema, to.name, JSON.stringify(source),
  ]);
}

/** Whether this sink has written tables: it cannot have done so without a position. */
export async function ownsTables(query: Query, { pipeline, sink }: SinkName): Promise<boolean> {
  const rows = await query('SELECT FROM tailrace.tables WHERE pipeline = $1 AND sink = $2 LIMIT 1', [pipeline, sink]);
  return rows.length > 0;
}

export async function writeOwned(query: Query, target: QualifiedName, { pipeline, sink, source }: OwnedTable): Promise<void> {
  await query(
    `INSERT INTO tailrace.tables (target_schema, target_name, pipeline, sink, source) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (target_schema, target_name) DO UPDATE SET source = EXCLUDED.source, updated_at = now()`,
    [target.schema, target.name, pipeline, sink, JSON.stringify(source)],
  );
}

/** Removes every row of this sink. */
export async function forget(query: Query, { pipeline, sink }: SinkName): Promise<void> {
  for (const table of ['position', 'blocked', 'tables']) {
    await query(`DELETE FROM tailrace.${table} WHERE pipeline = $1 AND sink = $2`, [pipeline, sink]);
  }
}

import { formatLsn, lsn, type Lsn } from '../../event/lsn.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Query } from '../../runtime/postgres/connection.ts';
import type { SourceHealth } from '../source.ts';

/** A row of `pg_replication_slots`; what a version does not have is null. */
export interface SlotState {
  readonly name: string;
  readonly plugin: string | null;
  readonly database: string | null;
  readonly activePid: number | null;
  readonly restartLsn: Lsn | null;
  readonly confirmedFlush: Lsn | null;
  /** reserved · extended · unreserved · lost */
  readonly walStatus: string | null;
  /** Bytes of WAL that may still be written before the slot is in danger; null without a limit. */
  readonly safeWalSize: number | null;
  /** Why the server gave the slot up (PostgreSQL 17 and later). */
  readonly invalidationReason: string | null;
  /** It sends prepared transactions before they are committed. */
  readonly twoPhase: boolean;
  /** Bytes of WAL that the server keeps for it. */
  readonly walHeld: number;
  /** Bytes of transactions that were written to the server's disk while they were decoded, since its statistics began. */
  readonly spilled: number;
}

interface SlotRow {
  readonly slot: Readonly<Record<string, unknown>>;
  readonly held: string | null;
  readonly spilled: string | null;
}

export async function readSlot(query: Query, name: string): Promise<SlotState | null> {
  // The whole row as JSON: its columns differ from version to version.
  const [row] = await query<SlotRow>(
    `SELECT pg_catalog.row_to_json(s) AS slot,
       pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE pg_catalog.pg_current_wal_lsn() END, s.restart_lsn)::pg_catalog.text AS held,
       (SELECT t.spill_bytes::pg_catalog.text FROM pg_catalog.pg_stat_replication_slots t WHERE t.slot_name = s.slot_name) AS spilled
     FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1`,
    [name],
  );
  if (row === undefined) return null;
  const { slot } = row;
  const text = (key: string): string | null => (typeof slot[key] === 'string' ? slot[key] : null);
  const number = (key: string): number | null => (typeof slot[key] === 'number' ? slot[key] : null);
  const position = (key: string): Lsn | null => (text(key) === null ? null : lsn(text(key) as string));
  return {
    name,
    plugin: text('plugin'),
    database: text('database'),
    activePid: number('active_pid'),
    restartLsn: position('restart_lsn'),
    confirmedFlush: position('confirmed_flush_lsn'),
    walStatus: text('wal_status'),
    safeWalSize: number('safe_wal_size'),
    // PostgreSQL 16 has but one reason, and a column that says only whether.
    invalidationReason: text('invalidation_reason') ?? (slot['conflicting'] === true ? 'conflict with recovery' : null),
    twoPhase: slot['two_phase'] === true,
    walHeld: row.held === null ? 0 : Number(row.held),
    spilled: row.spilled === null ? 0 : Number(row.spilled),
  };
}

/** Why the slot can no longer be read; null when it can. */
export function lossOf(slot: SlotState): string | null {
  if (slot.invalidationReason !== null) return `it was invalidated: ${slot.invalidationReason}`;
  if (slot.walStatus === 'lost') return 'its wal_status is lost: WAL that had not been read was removed';
  return null;
}

export function healthOf(slot: SlotState): SourceHealth {
  const { name, walHeld: walHeldBytes, safeWalSize, walStatus, activePid, restartLsn, confirmedFlush } = slot;
  return { slot: name, walHeldBytes, safeWalSize, walStatus: lossOf(slot) === null ? (walStatus ?? 'reserved') : 'lost', slotActive: activePid !== null, restartLsn, confirmedFlush };
}

export function slotLost(slot: SlotState, loss: string): TailraceError {
  const at = slot.confirmedFlush === null ? '' : `; it stood at ${formatLsn(slot.confirmedFlush)}`;
  return new TailraceError('slot-lost', `the replication slot ${slot.name} cannot be read any more: ${loss}${at}`);
}

/** Who holds a slot, as far as we may see: `pid 4711 (application psql, user app, from 10.0.0.7)`. */
export async function describeSession(query: Query, pid: number): Promise<string> {
  const [row] = await query<{ readonly application: string | null; readonly usename: string | null; readonly address: string | null }>(
    `SELECT a.application_name AS application, a.usename, pg_catalog.host(a.client_addr) AS address
     FROM pg_catalog.pg_stat_activity a WHERE a.pid = $1`,
    [pid],
  );
  const parts = [
    row?.application ? `application ${row.application}` : '',
    row?.usename ? `user ${row.usename}` : '',
    row?.address ? `from ${row.address}` : '',
  ].filter((part) => part !== '');
  return `pid ${pid}${parts.length > 0 ? ` (${parts.join(', ')})` : ''}`;
}

export async function slotInUse(query: Query, slot: string): Promise<TailraceError> {
  const state = await readSlot(query, slot);
  const holder = state?.activePid == null ? 'another connection' : await describeSession(query, state.activePid);
  return new TailraceError('slot-in-use', `the replication slot ${slot} is in use by ${holder}`);
}

export async function createSlot(query: Query, name: string): Promise<void> {
  // The server waits here until every transaction that runs now has ended: only then it knows a consistent point.
  await query("SELECT pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput')", [name]);
}

import type { Query } from '../../runtime/postgres/connection.ts';
import type { Visibility } from '../source.ts';

/** `pg_current_snapshot()` as text: `xmin:xmax:running,…` */
export function parseVisibility(text: string): Visibility {
  const [xmin, xmax, running] = text.split(':');
  if (xmin === undefined || xmax === undefined || running === undefined) throw new RangeError('not a snapshot');
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), running: running === '' ? [] : running.split(',').map(BigInt) };
}

/** What is visible to a statement now, or in the open REPEATABLE READ transaction. */
export async function readVisibility(query: Query): Promise<Visibility> {
  const [row] = await query<{ snapshot: string }>('SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot');
  return parseVisibility(row?.snapshot ?? '');
}/**
 * Every transaction with an id that runs now. A snapshot alone does not say: it ends behind the last id that *completed*, and
 * lists none of those that run beyond (seen: `756:756:` while 756 was running). So an id is drawn and completed first.
 */
export async function readRunning(query: Query): Promise<readonly bigint[]> {
  await query('SELECT pg_catalog.pg_current_xact_id()');
  return (await readVisibility(query)).running;
}

export function isRunning(xid: bigint, now: Visibility): boolean {
  return xid >= now.xmax || now.running.includes(xid);
}

/** Backends that have written their commit and are not yet through with it are as few as there are connections. */
const remembered = 1 << 14;

/**
 * The transactions that the stream has brought. A commit record reaches the WAL before its transaction becomes visible, so
 * that who asks the catalog about what was just streamed may be given the state before it (DESIGN, Facts measured).
 */
export class StreamedTransactions {
  /** The low 32 bits of their ids, the newest `remembered` of them. */
  readonly #xids = new Uint32Array(remembered);
  #count = 0;

  add(xid: number): void {
    this.#xids[this.#count++ % remembered] = xid;
  }

  /** Whether all are visible to who sees what `now` says; those that are need not be looked at again. */
  allVisible(now: Visibility): boolean {
    const known = Math.min(this.#count, remembered);
    for (let i = 0; i < known; i++) if (!isPast(this.#xids[i] as number, now)) return false;
    this.#count = 0;
    return true;
  }
}

function isPast(xid: number, now: Visibility): boolean {
  const low = (limit: bigint): number => Number(limit & 0xffff_ffffn);
  // Ids go round; which of two is the older one is told by the sign of their difference.
  if (((xid - low(now.xmin)) | 0) < 0) return true;
  return ((xid - low(now.xmax)) | 0) < 0 && !now.running.some((running) => low(running) === xid);
}

interface Holder {
  readonly xid: string;
  readonly pid: number | null;
  readonly database: string | null;
  readonly application: string | null;
  readonly usename: string | null;
  readonly gid: string | null;
}

/**
 * Who still runs one of these transactions, in words; null when nobody does. Those of other databases cannot have changed a
 * table of ours, and a long one there must not hold us up.
 */
export async function stillRunning(query: Query, xids: readonly bigint[]): Promise<string | null> {
  if (xids.length === 0) return null;
  const [row] = await query<{ snapshot: string; database: string }>(
    'SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot, pg_catalog.current_database()::pg_catalog.text AS database',
  );
  const now = parseVisibility(row?.snapshot ?? '');
  const running = xids.filter((xid) => isRunning(xid, now));
  if (running.length === 0) return null;
  const short = running.map((xid) => String(xid & 0xffff_ffffn));
  const holders = await query<Holder>(
    `SELECT l.transactionid::pg_catalog.text AS xid, l.pid, COALESCE(a.datname, p.database)::pg_catalog.text AS database,
       a.application_name AS application, a.usename::pg_catalog.text AS usename, p.gid
     FROM pg_catalog.pg_locks l
     LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = l.transactionid
     WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.transactionid::pg_catalog.text = ANY ($1)`,
    [short],
  );
  for (const xid of short) {
    const holder = holders.find((candidate) => candidate.xid === xid);
    if (holder?.database != null && holder.database !== row?.database) continue;
    return describe(xid, holder);
  }
  return null;
}

function describe(xid: string, holder: Holder | undefined): string {
  if (holder?.gid != null) return `the prepared transaction ${holder.gid}`;
  if (holder?.pid == null) return `transaction ${xid}`;
  const parts = [holder.application ? `application ${holder.application}` : '', holder.usename ? `user ${holder.usename}` : ''].filter((part) => part !== '');
  return `pid ${holder.pid}${parts.length > 0 ? ` (${parts.join(', ')})` : ''}`;
}

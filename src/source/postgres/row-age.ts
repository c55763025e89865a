import type { Query } from '../../runtime/postgres/connection.ts';
import { quoteQualified } from '../../runtime/postgres/quote.ts';

/** How many pages are looked at: a table that ALTER TABLE has written has no other rows anywhere. */
const pages = 1000;

async function nameOf(query: Query, oid: string): Promise<string | null> {
  const [row] = await query<{ schema: string; name: string }>(
    'SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1',
    [oid],
  );
  return row === undefined ? null : quoteQualified(row.schema, row.name);
}

/**
 * Whether a row stands in the table that was there when every transaction below `xmin` had ended. ALTER TABLE writes each row
 * under its own transaction's number, VACUUM FULL and CLUSTER keep the numbers: with one such row the table is no work of ALTER TABLE.
 */
export async function hasRowFromBefore(query: Query, oid: string, xmin: bigint): Promise<boolean> {
  const name = await nameOf(query, oid);
  if (name === null) return false;
  const [now] = await query<{ next: string }>('SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text AS next');
  // Beyond that the numbers in rows have gone round.
  if (BigInt(now?.next ?? 0) - xmin >= 1n << 31n) return false;
  const rows = await query(
    `SELECT FROM ONLY ${name} t WHERE t.ctid < '(${pages},0)'::pg_catalog.tid AND pg_catalog.age(t.xmin) > pg_catalog.age($1::pg_catalog.text::pg_catalog.xid) LIMIT 1`,
    [String(xmin & 0xffff_ffffn)],
  );
  return rows.length > 0;
}

/** Whether a partition has rows from before it was attached: later ones have come as events. */
export async function hasRowFromBeforeAttached(query: Query, oid: string): Promise<boolean> {
  const name = await nameOf(query, oid);
  if (name === null) return false;
  const rows = await query(
    `SELECT FROM ONLY ${name} t, pg_catalog.pg_inherits i WHERE i.inhrelid = $1 AND (pg_catalog.age(t.xmin) > pg_catalog.age(i.xmin)
       OR (t.xmin = i.xmin AND t.cmin::pg_catalog.text::pg_catalog.int8 < i.cmin::pg_catalog.text::pg_catalog.int8)) LIMIT 1`,
    [oid],
  );
  return rows.length > 0;
}

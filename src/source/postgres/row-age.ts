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

/** Whether there is a row in the table itself. */
export async function hasRow(query: Query, oid: string): Promise<boolean> {
  const name = await nameOf(query, oid);
  return name !== null && (await query(`SELECT FROM ONLY ${name} LIMIT 1`)).length > 0;
}

/**
 * Whether a partition was made as one, and each that stands between it and the table, so that every row of it came as the table's. ATTACH writes
 * the columns' own rows in the catalog anew, in the same command as the partition's place; CREATE TABLE … PARTITION OF has written some before it.
 * The ages of its rows say nothing: they may have been written while the transaction that attached it was under way.
 */
export async function wasMadeThere(query: Query, oid: string, table: number): Promise<boolean> {
  const [row] = await query<{ made: boolean | null }>(
    `WITH RECURSIVE up(oid, parent, xid, cid) AS (
       SELECT i.inhrelid, i.inhparent, i.xmin, i.cmin::pg_catalog.text::pg_catalog.int8 FROM pg_catalog.pg_inherits i WHERE i.inhrelid = $1
       UNION ALL SELECT i.inhrelid, i.inhparent, i.xmin, i.cmin::pg_catalog.text::pg_catalog.int8 FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.parent WHERE up.parent <> $2)
     SELECT pg_catalog.bool_and(EXISTS (
       SELECT FROM pg_catalog.pg_attribute s JOIN pg_catalog.pg_attribute a ON a.attrelid = s.attrelid WHERE s.attrelid = up.oid AND s.attnum = -1 AND s.xmin = up.xid
         AND a.attnum > 0 AND NOT a.attisdropped AND a.xmin = up.xid AND a.cmin::pg_catalog.text::pg_catalog.int8 < up.cid)) AS made FROM up`,
    [oid, table],
  );
  return row?.made === true;
}

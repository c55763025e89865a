import type { Query } from '../../runtime/postgres/connection.ts';
import type { CatalogTable } from './catalog.ts';

/** What is below a partitioned table, at any depth. Each is told by its oid and its place there: one that is detached and attached again has another place. */
export interface Partitions {
  /** Whose rows are the table's. */
  readonly attached: readonly string[];
  /** DETACH … CONCURRENTLY has taken them out, and is not done. */
  readonly leaving: readonly string[];
}

const none: Partitions = { attached: [], leaving: [] };

/** As it is to the statement, or the transaction, that asks. */
export async function readPartitions(query: Query, { relid, kind }: CatalogTable): Promise<Partitions> {
  if (kind !== 'p') return none;
  const rows = await query<{ partition: string; leaving: boolean }>(
    `WITH RECURSIVE below(oid, link, leaving) AS (
       SELECT i.inhrelid, i.inhparent || ':' || i.xmin, i.inhdetachpending FROM pg_catalog.pg_inherits i WHERE i.inhparent = $1
       UNION ALL SELECT i.inhrelid, i.inhparent || ':' || i.xmin, below.leaving OR i.inhdetachpending FROM below JOIN pg_catalog.pg_inherits i ON i.inhparent = below.oid)
     SELECT below.oid || ':' || below.link AS partition, below.leaving FROM below`,
    [relid],
  );
  const named = (leaving: boolean): string[] => rows.filter((row) => row.leaving === leaving).map(({ partition }) => partition);
  return { attached: named(false), leaving: named(true) };
}

/** Whether there is one that was not there before, or not in this place. */
export function haveJoined(before: Partitions, now: Partitions): boolean {
  const known = new Set([...before.attached, ...before.leaving]);
  return [...now.attached, ...now.leaving].some((partition) => !known.has(partition));
}

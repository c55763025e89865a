import type { TableShape } from '../../event/table.ts';
import type { Query } from '../../runtime/postgres/connection.ts';
import { quoteIdentifier, quoteQualified } from '../../runtime/postgres/quote.ts';
import type { ChunkRequest } from '../source.ts';
import type { CatalogTable } from './catalog.ts';
import { behind, keyTextList, orderBy, upTo, type KeyColumn } from './key-range.ts';

/** Tables up to this size are read from one end to the other; of larger ones so many pages are looked at to cut them. */
const smallTableBytes = 32 << 20;
const samplePages = 400;

/** Keys of some rows, in the key's order; none of a small table. */
export async function readSample(query: Query, state: CatalogTable, key: readonly KeyColumn[]): Promise<readonly (readonly string[])[]> {
  const [size] = await query<{ bytes: string; pages: string }>(
    `SELECT pg_catalog.sum(pg_catalog.pg_table_size(t.relid))::pg_catalog.text AS bytes, (pg_catalog.sum(pg_catalog.pg_relation_size(t.relid)) / 8192)::pg_catalog.text AS pages
     FROM (SELECT $1::pg_catalog.oid AS relid UNION SELECT p.relid FROM pg_catalog.pg_partition_tree($1) p WHERE p.isleaf) t`,
    [state.relid],
  );
  if (Number(size?.bytes ?? 0) < smallTableBytes) return [];
  const percent = Math.min(100, (100 * samplePages) / Math.max(1, Number(size?.pages)));
  const where = state.filter === null ? '' : ` WHERE (${state.filter})`;
  const rows = await query<{ key: readonly string[] }>(
    `SELECT ${keyTextList(key)} AS key FROM ${from(state)} TABLESAMPLE SYSTEM (${percent.toFixed(6)})${where} ${orderBy(key)}`,
  );
  return rows.map((row) => row.key);
}

/** A stretch of the key's order; null for all of it. */
export function within(key: readonly KeyColumn[], { after, until = null }: Pick<ChunkRequest, 'after' | 'until'>): string | null {
  const conditions = [...(after === null ? [] : [behind(key, after)]), ...(until === null ? [] : [upTo(key, until)])];
  return conditions.length === 0 ? null : conditions.join(' AND ');
}

/** Everything that decides what a row of the table is. */
export function fingerprint({ relid, schema, name, kind, persistence, replicaIdentity, files, columns, primaryKey, identityIndex, published, filter }: CatalogTable): string {
  return JSON.stringify([relid, schema, name, kind, persistence, replicaIdentity, files, columns, primaryKey, identityIndex, published, filter]);
}

/** The rows that the publication sends, with the columns that it sends. Children by inheritance are tables of their own. */
export function select(state: CatalogTable, shape: TableShape, range: string | null = null, condition: string | null = null): string {
  const columns = shape.columns.map((column) => quoteIdentifier(column.name)).join(', ');
  const conditions = [range, condition === null ? null : `(${condition}\n)`, state.filter === null ? null : `(${state.filter})`].filter((condition) => condition !== null);
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  return `SELECT ${columns} FROM ${from(state)}${where}`;
}

function from(state: CatalogTable): string {
  return `${state.kind === 'p' ? '' : 'ONLY '}${quoteQualified(state.schema, state.name)}`;
}

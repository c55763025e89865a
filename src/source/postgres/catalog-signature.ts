import type { Query } from '../../runtime/postgres/connection.ts';
import { firstUserOid } from './stream-catalog.ts';

interface Options {
  readonly version: number;
  readonly publication: string;
}

/** Rows of a catalog as one number: each has a number of its own, and another xmin once it was written anew. */
function digestOf(rows: string, number: string, xmin: string): string {
  const hash = `pg_catalog.hashint8extended(${number}, ${xmin}::pg_catalog.text::pg_catalog.int8)`;
  return `(SELECT pg_catalog.count(*) || ':' || COALESCE(pg_catalog.sum(${hash}), 0) FROM ${rows})`;
}

const both = (high: string, low: string): string => `(${high}::pg_catalog.int8 << 32) + ${low}::pg_catalog.int8`;

/** The tables, what they are partitions of, and their own partitions. */
const relations = `WITH RECURSIVE up(oid) AS (SELECT pg_catalog.unnest($1::pg_catalog.oid[]) UNION SELECT i.inhparent FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid),
  related(oid) AS (SELECT up.oid FROM up UNION SELECT i.inhrelid FROM related JOIN pg_catalog.pg_inherits i ON i.inhparent = related.oid)`;

/** Users' own types, but for those that come with each table and each temporary one. */
const types = `pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_class k ON k.oid = t.typrelid
  WHERE t.oid >= ${firstUserOid} AND t.typcategory <> 'A' AND (t.typtype <> 'c' OR k.relkind = 'c')`;

/**
 * One text that is another one whenever what `readDigests` gives of these tables may be: what that is made of, by the xmins of the
 * catalogs' rows alone. It costs the server a small part of that, and is asked in its place for as long as it stays the same.
 */
export async function readCatalogSignature(query: Query, relids: readonly number[], { version, publication }: Options): Promise<string> {
  const parts = [
    digestOf('related JOIN pg_catalog.pg_class c ON c.oid = related.oid', both('c.oid', 'c.relfilenode'), 'c.xmin'),
    digestOf('pg_catalog.pg_attribute a WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attnum > 0', both('a.attrelid', 'a.attnum'), 'a.xmin'),
    digestOf('pg_catalog.pg_index i WHERE i.indrelid = ANY ($1::pg_catalog.oid[])', 'i.indexrelid::pg_catalog.int8', 'i.xmin'),
    digestOf('related JOIN pg_catalog.pg_inherits i ON i.inhrelid = related.oid', both('i.inhrelid', 'i.inhparent'), 'i.xmin'),
    digestOf(`pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_'`, 'n.oid::pg_catalog.int8', 'n.xmin'),
    digestOf('pg_catalog.pg_publication p WHERE p.pubname = $2', 'p.oid::pg_catalog.int8', 'p.xmin'),
    digestOf('pg_catalog.pg_publication_rel r', 'r.oid::pg_catalog.int8', 'r.xmin'),
    ...(version < 150_000 ? [] : [digestOf('pg_catalog.pg_publication_namespace s', 's.oid::pg_catalog.int8', 's.xmin')]),
    digestOf(types, 't.oid::pg_catalog.int8', 't.xmin'),
    digestOf(`pg_catalog.pg_class k JOIN pg_catalog.pg_attribute m ON m.attrelid = k.oid WHERE k.relkind = 'c' AND m.attnum > 0`, both('m.attrelid', 'm.attnum'), 'm.xmin'),
    digestOf('pg_catalog.pg_enum e', 'e.oid::pg_catalog.int8', 'e.xmin'),
  ];
  const [row] = await query<{ signature: string }>(`${relations} SELECT pg_catalog.concat_ws(' ', ${parts.join(', ')}) AS signature`, [relids, publication]);
  return row?.signature ?? '';
}

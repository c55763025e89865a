import type { ReplicaIdentity } from '../../event/table.ts';
import type { Query } from '../../runtime/postgres/connection.ts';
import { typeDefinition } from '../../runtime/postgres/type-definition.ts';
import { baseType, indexKey } from './catalog.ts';
import { replicaIdentities, type Relation } from './relation.ts';

/** A column as the catalog has it; one that was dropped keeps its number, and nothing else of it is known. */
export interface Attribute {
  readonly attnum: number;
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
  readonly type: string;
  readonly baseTypeOid: number;
  readonly definition: string | null;
  readonly notNull: boolean;
  readonly dropped: boolean;
  /** Whether the stream has it: the publication's column list says so, or it is not generated. */
  readonly sent: boolean;
  /** The constant default that rows from before the column was added have. */
  readonly missing: string | null;
  /** Of the catalog's own row: as long as it is the same the column has not been changed. */
  readonly stamp: string;
}

/**
 * A table as the catalog has it now, as far as the stream and what may pass it by depend on it. Read without a lock: a long
 * ALTER TABLE of one table must not hold up the stream of all.
 */
export interface StreamTable {
  readonly relid: number;
  readonly schema: string;
  readonly name: string;
  readonly replicaIdentity: ReplicaIdentity;
  readonly attributes: readonly Attribute[];
  readonly primaryKey: readonly number[] | null;
  readonly identityIndex: readonly number[] | null;
  /** What puts it into the publication; empty when nothing does. Taken out and put back it is another one. */
  readonly entry: string;
  /** Its own place in the publication's list: as long as it stands there it cannot become unlogged. */
  readonly listed: boolean;
  /** By oid, the files that hold the rows: the table's own or its partitions'. */
  readonly files: Readonly<Record<string, string>>;
  /** By oid of each partition above and below, its place in the catalog of partitions: detached and attached again it is another one. */
  readonly links: Readonly<Record<string, string>>;
  /** The parts of users' own types that decide how a stored value reads: labels of enums, attributes of composites. */
  readonly types: Readonly<Record<string, string>>;
  /** Of everything above. */
  readonly digest: string;
}

interface Options {
  readonly version: number;
  readonly publication: string;
}

/** The table and what it is a partition of; and what is a partition of it. One that DETACH … CONCURRENTLY has taken out is sent as a table of its own. */
// OFFSET 0: only so is pg_inherits asked by its indexes, where for each table all of it would be read.
const roots = `(WITH RECURSIVE up(oid) AS (SELECT c.oid UNION ALL SELECT i.inhparent FROM up JOIN pg_catalog.pg_class k ON k.oid = up.oid AND k.relispartition
  CROSS JOIN LATERAL (SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = k.oid AND NOT i.inhdetachpending OFFSET 0) i) SELECT up.oid FROM up)`;
const down = `down(oid) AS (SELECT c.oid UNION ALL SELECT i.inhrelid FROM down JOIN pg_catalog.pg_class k ON k.oid = down.oid AND k.relkind = 'p'
  CROSS JOIN LATERAL (SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent = k.oid AND NOT i.inhdetachpending OFFSET 0) i)`;
const files = `(WITH RECURSIVE ${down}
  SELECT pg_catalog.json_object_agg(f.oid, f.relfilenode || f.relpersistence ORDER BY f.oid) FROM down JOIN pg_catalog.pg_class f ON f.oid = down.oid WHERE f.relkind <> 'p')`;

const links = `(WITH RECURSIVE ${down} SELECT pg_catalog.json_object_agg(i.inhrelid, i.inhparent || ':' || i.xmin ORDER BY i.inhrelid)
  FROM (SELECT down.oid FROM down UNION ${roots}) related CROSS JOIN LATERAL (SELECT i.inhrelid, i.inhparent, i.xmin FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class k ON k.oid = i.inhrelid AND k.relispartition WHERE i.inhrelid = related.oid OFFSET 0) i)`;

/** Oids below this are the server's own. */
export const firstUserOid = 16_384;
const types = `(WITH RECURSIVE used(oid) AS (
    SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= ${firstUserOid}
    UNION SELECT n.oid FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid CROSS JOIN LATERAL (
      SELECT t.typbasetype UNION ALL SELECT t.typelem UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
      UNION ALL SELECT m.atttypid FROM pg_catalog.pg_attribute m WHERE m.attrelid = t.typrelid AND m.attnum > 0 AND NOT m.attisdropped) n(oid)
    WHERE n.oid >= ${firstUserOid})
  SELECT pg_catalog.json_object_agg(p.part, p.value ORDER BY p.part) FROM (
    SELECT 'e' || e.oid AS part, e.enumlabel::pg_catalog.text AS value FROM used JOIN pg_catalog.pg_enum e ON e.enumtypid = used.oid
    UNION ALL SELECT 'c' || m.attrelid || '.' || m.attnum, m.atttypid || ':' || m.atttypmod FROM used JOIN pg_catalog.pg_type t ON t.oid = used.oid
      JOIN pg_catalog.pg_attribute m ON m.attrelid = t.typrelid AND m.attnum > 0 AND NOT m.attisdropped) p)`;

function tableQuery(version: number, what: string): string {
  const lists = version < 150_000 ? 'NULL::pg_catalog.int2[]' : '(SELECT r.prattrs::pg_catalog.int2[] FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid)';
  // Stored generated columns are sent where the publication says so (PostgreSQL 18).
  const generated = version < 180_000 ? `a.attgenerated = ''` : `(a.attgenerated = '' OR (a.attgenerated = 's' AND p.pubgencols = 's'))`;
  const bySchema = version < 150_000 ? '' : `, (SELECT 's' || s.oid FROM pg_catalog.pg_publication_namespace s WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)`;
  const entry = `pg_catalog.concat_ws(',', p.oid::pg_catalog.text, p.xmin::pg_catalog.text, CASE WHEN p.puballtables THEN 'all' END,
    (SELECT pg_catalog.string_agg('t' || r.oid, ',' ORDER BY r.oid) FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid IN ${roots})${bySchema})`;
  const attributes = `(SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object('attnum', a.attnum, 'name', a.attname, 'typeOid', a.atttypid::pg_catalog.int8,
      'typmod', a.atttypmod, 'type', CASE WHEN a.attisdropped THEN '' ELSE pg_catalog.format_type(a.atttypid, a.atttypmod) END,
      'baseTypeOid', COALESCE(CASE WHEN a.atttypid >= ${firstUserOid} THEN ${baseType('a.atttypid')} END, a.atttypid::pg_catalog.int8),
      'definition', ${typeDefinition('a.atttypid')}, 'notNull', a.attnotnull, 'dropped', a.attisdropped, 'stamp', a.xmin::pg_catalog.text,
      'sent', NOT a.attisdropped AND CASE WHEN l.attnums IS NULL THEN ${generated} ELSE a.attnum = ANY (l.attnums) END,
      'missing', CASE WHEN a.atthasmissing THEN pg_catalog.array_to_string(a.attmissingval, '') END) ORDER BY a.attnum), '[]')
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)`;
  const document = `pg_catalog.json_build_object('relid', c.oid::pg_catalog.int8, 'schema', n.nspname, 'name', c.relname, 'replicaIdentity', c.relreplident,
    'attributes', ${attributes}, 'primaryKey', ${indexKey('i.indisprimary')}, 'identityIndex', ${indexKey('i.indisreplident')},
    'entry', ${entry}, 'listed', EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid),
    'files', COALESCE(${files}, '{}'), 'links', COALESCE(${links}, '{}'), 'types', COALESCE(${types}, '{}'))::pg_catalog.text`;
  // OFFSET 0: so that the document is made once, for itself and for its digest.
  return `SELECT d.relid, ${what}, pg_catalog.md5(d.document) AS digest FROM (
      SELECT c.oid::pg_catalog.int8 AS relid, ${document} AS document
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_catalog.pg_publication p ON p.pubname = $2 LEFT JOIN LATERAL (SELECT ${lists} AS attnums) l ON true
      WHERE c.oid = ANY ($1::pg_catalog.oid[]) OFFSET 0) d`;
}

/** The tables with these oids, as far as they still exist. */
export async function readStreamTables(query: Query, relids: readonly number[], { version, publication }: Options): Promise<readonly StreamTable[]> {
  const rows = await query<{ document: string; digest: string }>(tableQuery(version, 'd.document'), [relids, publication]);
  return rows.map(({ document, digest }) => {
    const table = JSON.parse(document) as Omit<StreamTable, 'digest'>;
    return { ...table, replicaIdentity: replicaIdentities[table.replicaIdentity] ?? 'nothing', digest };
  });
}

/** What tells a table from what it was, without the table itself: asked again and again. */
export async function readDigests(query: Query, relids: readonly number[], { version, publication }: Options): Promise<ReadonlyMap<number, string>> {
  const rows = await query<{ relid: string; digest: string }>(tableQuery(version, 'NULL'), [relids, publication]);
  return new Map(rows.map((row) => [Number(row.relid), row.digest]));
}

/** The text and the base type of each type that a Relation names, however old it is. */
export async function readTypes(query: Query, relation: Relation): Promise<readonly ColumnType[]> {
  const rows = await query<{ type: string; base: string | null; definition: string | null }>(
    `SELECT pg_catalog.format_type(w.oid, w.typmod) AS type, ${baseType('w.oid')} AS base, ${typeDefinition('w.oid')} AS definition
     FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.int4[])) WITH ORDINALITY AS w(oid, typmod, place) ORDER BY w.place`,
    [relation.columns.map((column) => column.typeOid), relation.columns.map((column) => column.typmod)],
  );
  return relation.columns.map(({ typeOid }, i) => {
    const { type = '???', base = null, definition = null } = rows[i] ?? {};
    return { type, baseTypeOid: base === null ? typeOid : Number(base), ...(definition === null ? {} : { definition }) };
  });
}

export interface ColumnType {
  readonly type: string;
  readonly baseTypeOid: number;
  readonly definition?: string;
}

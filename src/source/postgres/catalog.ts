import type { Column, ReplicaIdentity, TableShape } from '../../event/table.ts';
import type { Query } from '../../runtime/postgres/connection.ts';
import { typeDefinition } from '../../runtime/postgres/type-definition.ts';
import { replicaIdentities } from './relation.ts';

/** What the catalog says of a table, as far as it concerns us. */
export interface CatalogTable {
  readonly relid: number;
  readonly schema: string;
  readonly name: string;
  /** `pg_class.relkind`: r table · p partitioned · v view · m materialized view · f foreign. */
  readonly kind: string;
  /** `pg_class.relpersistence`: p permanent · u unlogged · t temporary. */
  readonly persistence: string;
  readonly replicaIdentity: ReplicaIdentity;
  /** The files that hold the rows: they change when the table is rewritten, and with its partitions. */
  readonly files: string;
  /** Row-level security would apply to us: a copy would fail, because our sessions refuse to read a part. */
  readonly rowSecurity: boolean;
  /** Whether our role may SELECT from it; so it says of one that was dropped while it was asked. */
  readonly selectable: boolean;
  /** Whether our role may put it into a publication. */
  readonly owned: boolean;
  readonly columns: readonly CatalogColumn[];
  /** attnums in index order; null without one. Only what can serve as identity: valid and not deferrable. */
  readonly primaryKey: readonly number[] | null;
  readonly identityIndex: readonly number[] | null;
  /** Leaf partitions: their own identity is what counts for an UPDATE of theirs. */
  readonly leaves: readonly CatalogLeaf[];
  /** The partitioned tables that this one is a partition of, at any depth. */
  readonly ancestors: readonly number[];
  /** attnums of the columns that are sent: by the publication that was asked for, else by one as we make it. */
  readonly published: readonly number[];
  /** The publication's row filter, as SQL. */
  readonly filter: string | null;
}

export interface CatalogLeaf {
  readonly name: string;
  /** As `CatalogTable.kind`. */
  readonly kind: string;
  readonly replicaIdentity: string;
  readonly hasPrimaryKey: boolean;
  readonly persistence: string;
}

export interface CatalogColumn extends Column {
  readonly attnum: number;
  /** Stored ones are sent where the publication says so, since PostgreSQL 18; virtual ones never. */
  readonly generated: 'stored' | 'virtual' | null;
}

/** The columns of an index that make its key, in order; INCLUDE columns are not among them. */
export function indexKey(condition: string): string {
  return `(SELECT pg_catalog.to_json((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1]) FROM pg_catalog.pg_index i
    WHERE i.indrelid = c.oid AND ${condition} AND i.indisvalid AND i.indimmediate AND i.indisunique AND i.indpred IS NULL LIMIT 1)`;
}

/** The oid under a domain, at any depth. */
export function baseType(oid: string): string {
  return `(WITH RECURSIVE under(oid, base) AS (
      SELECT t.oid, t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid = ${oid}
      UNION ALL SELECT t.oid, t.typbasetype FROM under u JOIN pg_catalog.pg_type t ON t.oid = u.base WHERE u.base <> 0)
    SELECT under.oid::pg_catalog.int8 FROM under WHERE under.base = 0)`;
}

/** All columns of `c`, as `CatalogColumn`. */
export const columnsJson = `(SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
    'name', a.attname, 'attnum', a.attnum, 'typeOid', a.atttypid::pg_catalog.int8, 'typmod', a.atttypmod,
    'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'baseTypeOid', ${baseType('a.atttypid')},
    'definition', ${typeDefinition('a.atttypid')}, 'notNull', a.attnotnull,
    'generated', CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END) ORDER BY a.attnum), '[]')
  FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)`;

const leavesJson = `(SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object('name', ln.nspname || '.' || l.relname,
    'kind', l.relkind, 'replicaIdentity', l.relreplident, 'persistence', l.relpersistence,
    'hasPrimaryKey', EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = l.oid AND i.indisprimary AND i.indisvalid AND i.indimmediate))), '[]')
  FROM pg_catalog.pg_partition_tree(c.oid) p JOIN pg_catalog.pg_class l ON l.oid = p.relid
  JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace WHERE p.isleaf AND c.relkind = 'p')`;

const ancestorsJson = `(SELECT COALESCE(pg_catalog.json_agg(a.relid::pg_catalog.oid::pg_catalog.int8), '[]')
  FROM pg_catalog.pg_partition_ancestors(c.oid) a WHERE c.relispartition AND a.relid <> c.oid)`;

const files = `CASE c.relkind WHEN 'p' THEN (SELECT pg_catalog.string_agg(l.oid || ':' || l.relfilenode, ',' ORDER BY l.oid)
    FROM pg_catalog.pg_partition_tree(c.oid) p JOIN pg_catalog.pg_class l ON l.oid = p.relid) ELSE c.relfilenode::pg_catalog.text END`;

/** One JSON document a table: one round trip for any number of tables. `condition` is about `c` (pg_class) and `n` (pg_namespace). */
function tableQuery(condition: string, publication: string): string {
  return `WITH published AS (${publication})
  SELECT pg_catalog.json_build_object(
    'relid', c.oid::pg_catalog.int8, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'persistence', c.relpersistence,
    'replicaIdentity', c.relreplident, 'files', ${files}, 'rowSecurity', pg_catalog.row_security_active(c.oid),
    'selectable', COALESCE(pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'), true),
    'owned', pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE'),
    'columns', ${columnsJson}, 'leaves', ${leavesJson}, 'ancestors', ${ancestorsJson},
    'primaryKey', ${indexKey('i.indisprimary')}, 'identityIndex', ${indexKey('i.indisreplident')},
    'published', published.attnums, 'filter', published.filter) AS "table"
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN published ON published.relid = c.oid
  WHERE ${condition} ORDER BY n.nspname, c.relname`;
}

const noPublication = 'SELECT NULL::pg_catalog.oid AS relid, NULL::pg_catalog.json AS attnums, NULL::pg_catalog.text AS filter';

/** Column lists and row filters are new in PostgreSQL 15. The parameter is the publication's name. */
function publicationQuery(version: number, parameter: string): string {
  if (version < 150_000) return noPublication;
  return `SELECT g.relid, pg_catalog.to_json(g.attrs::pg_catalog.int2[]) AS attnums, pg_catalog.pg_get_expr(g.qual, g.relid) AS filter
    FROM pg_catalog.pg_get_publication_tables(${parameter}) g`;
}

export interface CatalogOptions {
  readonly version: number;
  /** Whose column lists and filters to read; it must exist. */
  readonly publication?: string;
}

/** Which schemas are the users', as SQL about `n` (pg_namespace). A superuser may make tables among the server's own. */
export const ofUsers = `n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'`;

/** The same of a name. */
export function isOfUsers(schema: string): boolean {
  return schema !== 'information_schema' && !schema.startsWith('pg_');
}

/** Every table-like thing of the users' schemas. */
export async function readAllTables(query: Query, options: CatalogOptions): Promise<readonly CatalogTable[]> {
  const condition = `c.relkind IN ('r', 'p', 'v', 'm', 'f') AND ${ofUsers}`;
  return readTables(query, options, condition);
}

/** The tables with these oids, as far as they still exist. */
export async function readTablesByOid(query: Query, relids: readonly number[], options: CatalogOptions): Promise<readonly CatalogTable[]> {
  return readTables(query, options, 'c.oid = ANY ($1::pg_catalog.oid[])', relids);
}

async function readTables(
  query: Query,
  { version, publication }: CatalogOptions,
  condition: string,
  relids?: readonly number[],
): Promise<readonly CatalogTable[]> {
  const params: unknown[] = relids === undefined ? [] : [relids];
  if (publication !== undefined && version >= 150_000) params.push(publication);
  const source = publication === undefined ? noPublication : publicationQuery(version, `$${params.length}`);
  const rows = await query<{ table: CatalogTable & { readonly replicaIdentity: string; readonly published: readonly number[] | null } }>(tableQuery(condition, source), params);
  const isSent = ({ generated }: CatalogColumn): boolean => generated === null || (generated === 'stored' && version >= 180_000);
  return rows.map(({ table }) => ({
    ...table,
    replicaIdentity: replicaIdentities[table.replicaIdentity] ?? 'nothing',
    published: table.published ?? table.columns.filter(isSent).map((column) => column.attnum),
  }));
}

/** The shape that the stream will show for a table as the catalog has it now. */
export function shapeOfTable(table: CatalogTable): TableShape {
  const columns = table.columns
    .filter((column) => table.published.includes(column.attnum))
    .map(({ generated: _generated, definition, ...column }): Column => (definition == null ? column : { ...column, definition }));
  const key = keyOf(columns, table.replicaIdentity === 'index' ? table.identityIndex : table.primaryKey);
  return { relid: table.relid, schema: table.schema, name: table.name, columns, key, replicaIdentity: table.replicaIdentity };
}

/** Indexes into `columns` of these attnums, in their order; none when one of them is not among the columns. */
export function keyOf(columns: readonly Column[], attnums: readonly number[] | null): readonly number[] {
  const key = (attnums ?? []).map((attnum) => columns.findIndex((column) => column.attnum === attnum));
  return key.includes(-1) ? [] : key;
}

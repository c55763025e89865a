import type { Column } from '../../event/table.ts';
import { quoteQualified } from '../../runtime/postgres/quote.ts';
import { typeDefinition } from '../../runtime/postgres/type-definition.ts';
import type { QualifiedName } from './target.ts';

/** Runs one query and gives its rows; errors are already ours. */
export type Query = <Row>(text: string, params?: readonly unknown[]) => Promise<Row[]>;

/** A column of a table at the replica. */
export interface ReplicaColumn {
  readonly name: string;
  /** The replica's own number of it, which a rename keeps and a column made again does not. */
  readonly attnum: number;
  /** As `format_type()` writes it, and without its modifier: `numeric(10,2)` and `numeric`. */
  readonly type: string;
  readonly bare: string;
  readonly notNull: boolean;
  /** A value comes by itself when none is given. */
  readonly filled: boolean;
  /** A value may not be given: a generated column, or an identity GENERATED ALWAYS. */
  readonly fixed: boolean;
}

/** A unique index over plain columns, which ON CONFLICT can name. */
export interface UniqueIndex {
  readonly name: string;
  readonly columns: readonly string[];
  /** The equality of each column's operator class: `OPERATOR(pg_catalog.=)`. */
  readonly equals: readonly string[];
  /** Of the constraint that it stands for; null for an index alone. */
  readonly constraint: string | null;
}

/** A table at the replica as its catalog has it. */
export interface ReplicaTable {
  /** `pg_class.relkind`: `r` for an ordinary table. */
  readonly kind: string;
  readonly columns: readonly ReplicaColumn[];
  readonly uniques: readonly UniqueIndex[];
  readonly triggers: boolean;
  readonly foreignKeys: boolean;
  readonly referenced: boolean;
}

/** The replica's type for a source column. */
export interface ReplicaType {
  readonly type: string;
  readonly bare: string;
}

// The operators come from the index itself: with a search path of pg_catalog alone, citext's own "=" is not found by name, and
// the comparison would fall back to text's, which no index of a citext column serves.
const tableQuery = `
SELECT c.relkind AS kind,
  coalesce((SELECT json_agg(json_build_object('name', a.attname, 'attnum', a.attnum, 'type', format_type(a.atttypid, a.atttypmod), 'bare', format_type(a.atttypid, -1),
      'notNull', a.attnotnull, 'filled', a.atthasdef OR a.attidentity <> '', 'fixed', a.attgenerated <> '' OR a.attidentity = 'a') ORDER BY a.attnum)
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]') AS columns,
  coalesce((SELECT json_agg(json_build_object('name', (SELECT x.relname FROM pg_class x WHERE x.oid = i.indexrelid), 'columns', k.columns, 'equals', k.equals,
      'constraint', (SELECT x.conname FROM pg_constraint x WHERE x.conindid = i.indexrelid AND x.contype IN ('p', 'u'))) ORDER BY i.indisprimary DESC)
    FROM pg_index i CROSS JOIN LATERAL (
      SELECT json_agg(a.attname ORDER BY n) AS columns, json_agg(format('OPERATOR(%I.%s)', s.nspname, o.oprname) ORDER BY n) AS equals
      FROM generate_series(0, i.indnkeyatts - 1) n
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n]
      JOIN pg_opclass p ON p.oid = i.indclass[n]
      JOIN pg_amop m ON m.amopfamily = p.opcfamily AND m.amoplefttype = p.opcintype AND m.amoprighttype = p.opcintype AND m.amopstrategy = 3
      JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace s ON s.oid = o.oprnamespace) k
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL), '[]') AS uniques,
  EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'D')) AS triggers,
  EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.conrelid = c.oid) AS "foreignKeys",
  EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.confrelid = c.oid) AS referenced
FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
WHERE s.nspname = $1 AND c.relname = $2`;

/** The relation of that name, of whatever kind; undefined when there is none. */
export async function readTable(query: Query, name: QualifiedName): Promise<ReplicaTable | undefined> {
  const rows = await query<ReplicaTable>(tableQuery, [name.schema, name.name]);
  return rows[0];
}

export async function isEmpty(query: Query, name: QualifiedName): Promise<boolean> {
  const rows = await query<{ empty: boolean }>(`SELECT NOT EXISTS (SELECT FROM ${quoteQualified(name.schema, name.name)}) AS empty`);
  return rows[0]?.empty === true;
}

/**
 * Types whose text names another object of the source's catalog, or can't be read back at all: an arriving value would fail,
 * or mean something else. Their text is exact.
 */
const kept = [
  'regproc', 'regprocedure', 'regoper', 'regoperator', 'regclass', 'regtype', 'regrole', 'regnamespace', 'regconfig', 'regdictionary', 'regcollation',
  'aclitem', 'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary',
];

// A type that the replica does not know, or knows as something else, is carried as text, exactly; of a domain over a type that
// every server has, that type (docs/adr/0030). `???` is what format_type says of a type that is gone, and no name that can be read.
const typesQuery = `
SELECT r.type, format_type(to_regtype(r.type), -1) AS bare
FROM unnest($1::text[], $2::oid[], $4::text[]) WITH ORDINALITY AS u(type, base, definition, n)
LEFT JOIN pg_type t ON t.oid = to_regtype(nullif(u.type, '???')) AND (u.definition IS NULL OR u.definition = ${typeDefinition('t.oid')})
LEFT JOIN pg_type b ON b.oid = u.base AND b.oid < 16384 AND b.typtype IN ('b', 'r', 'm')
LEFT JOIN pg_type e ON e.oid = coalesce(nullif(coalesce(t.typelem, b.typelem), 0), t.oid, b.oid)
CROSS JOIN LATERAL (SELECT CASE
  WHEN e.oid IS NULL OR e.typname = ANY ($3) THEN 'text'
  WHEN t.oid IS NOT NULL THEN u.type
  ELSE format_type(b.oid, -1) END AS type) r
ORDER BY u.n`;

export function readTypes(query: Query, columns: readonly Column[]): Promise<ReplicaType[]> {
  return query<ReplicaType>(typesQuery, [columns.map((column) => column.type), columns.map((column) => column.baseTypeOid), kept, columns.map((column) => column.definition ?? null)]);
}

import type { Column, TableShape } from '../../event/table.ts';
import type { Query } from '../../runtime/postgres/connection.ts';
import { typeDefinition } from '../../runtime/postgres/type-definition.ts';
import { baseType, columnsJson, indexKey, keyOf, type CatalogColumn } from './catalog.ts';
import type { Relation } from './relation.ts';

/** What a Relation is completed by. Read without a lock: a long ALTER TABLE of one table must not hold up the stream of all. */
export interface StreamTable {
  readonly columns: readonly CatalogColumn[];
  readonly primaryKey: readonly number[] | null;
  readonly identityIndex: readonly number[] | null;
  /** attnums of the publication's column list; null without one. */
  readonly listed: readonly number[] | null;
}

export async function readStreamTable(
  query: Query,
  relid: number,
  { version, publication }: { readonly version: number; readonly publication: string },
): Promise<StreamTable | undefined> {
  const listed = version < 150_000 ? 'NULL' : `(SELECT pg_catalog.to_json(r.prattrs::pg_catalog.int2[]) FROM pg_catalog.pg_publication_rel r
    JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $2 AND r.prrelid = c.oid)`;
  const rows = await query<{ table: StreamTable }>(
    `SELECT pg_catalog.json_build_object('columns', ${columnsJson}, 'primaryKey', ${indexKey('i.indisprimary')},
       'identityIndex', ${indexKey('i.indisreplident')}, 'listed', ${listed}) AS "table"
     FROM pg_catalog.pg_class c WHERE c.oid = $1`,
    version < 150_000 ? [relid] : [relid, publication],
  );
  return rows[0]?.table;
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

/**
 * Whether the Relation is of the table as the catalog has it now. Both list columns by attnum, so that names and types in the
 * same order are the same columns; a Relation of an earlier state could else lend a column the number of another one.
 */
export function isCurrent(relation: Relation, table: StreamTable): boolean {
  const sent = (columns: readonly CatalogColumn[]): boolean => sameColumns(relation, columns);
  if (table.listed !== null) return sent(table.columns.filter((column) => table.listed?.includes(column.attnum)));
  // Stored generated columns are sent where the publication says so (PostgreSQL 18).
  return sent(table.columns.filter(({ generated }) => generated === null)) || sent(table.columns.filter(({ generated }) => generated !== 'virtual'));
}

/** Whether a shape has the Relation's name, columns and identity: nothing that the stream could tell is different. */
export function describesSame(relation: Relation, shape: TableShape): boolean {
  const { schema, name, replicaIdentity } = shape;
  if (schema !== relation.schema || name !== relation.name || replicaIdentity !== relation.replicaIdentity) return false;
  if (!sameColumns(relation, shape.columns)) return false;
  if (replicaIdentity === 'full' || replicaIdentity === 'nothing') return true;
  const flagged = flaggedColumns(relation);
  return shape.key.length === flagged.length && shape.key.every((index) => flagged.includes(index));
}

function sameColumns(relation: Relation, columns: readonly Column[]): boolean {
  return (
    relation.columns.length === columns.length &&
    relation.columns.every(({ name, typeOid, typmod }, i) => {
      const column = columns[i];
      return column?.name === name && column.typeOid === typeOid && column.typmod === typmod;
    })
  );
}

/** The Relation is the truth about names, types and order; `table` gives the rest as far as it can confirm it. */
export function shapeOfRelation(relation: Relation, table: StreamTable | undefined, types: readonly ColumnType[]): TableShape {
  const known = relation.columns.map(({ name, typeOid, typmod }) =>
    table?.columns.find((column) => column.name === name && column.typeOid === typeOid && column.typmod === typmod),
  );
  // Out of order: a name has gone to another column since. Then nothing is confirmed.
  const attnums = known.flatMap((column) => column?.attnum ?? []);
  const confirmed = attnums.every((attnum, i) => i === 0 || attnum > (attnums[i - 1] as number));
  const columns = relation.columns.map(({ name, typeOid, typmod }, i): Column => {
    const column = confirmed ? known[i] : undefined;
    const type = types[i] ?? { type: '???', baseTypeOid: typeOid };
    return { name, attnum: column?.attnum ?? null, typeOid, typmod, ...type, notNull: column?.notNull ?? false, filled: column?.filled ?? false };
  });
  const { relid, schema, name, replicaIdentity } = relation;
  return { relid, schema, name, columns, key: keyOfRelation(relation, columns, table), replicaIdentity };
}

function flaggedColumns(relation: Relation): readonly number[] {
  return relation.columns.flatMap((column, i) => (column.identity ? [i] : []));
}

/**
 * Which columns identify a row. Where the identity is an index, the stream's old keys have its columns and no others, so it
 * is the key even beside a primary key. The Relation flags the identity's columns; only their order is the catalog's.
 */
function keyOfRelation(relation: Relation, columns: readonly Column[], table: StreamTable | undefined): readonly number[] {
  const { replicaIdentity } = relation;
  const known = keyOf(columns, (replicaIdentity === 'index' ? table?.identityIndex : table?.primaryKey) ?? null);
  if (replicaIdentity === 'full' || replicaIdentity === 'nothing') return known;
  const flagged = flaggedColumns(relation);
  return known.length === flagged.length && known.every((index) => flagged.includes(index)) ? known : flagged;
}

import type { Column, TableShape } from '../../event/table.ts';
import { keyOf } from './catalog.ts';
import { placeColumns, type KnownColumns } from './place-columns.ts';
import type { Relation } from './relation.ts';
import type { Attribute, ColumnType, StreamTable } from './stream-catalog.ts';

/** The shape that the stream will show for a table as the catalog has it now. */
export function shapeOf(table: StreamTable): TableShape {
  const columns = table.attributes.filter((attribute) => attribute.sent).map(columnOf);
  const { relid, schema, name, replicaIdentity } = table;
  return { relid, schema, name, columns, key: keyOf(columns, replicaIdentity === 'index' ? table.identityIndex : table.primaryKey), replicaIdentity };
}

function columnOf({ name, attnum, typeOid, typmod, type, baseTypeOid, definition, notNull, missing }: Attribute): Column {
  return {
    name, attnum, typeOid, typmod, type, baseTypeOid, notNull,
    ...(definition === null ? {} : { definition }), ...(missing === null ? {} : { missing }),
  };
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

function sameColumns(relation: Relation, columns: readonly Pick<Column, 'name' | 'typeOid' | 'typmod'>[]): boolean {
  return (
    relation.columns.length === columns.length &&
    relation.columns.every(({ name, typeOid, typmod }, i) => {
      const column = columns[i];
      return column?.name === name && column.typeOid === typeOid && column.typmod === typmod;
    })
  );
}

/** A column as it was at the last look, for telling which of the catalog's a Relation speaks of. */
export interface Before {
  readonly shape: TableShape;
  readonly stamps: KnownColumns['stamps'];
}

/**
 * The Relation is the truth about names, types and order; the catalog gives the rest as far as it can be told which of its columns
 * are meant. A column whose number is not certain has none.
 */
export function shapeOfRelation(
  relation: Relation,
  of: { readonly before: Before | undefined; readonly table: StreamTable | undefined; readonly types: readonly ColumnType[] },
): TableShape {
  const { before, table, types } = of;
  const attributes = table === undefined ? null : placed(relation, before, table);
  const columns = relation.columns.map(({ name, typeOid, typmod }, i): Column => {
    const attribute = attributes?.[i];
    const type = types[i] ?? { type: '???', baseTypeOid: typeOid };
    const missing = attribute == null || attribute.missing === null ? {} : { missing: attribute.missing };
    return { name, attnum: attribute?.attnum ?? null, typeOid, typmod, ...type, notNull: attribute?.notNull ?? false, ...missing };
  });
  const { relid, schema, name, replicaIdentity } = relation;
  return { relid, schema, name, columns, key: keyOfRelation(relation, columns, { before, table }), replicaIdentity };
}

function placed(relation: Relation, before: Before | undefined, table: StreamTable): readonly Attribute[] | null {
  if (before === undefined || before.shape.columns.some((column) => column.attnum === null)) {
    // Nothing is known from before. Both list columns by number: where all agree, they are those that stand now.
    const now = table.attributes.filter((attribute) => attribute.sent);
    return sameColumns(relation, now) ? now : null;
  }
  const attnums = new Set(before.shape.columns.map((column) => column.attnum as number));
  const places = placeColumns(relation, { attnums, stamps: before.stamps }, table.attributes);
  return places && places.map((attnum) => table.attributes.find((attribute) => attribute.attnum === attnum) as Attribute);
}

function flaggedColumns(relation: Relation): readonly number[] {
  return relation.columns.flatMap((column, i) => (column.identity ? [i] : []));
}

/**
 * Which columns identify a row. Where the identity is an index, the stream's old keys have its columns and no others, so it
 * is the key even beside a primary key. The Relation flags the identity's columns; only their order is the catalog's. With identity
 * full it flags all of them: then the key is the one from before, until a look says at which place it became another.
 */
function keyOfRelation(
  relation: Relation,
  columns: readonly Column[],
  { before, table }: { readonly before: Before | undefined; readonly table: StreamTable | undefined },
): readonly number[] {
  const { replicaIdentity } = relation;
  const known = keyOf(columns, (replicaIdentity === 'index' ? table?.identityIndex : table?.primaryKey) ?? null);
  if (replicaIdentity === 'full' || replicaIdentity === 'nothing') {
    const kept = before && keyOf(columns, before.shape.key.map((index) => before.shape.columns[index]?.attnum ?? 0));
    return kept !== undefined && kept.length === before?.shape.key.length ? kept : known;
  }
  const flagged = flaggedColumns(relation);
  return known.length === flagged.length && known.every((index) => flagged.includes(index)) ? known : flagged;
}

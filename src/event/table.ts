/** Which columns of the old row Postgres sends with an update or a delete (ALTER TABLE … REPLICA IDENTITY). */
export type ReplicaIdentity = 'default' | 'nothing' | 'full' | 'index';

export interface Column {
  readonly name: string;
  /** `pg_attribute.attnum`; `null` when the catalog no longer had the column that the stream spoke of. */
  readonly attnum: number | null;
  readonly typeOid: number;
  /** The type modifier, -1 for none: `numeric(10,2)` and `numeric` share an oid and differ here. */
  readonly typmod: number;
  /** As `format_type()` writes it: `numeric(10,2)`, `timestamp with time zone`, `shop.mood`. */
  readonly type: string;
  /** The oid under a domain, at any depth; the column's own oid otherwise. */
  readonly baseTypeOid: number;
  /** What a type is made of that is not one of the server's own: `shop.mood enum`. Missing for the server's own types. */
  readonly definition?: string | undefined;
  readonly notNull: boolean;
  /**
   * The text that rows from before the column was added have in it: a constant default, which Postgres keeps in its catalog and
   * writes into no row. Without it they have NULL. It concerns who adds the column, and is no part of the shape.
   */
  readonly missing?: string;
}

/** What one table looks like at one point of the stream. Tuples of its rows have exactly `columns`, in this order. */
export interface TableShape {
  readonly relid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly Column[];
  /**
   * Indexes into `columns` that identify a row: the primary key; where the replica identity is another index, that one's
   * columns, because old keys have no others. Empty: no key, so that equal rows are told apart by nothing and the old row
   * comes whole (replica identity full) or never (inserts only).
   */
  readonly key: readonly number[];
  readonly replicaIdentity: ReplicaIdentity;
}

/** A schema version: unique over the life of a log, ordered by epoch first (PROTOCOL, Identity). */
export interface SchemaVersion {
  readonly epoch: number;
  readonly number: number;
}

/** A schema of a format's own under the id that records name it by, as a registry has it. */
export interface RegisteredSchema {
  /** Which registry gave the id: its URL, or Tailrace's own. */
  readonly registry: string;
  readonly subject: string;
  readonly id: number;
  /** As it was registered: what a reader of the record needs. */
  readonly schema: string;
}

/** A shape that stands in the log's `schema` topic under a version. */
export interface TableSchema extends TableShape {
  readonly version: SchemaVersion;
  /** Of a format that has schemas of its own. */
  readonly registered?: readonly RegisteredSchema[] | undefined;
}

/** Logical messages are of no table: what stands for one where records of theirs are written. */
export const noTable: TableSchema = { relid: 0, schema: '', name: '', columns: [], key: [], replicaIdentity: 'nothing', version: { epoch: 0, number: 0 } };

/** `schema.table`, for messages: not quoted, not for SQL. */
export function tableName(table: { readonly schema: string; readonly name: string }): string {
  return `${table.schema}.${table.name}`;
}

/** Whether two shapes are the same to every reader; a Relation that only repeats the last one is none (PROTOCOL, Snapshots). */
export function sameShape(a: TableShape, b: TableShape): boolean {
  return (
    a.relid === b.relid &&
    a.schema === b.schema &&
    a.name === b.name &&
    a.replicaIdentity === b.replicaIdentity &&
    a.key.length === b.key.length &&
    a.key.every((index, i) => index === b.key[i]) &&
    a.columns.length === b.columns.length &&
    a.columns.every((column, i) => sameColumn(column, b.columns[i] as Column))
  );
}

function sameColumn(a: Column, b: Column): boolean {
  return (
    a.name === b.name &&
    a.attnum === b.attnum &&
    a.typeOid === b.typeOid &&
    a.typmod === b.typmod &&
    a.type === b.type &&
    a.definition === b.definition &&
    a.notNull === b.notNull
  );
}

/**
 * What a source keeps of a table beside its shape, to tell later whether rows can have changed without an event: JSON that only
 * the source itself reads.
 */
export type TableState = Readonly<Record<string, unknown>>;

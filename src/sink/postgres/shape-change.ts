import type { SchemaVersion, TableSchema } from '../../event/table.ts';
import type { ReplicaTable } from './catalog.ts';

/** A source column as it was when the replica's table was last brought into line. */
export interface RecordedColumn {
  readonly name: string;
  readonly attnum: number | null;
  readonly type: string;
  /** What a type of the user's is made of; missing for the server's own types. */
  readonly definition?: string;
  readonly leftOut: boolean;
  /** The replica's own number of the column that holds it: what of a swap of names, or of a column made again, somebody has done already. */
  readonly at?: number;
}

/** What `tailrace.tables` keeps of a replica table's source. */
export interface RecordedTable {
  readonly relid: number;
  readonly schema: string;
  readonly name: string;
  readonly version: SchemaVersion;
  readonly columns: readonly RecordedColumn[];
  /** Names of the key's columns, in the key's order. */
  readonly key: readonly string[];
}

/** `found`: the replica's table as it is now. */
export function recordOf(table: TableSchema, leftOut: Uint8Array | null, found?: ReplicaTable): RecordedTable {
  const { relid, schema, name, version, columns, key } = table;
  return {
    relid,
    schema,
    name,
    version: { epoch: version.epoch, number: version.number },
    columns: columns.map((column, i) => {
      const at = leftOut?.[i] === 1 ? undefined : found?.columns.find(({ name: own }) => own === column.name)?.attnum;
      const definition = column.definition === undefined ? {} : { definition: column.definition };
      return { name: column.name, attnum: column.attnum, type: column.type, ...definition, leftOut: leftOut?.[i] === 1, ...(at === undefined ? {} : { at }) };
    }),
    key: key.map((index) => columns[index]?.name as string),
  };
}

/** How a column of the source became another since; `before` and `after` are the same attribute of the same table. */
export interface ColumnChange {
  readonly what: 'renamed' | 'retyped' | 'left out' | 'no longer left out';
  readonly before: RecordedColumn;
  readonly after: RecordedColumn;
}

export interface ShapeChange {
  /** Names of columns that the replica lacks, and of those that it has too many. */
  readonly added: readonly string[];
  readonly dropped: readonly string[];
  /** By name, the replica's own numbers of the dropped ones, as far as they are recorded. */
  readonly droppedAt: Readonly<Record<string, number>>;
  readonly changed: readonly ColumnChange[];
  readonly keyChanged: boolean;
  /** Names of the key's columns before. */
  readonly keyBefore: readonly string[];
  /** The name has gone to another table: the rows that stand are not its own. */
  readonly otherTable: boolean;
}

/**
 * What became of a source table between two versions. Columns are told apart by attnum: a column dropped and added again
 * under its name is another one, whose old values are gone. Where the name has gone to another table, columns count by names: its
 * attnums have nothing to do with those before, and its rows come anew.
 */
export function shapeChange(before: RecordedTable, after: RecordedTable): ShapeChange {
  const sameTable = before.relid === after.relid;
  const isSame = (a: RecordedColumn, b: RecordedColumn): boolean =>
    sameTable && a.attnum !== null && b.attnum !== null ? a.attnum === b.attnum : a.name === b.name;
  const added: string[] = [];
  const changed: ColumnChange[] = [];
  for (const column of after.columns) {
    const old = before.columns.find((other) => isSame(other, column));
    if (old === undefined) {
      if (!column.leftOut) added.push(column.name);
    } else {
      changed.push(...columnChanges(old, column));
    }
  }
  const dropped = before.columns.filter((old) => !old.leftOut && !after.columns.some((column) => isSame(old, column)));
  const keyOf = (table: RecordedTable): string => {
    const parts = table.key.map((name) => table.columns.find((column) => column.name === name));
    return parts.map((column) => String(sameTable ? (column?.attnum ?? column?.name) : column?.name)).toSorted().join();
  };
  const droppedAt = Object.fromEntries(dropped.flatMap(({ name, at }) => (at === undefined ? [] : [[name, at]])));
  return { added, dropped: dropped.map((column) => column.name), droppedAt, changed, keyChanged: keyOf(before) !== keyOf(after), keyBefore: before.key, otherTable: !sameTable };
}

function columnChanges(before: RecordedColumn, after: RecordedColumn): ColumnChange[] {
  if (before.leftOut !== after.leftOut) return [{ what: after.leftOut ? 'left out' : 'no longer left out', before, after }];
  if (after.leftOut) return [];
  const changes: ColumnChange[] = [];
  if (before.name !== after.name) changes.push({ what: 'renamed', before, after });
  const redefined = before.definition !== undefined && before.definition !== after.definition;
  if (before.type !== after.type || redefined) changes.push({ what: 'retyped', before, after });
  return changes;
}

/** Whether version a is older than b. */
export function isOlder(a: SchemaVersion, b: SchemaVersion): boolean {
  return a.epoch !== b.epoch ? a.epoch < b.epoch : a.number < b.number;
}

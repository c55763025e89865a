import { type Column, type TableShape, tableName } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { type Form, formOf, storageOf } from './representation.ts';
import { quote } from './quote.ts';

/** The parts of the config that say where a table goes. */
export interface Placement {
  /** Target names by `schema.table`. */
  readonly rename: Readonly<Record<string, string>>;
  /** Columns left out, by `schema.table`. */
  readonly leaveOut: Readonly<Record<string, readonly string[]>>;
}

/** A column of the replica: what it is called there, and which of the source's it holds. */
export interface ReplicaColumn {
  readonly source: Column;
  readonly name: string;
  readonly form: Form;
}

/** One table as it stands, or shall stand, in the file. `index[i]` is the place of tuple column i among `columns`, -1 if left out. */
export interface ReplicaTable {
  readonly name: string;
  readonly columns: readonly ReplicaColumn[];
  /** Indexes into `columns`, in the order of the source's key; empty without a key. */
  readonly key: readonly number[];
  readonly index: readonly number[];
}

/**
 * What the table is called in the file: its own name in schema `public`, `schema.table` elsewhere. No two tables of Postgres
 * get one name: a bare name has no dot, every other has the schema before its first dot, whose own dots are written `%2E`.
 * (SQLite itself does not tell `Users` from `users`: such a pair stops the sink, and `rename` helps.)
 */
export function replicaName(table: Pick<TableShape, 'schema' | 'name'>, placement: Placement): string {
  const renamed = placement.rename[tableName(table)];
  if (renamed !== undefined) return renamed;
  if (table.schema === 'public' && !table.name.includes('.')) return table.name;
  return `${table.schema.replaceAll('%', '%25').replaceAll('.', '%2E')}.${table.name}`;
}

/** A table of Postgres need not have a column, and has rows all the same; one of SQLite must have one. It is always NULL. */
export const placeholder: ReplicaColumn = {
  name: '_tailrace_no_columns', form: 'text', source: { name: '_tailrace_no_columns', attnum: null, typeOid: 25, typmod: -1, type: 'text', baseTypeOid: 25, notNull: false },
};

/** `known` gives the names that columns already have at the replica, by place in `table.columns`. */
export function placeTable(table: TableShape, placement: Placement, known: readonly (string | undefined)[] = []): ReplicaTable {
  const leftOut = new Set(placement.leaveOut[tableName(table)] ?? []);
  const keyLeftOut = table.key.map((i) => table.columns[i] as Column).find((column) => leftOut.has(column.name));
  if (keyLeftOut !== undefined)
    throw new TailraceError('config-invalid', `column ${keyLeftOut.name} of ${tableName(table)} belongs to its key and cannot be left out`, { remedy: 'Rows could not be told apart without it: remove it from exclude.' });
  const taken = new Set(known.filter((name) => name !== undefined).map(fold));
  const columns: ReplicaColumn[] = [];
  const index = table.columns.map((source, i) => {
    if (leftOut.has(source.name)) return -1;
    const name = known[i] ?? freeName(source, taken);
    taken.add(fold(name));
    return columns.push({ source, name, form: formOf(source) }) - 1;
  });
  if (columns.length === 0) {
    if (table.columns.length > 0) throw new TailraceError('config-invalid', `${tableName(table)} cannot go to SQLite: every column is left out`, { remedy: 'Leave the table out of this sink (tables: exclude).' });
    columns.push(placeholder);
  }
  return { name: replicaName(table, placement), columns, key: table.key.map((i) => index[i] as number), index };
}

/** SQLite takes `Name` and `name` for one column; the second of such a pair is called `name%<attnum>`. */
function freeName(column: Column, taken: ReadonlySet<string>): string {
  let name = column.name;
  while (taken.has(fold(name))) name += `%${column.attnum ?? ''}`;
  return name;
}

/** As SQLite compares names: ASCII letters only. */
export function fold(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Whether the file's own rowid serves as the key: a single integer. */
function isRowidKey(table: ReplicaTable): boolean {
  return table.key.length === 1 && table.columns[table.key[0] as number]?.form === 'integer';
}

/** `own`: declarations of more columns, not of the source. */
export function createTableSql(table: ReplicaTable, own: readonly string[] = []): string {
  const rowid = isRowidKey(table);
  const lines = table.columns.map((column, i) => {
    const primary = rowid && table.key[0] === i ? ' PRIMARY KEY' : '';
    return `${quote(column.name)} ${storageOf(column.form)}${primary}`;
  });
  lines.push(...own);
  const keyed = table.key.length > 0 && !rowid;
  if (keyed) lines.push(`PRIMARY KEY (${table.key.map((i) => quote((table.columns[i] as ReplicaColumn).name)).join(', ')})`);
  return `CREATE TABLE ${quote(table.name)} (\n  ${lines.join(',\n  ')}\n) STRICT${keyed ? ', WITHOUT ROWID' : ''}`;
}

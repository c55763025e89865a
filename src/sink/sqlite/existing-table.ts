import type { DatabaseSync } from 'node:sqlite';
import { fold, type ReplicaTable } from './replica-table.ts';
import { quote } from './quote.ts';
import { type StorageType, storageOf } from './representation.ts';

/** A table, view or virtual table that stands in the file, as SQLite's catalog tells. */
export interface ExistingTable {
  readonly name: string;
  readonly type: string;
  readonly strict: boolean;
  readonly withoutRowid: boolean;
  readonly columns: readonly ExistingColumn[];
}

export interface ExistingColumn {
  readonly name: string;
  readonly type: string;
  readonly notNull: boolean;
  readonly hasDefault: boolean;
  /** Place in the primary key from 1 on; 0 for none. */
  readonly key: number;
  readonly generated: boolean;
}

export function readExisting(db: DatabaseSync, name: string): ExistingTable | undefined {
  const table = db
    .prepare('SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = \'main\' AND name = ? COLLATE NOCASE')
    .get(name) as Record<string, string | number> | undefined;
  if (table === undefined) return undefined;
  const rows = db.prepare(`SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)`).all(String(table['name'])) as Record<string, string | number | null>[];
  const columns = rows.map((row) => ({
    name: String(row['name']), type: String(row['type']), notNull: row['notnull'] === 1, hasDefault: row['dflt_value'] !== null,
    key: Number(row['pk']), generated: row['hidden'] !== 0,
  }));
  return { name: String(table['name']), type: String(table['type']), strict: table['strict'] === 1, withoutRowid: table['wr'] === 1, columns };
}

export function isEmpty(db: DatabaseSync, name: string): boolean {
  return db.prepare(`SELECT 1 FROM ${quote(name)} LIMIT 1`).get() === undefined;
}

/** Everything in which a table made by someone else cannot take the rows, in words; none when it fits. */
export function misfits(existing: ExistingTable, wanted: ReplicaTable): string[] {
  if (existing.type !== 'table') return [`it is a ${existing.type}`];
  const problems: string[] = [];
  const rest = new Map(existing.columns.map((column) => [fold(column.name), column]));
  for (const { name, form } of wanted.columns) {
    const found = rest.get(fold(name));
    rest.delete(fold(name));
    const storage = storageOf(form);
    if (found === undefined) problems.push(`column ${name} (${storage}) is missing`);
    else if (found.generated) problems.push(`column ${name} is generated`);
    else if (!holds(existing, found.type, storage)) problems.push(`column ${name} is ${found.type || 'of no type'} and has to be ${storage}`);
  }
  for (const column of rest.values())
    if (column.notNull && !column.hasDefault && !column.generated) problems.push(`column ${column.name} is NOT NULL and has no default`);
  const key = existing.columns.filter((column) => column.key > 0).map((column) => fold(column.name));
  const wantedKey = wanted.key.map((i) => fold(wanted.columns[i]?.name ?? ''));
  if (key.toSorted().join('\0') !== wantedKey.toSorted().join('\0'))
    problems.push(`its primary key is ${listed(key)} and the key at the source is ${listed(wantedKey)}`);
  return problems;
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'none' : `(${names.join(', ')})`;
}

/** Whether a column of this declared type keeps such values as they are (sqlite.org/datatype3.html, 3.1; stricttables.html). */
function holds(table: ExistingTable, declared: string, storage: StorageType): boolean {
  const type = declared.toUpperCase();
  const integer = table.strict ? type === 'INT' || type === 'INTEGER' : type.includes('INT');
  // Numbers are bound as doubles: only integer affinity stores them as the integers that they are.
  if (storage === 'INTEGER' || integer) return storage === 'INTEGER' && integer;
  if (table.strict) return type === 'ANY' || type === storage;
  const text = type.includes('CHAR') || type.includes('CLOB') || type.includes('TEXT');
  // Affinity BLOB converts nothing; NUMERIC, that of every unknown type, would turn '-0' and '1.10' into other values.
  return text ? storage === 'TEXT' : type === '' || type.includes('BLOB');
}

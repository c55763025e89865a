import type { ReplicaTable, ReplicaType, UniqueIndex } from './catalog.ts';

/** A column that a replica table must have. */
export interface WantedColumn {
  readonly index: number;
  readonly name: string;
  readonly type: ReplicaType;
  /** The source may hold NULL in it. */
  readonly nullable: boolean;
}

export interface WantedTable {
  readonly columns: readonly WantedColumn[];
  /** Names of the key's columns, in the key's order. */
  readonly key: readonly string[];
}

/** What keeps a table that is there from taking the rows, every reason; none when it fits. */
export function mismatches(wanted: WantedTable, table: ReplicaTable): string[] {
  if (table.kind !== 'r') return [`it is ${kinds[table.kind] ?? 'no ordinary table'}`];
  const problems: string[] = [];
  for (const column of wanted.columns) {
    const found = table.columns.find((one) => one.name === column.name);
    if (found === undefined) problems.push(`column ${column.name} is missing`);
    else if (!isTypeFit(column.type, found)) problems.push(`column ${column.name} is of type ${found.type}, not ${column.type.type}`);
    else if (found.fixed) problems.push(`column ${column.name} is generated, so that no value can be given`);
    else if (found.notNull && column.nullable && !wanted.key.includes(column.name)) problems.push(`column ${column.name} is NOT NULL, but may be NULL at the source`);
  }
  for (const column of table.columns) {
    const known = wanted.columns.some((one) => one.name === column.name);
    if (!known && column.notNull && !column.filled) problems.push(`column ${column.name}, which the source does not have, is NOT NULL and has no default`);
  }
  if (wanted.key.length > 0 && keyIndex(wanted.key, table) === undefined) {
    problems.push(`it has no primary key or unique index on the key (${wanted.key.join(', ')})`);
  }
  if (wanted.key.length === 0 && table.uniques.length > 0) {
    problems.push(`the source's table has no key, but it has the unique index ${table.uniques[0]?.name}`);
  }
  return problems;
}

/** The index by which rows are found: on exactly the key's columns, in whatever order. */
export function keyIndex(key: readonly string[], table: ReplicaTable): UniqueIndex | undefined {
  return table.uniques.find((index) => index.columns.length === key.length && index.columns.every((column) => key.includes(column)));
}

/** The same type, or it without a modifier, or text, which holds every value exactly. */
function isTypeFit(wanted: ReplicaType, found: { readonly type: string; readonly bare: string }): boolean {
  return found.type === wanted.type || found.type === 'text' || (found.type === found.bare && found.bare === wanted.bare);
}

const kinds: Partial<Record<string, string>> = { v: 'a view', m: 'a materialized view', p: 'a partitioned table', f: 'a foreign table', S: 'a sequence', i: 'an index', c: 'a type' };

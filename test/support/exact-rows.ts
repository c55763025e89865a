import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { quoteQualified } from '../../src/runtime/postgres/quote.ts';
import { placeholder } from '../../src/sink/sqlite/replica-table.ts';
import { toPostgresText } from '../../src/sink/sqlite/representation.ts';
import type { TestDatabase } from './postgres.ts';

/** A table's rows, each as one text of its columns' texts, sorted: equal texts are equal tables, twins included. */
export interface ExactRows {
  readonly columns: readonly string[];
  readonly rows: readonly string[];
}

export interface Place {
  readonly schema: string;
  readonly name: string;
}

/** A column's name and its type under any domain, as `format_type` writes it without a modifier. */
export interface TypedColumn {
  readonly name: string;
  readonly type: string;
}

/** The columns of a table in order of their names; empty when there is no such table. */
export async function columnsOf(database: TestDatabase, { schema, name }: Place): Promise<readonly TypedColumn[]> {
  return database.sql<{ name: string; type: string }>(
    `WITH RECURSIVE base(attnum, name, oid) AS (
       SELECT a.attnum, a.attname, a.atttypid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
       UNION ALL SELECT b.attnum, b.name, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typbasetype <> 0)
     SELECT b.name, format_type(b.oid, NULL) AS type FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typbasetype = 0 ORDER BY b.name COLLATE "C"`,
    [schema, name],
  );
}

/**
 * What the type's output function says of the columns named, which is what Postgres sends (`char(5)::text` lacks the blanks that belong
 * to the value). `where` is SQL; children by inheritance are tables of their own.
 */
export async function rowsOfPostgres(database: TestDatabase, place: Place, columns: readonly string[], where = ''): Promise<ExactRows> {
  const table = quoteQualified(place.schema, place.name);
  const [kind] = await database.sql<{ kind: string }>('SELECT relkind AS kind FROM pg_class WHERE oid = to_regclass($1)', [table]);
  const names = columns.map((column) => `"${column.replaceAll('"', '""')}"`);
  const texts = names.map((column) => `CASE WHEN num_nulls(${column}) = 0 THEN concat(${column}) END`).join(', ');
  const rows = await database.sql<{ row: string }>(`SELECT to_json(ARRAY[${texts}]::text[])::text AS row FROM ${kind?.kind === 'p' ? '' : 'ONLY '}${table} ${where}`);
  return { columns, rows: rows.map(({ row }) => JSON.stringify(JSON.parse(row))).toSorted() };
}

/** The same of a SQLite replica, whose forms are turned back by the rules of docs/sinks.md; null when there is no such table. */
export function rowsOfSqlite(path: string, place: Place, source: readonly TypedColumn[]): ExactRows | null {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const table = place.schema === 'public' ? place.name : `${place.schema}.${place.name}`;
    const names = (database.prepare('SELECT name FROM pragma_table_info(?)').all(table) as { name: string }[]).map(({ name }) => name).toSorted();
    if (names.length === 0) return null;
    const columns = names.filter((name) => name !== placeholder.name);
    const types = columns.map((column) => source.find(({ name }) => name === column)?.type ?? 'text');
    const query = database.prepare(`SELECT ${columns.map((column) => `"${column.replaceAll('"', '""')}"`).join(', ') || 'NULL'} FROM "${table.replaceAll('"', '""')}"`);
    query.setReadBigInts(true);
    const rows = query.all();
    return { columns, rows: rows.map((row) => JSON.stringify(columns.map((column, i) => textOf(row[column], types[i] as string)))).toSorted() };
  } finally {
    database.close();
  }
}

/** Names of the tables that a SQLite replica has of a schema other than `public`. */
export function tablesOfSqlite(path: string, schema: string): readonly string[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const names = (database.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`).all() as { name: string }[]).map(({ name }) => name);
    return names.filter((name) => name.startsWith(`${schema}.`)).map((name) => name.slice(schema.length + 1));
  } finally {
    database.close();
  }
}

function textOf(value: SQLOutputValue | undefined, type: string): string | null {
  if (value === null || value === undefined) return null;
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`;
  if (type === 'boolean') return value === 1n ? 't' : 'f';
  return typeof value === 'number' ? toPostgresText(type === 'real' ? 'float4' : 'float8', value) : String(value);
}

import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { TailraceError } from '../../runtime/errors.ts';
import { failpoint } from '../../runtime/failpoint.ts';
import type { ExistingTable } from './existing-table.ts';
import { quote } from './quote.ts';
import { createTableSql, fold, type ReplicaTable } from './replica-table.ts';
import { type Form, toPostgresText, toSqlite } from './representation.ts';
import { type Rebuild, refill } from './shape-change.ts';

const temporary = '_tailrace_rebuilt';
const strictTypes = new Set(['INT', 'INTEGER', 'REAL', 'TEXT', 'BLOB', 'ANY']);

/**
 * Makes a table again out of its own rows, for what ALTER TABLE of SQLite does not do (sqlite.org/lang_altertable.html, 7), inside
 * the open transaction. The operator's own columns, indexes and triggers stay. Rows that do not fit the new key go where the table is
 * being copied (`copied`). Throws `sink-shape` where any of that cannot be.
 */
export function rebuild(db: DatabaseSync, existing: ExistingTable, what: { readonly table: ReplicaTable; readonly plan: Rebuild; readonly copied: boolean }): void {
  const { table, plan, copied } = what;
  const names = new Set([...table.columns.map(({ name }) => name), ...plan.drop].map(fold));
  const own = existing.columns.filter((column) => !names.has(fold(column.name)));
  const odd = own.find((column) => column.generated || !strictTypes.has(column.type.toUpperCase()));
  if (odd !== undefined) throw cannot(existing, `its own column ${odd.name} cannot be taken along`, `Drop the column ${existing.name}.${odd.name} at the replica.`);
  const extras = db
    .prepare(`SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? COLLATE NOCASE AND type IN ('index', 'trigger') AND sql IS NOT NULL`)
    .all(existing.name) as { name: string; sql: string }[];

  db.exec(createTableSql({ ...table, name: temporary }, own.map((column) => declaration(db, existing.name, column.name))));
  copyRows(db, existing, { table, plan, copied, own: own.map(({ name }) => name) });
  db.exec(`DROP TABLE ${quote(existing.name)}`);
  failpoint('ddl.rebuild.sqlite');
  // What else names the table shall find the new one under that name, and not be asked now.
  db.exec(`PRAGMA legacy_alter_table = ON; ALTER TABLE ${quote(temporary)} RENAME TO ${quote(table.name)}; PRAGMA legacy_alter_table = OFF`);
  for (const { name, sql } of extras) {
    try {
      db.exec(sql);
    } catch (error) {
      throw cannot(existing, `${name} does not fit any more`, `Drop ${name} at the replica.`, error);
    }
  }
}

function copyRows(db: DatabaseSync, existing: ExistingTable, { table, plan, copied, own }: { readonly table: ReplicaTable; readonly plan: Rebuild; readonly copied: boolean; readonly own: readonly string[] }): void {
  const at = quote(existing.name);
  const values = table.columns.map(({ name, form, source }, i) => {
    const call = `_tailrace_value_${i}`;
    if (plan.add.includes(name)) {
      const { missing } = source;
      db.function(call, () => (missing === undefined ? null : toSqlite(form, Buffer.from(missing), 0, Buffer.byteLength(missing))));
      return `${call}()`;
    }
    const before = plan.forms.get(name);
    if (before === undefined) return quote(name);
    db.function(call, { useBigIntArguments: true }, (value) => converted(value, before, form));
    return `${call}(${quote(name)})`;
  });
  const columns = [...table.columns.map(({ name }) => name), ...own].map(quote).join(', ');
  // A key of one integer would take NULL for the next number.
  const noKey = table.key.some((i) => db.prepare(`SELECT 1 FROM ${at} WHERE ${values[i]} IS NULL LIMIT 1`).get() !== undefined);
  try {
    if (!noKey) return db.exec(`INSERT INTO ${quote(temporary)} (${columns}) SELECT ${[...values, ...own.map(quote)].join(', ')} FROM ${at}`);
  } catch (error) {
    if (!copied) throw cannot(existing, 'its rows do not fit its new key', refill, error);
    db.exec(`DELETE FROM ${quote(temporary)}`);
  }
  if (!copied) throw cannot(existing, 'a value of its key is none of the column\'s type now, or missing', refill);
}

/** NULL for what the new type does not have: the table's copy brings the value. */
function converted(value: SQLInputValue, before: Form, after: Form): SQLInputValue {
  const text = toPostgresText(before, value as Exclude<SQLInputValue, NodeJS.ArrayBufferView> | Uint8Array);
  if (text === null) return null;
  const bytes = Buffer.from(text);
  try {
    const result = toSqlite(after, bytes, 0, bytes.length);
    return typeof result === 'bigint' && BigInt.asIntN(64, result) !== result ? null : result;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function declaration(db: DatabaseSync, table: string, column: string): string {
  const row = db.prepare('SELECT type, "notnull" AS filled, dflt_value AS fallback FROM pragma_table_info(?) WHERE name = ?').get(table, column) as { type: string; filled: number; fallback: string | null };
  return `${quote(column)} ${row.type}${row.filled === 1 ? ' NOT NULL' : ''}${row.fallback === null ? '' : ` DEFAULT (${row.fallback})`}`;
}

function cannot(existing: ExistingTable, why: string, remedy: string, cause?: unknown): TailraceError {
  return new TailraceError('sink-shape', `the table ${existing.name} has to be made again for its new shape, and ${why}`, { remedy, ...(cause === undefined ? {} : { cause }) });
}

import { tableName, type TableSchema } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { quoteIdentifier as quote, quoteQualified } from '../../runtime/postgres/quote.ts';
import type { ReplicaTable } from './catalog.ts';
import { keyIndex, type WantedTable } from './fit.ts';
import type { ColumnChange, ShapeChange } from './shape-change.ts';
import type { QualifiedName } from './target.ts';

export function conflict(table: TableSchema, name: QualifiedName, what: string, remedy?: string): TailraceError {
  const place = `the replica's table ${name.schema}.${name.name}, which is to hold ${tableName(table)},`;
  return new TailraceError('sink-conflict', `${place} ${what}`, remedy === undefined ? {} : { remedy });
}

export function gone(table: TableSchema, name: QualifiedName): TailraceError {
  return new TailraceError('sink-lost', `the replica's table ${name.schema}.${name.name}, which held ${tableName(table)}, is gone`);
}

interface Place {
  readonly table: TableSchema;
  readonly name: QualifiedName;
  readonly wanted: WantedTable;
  readonly found: ReplicaTable;
}

/**
 * The error for a change of shape that the replica does not follow by itself, with the statements to run there. Undefined when
 * there is none, or when somebody has run them already: then the replica's table fits the new shape.
 */
export function unfollowed(change: ShapeChange, place: Place): TailraceError | undefined {
  const steps = [...change.changed.map((one) => columnStep(one, place)), change.keyChanged ? keyStep(place) : undefined].filter((step) => step !== undefined);
  if (steps.length === 0) return undefined;
  const { table } = place;
  const statements = steps.flatMap((step) => step.statement ?? []);
  const remedy = steps.some((step) => step.statement === undefined)
    ? 'The rows at the replica lack these values: run tailrace sinks forget and let the sink be filled anew.'
    : `Run at the replica: ${statements.join('; ')}. The sink goes on by itself once it fits. To have the values as the source has them now, forget the sink instead and let it be filled anew.`;
  return new TailraceError('sink-shape', `${tableName(table)} changed its shape: ${steps.map((step) => step.what).join('; ')}`, { remedy });
}

interface Step {
  readonly what: string;
  /** What to run; undefined when no statement mends it. */
  readonly statement: string | undefined;
}

function columnStep({ what, before, after }: ColumnChange, { name, wanted, found }: Place): Step | undefined {
  const alter = `ALTER TABLE ${quoteQualified(name.schema, name.name)}`;
  const has = (column: string): boolean => found.columns.some((one) => one.name === column);
  switch (what) {
    case 'renamed':
      if (has(after.name) && !has(before.name)) return undefined;
      return { what: `column ${before.name} was renamed to ${after.name}`, statement: `${alter} RENAME COLUMN ${quote(before.name)} TO ${quote(after.name)}` };
    case 'retyped': {
      const column = wanted.columns.find((one) => one.name === after.name);
      // Text would hold the values too, but not as what they are now.
      if (column !== undefined && found.columns.some((one) => one.name === after.name && one.type === column.type.type)) return undefined;
      const type = column?.type.type ?? 'text';
      return { what: `column ${after.name} was ${before.type} and is ${after.type}`, statement: `${alter} ALTER COLUMN ${quote(after.name)} TYPE ${type} USING ${quote(after.name)}::${type}` };
    }
    case 'left out':
      if (!has(before.name)) return undefined;
      return { what: `column ${after.name} is left out now`, statement: `${alter} DROP COLUMN ${quote(before.name)}` };
    case 'no longer left out':
      return { what: `column ${after.name} is no longer left out`, statement: undefined };
  }
}

function keyStep({ name, wanted, found }: Place): Step | undefined {
  const alter = `ALTER TABLE ${quoteQualified(name.schema, name.name)}`;
  const fits = wanted.key.length === 0 ? found.uniques.length === 0 : keyIndex(wanted.key, found) !== undefined;
  if (fits) return undefined;
  const drop = found.uniques[0] === undefined ? [] : [`DROP CONSTRAINT ${quote(found.uniques[0].name)}`];
  const add = wanted.key.length === 0 ? [] : [`ADD PRIMARY KEY (${wanted.key.map(quote).join(', ')})`];
  // A primary key made its columns NOT NULL, and leaves them so when it goes.
  const loosen = found.columns
    .filter((column) => column.notNull && !wanted.key.includes(column.name) && wanted.columns.some((one) => one.name === column.name && one.nullable))
    .map((column) => `ALTER COLUMN ${quote(column.name)} DROP NOT NULL`);
  const now = wanted.key.length === 0 ? 'there is none' : `it is (${wanted.key.join(', ')})`;
  return { what: `its key changed: ${now}`, statement: `${alter} ${[...drop, ...loosen, ...add].join(', ')}` };
}

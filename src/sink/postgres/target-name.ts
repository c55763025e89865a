import { tableName, type TableShape } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { PostgresSinkConfig } from './config.ts';
import type { QualifiedName } from './target.ts';

export type NamingConfig = Pick<PostgresSinkConfig, 'schema' | 'rename' | 'columns'>;

/** Where a source table goes: its own schema and name, unless the config gives others. */
export function targetName(config: NamingConfig, table: Pick<TableShape, 'schema' | 'name'>): QualifiedName {
  const schema = config.schema ?? table.schema;
  const renamed = config.rename?.[tableName(table)];
  if (renamed === undefined) return { schema, name: table.name };
  const dot = renamed.indexOf('.');
  return dot < 0 ? { schema, name: renamed } : { schema: renamed.slice(0, dot), name: renamed.slice(dot + 1) };
}

/** Of each column, 1 when the replica does not get it; null when it gets all. Throws `config-invalid` for a column of the key. */
export function leftOutColumns(config: NamingConfig, table: TableShape): Uint8Array | null {
  const names = config.columns?.[tableName(table)]?.exclude ?? [];
  const mask = Uint8Array.from(table.columns, (column) => (names.includes(column.name) ? 1 : 0));
  const ofKey = table.key.find((index) => mask[index] === 1);
  if (ofKey !== undefined) {
    const column = table.columns[ofKey]?.name;
    throw new TailraceError('config-invalid', `columns: ${tableName(table)}: ${column} is part of the key and cannot be left out`, {
      remedy: 'Rows could not be told apart without it: remove it from exclude.',
    });
  }
  if (table.columns.length > 0 && !mask.includes(0)) {
    throw new TailraceError('config-invalid', `columns: ${tableName(table)}: every column is left out`, { remedy: 'Exclude the table instead.' });
  }
  return mask.includes(1) ? mask : null;
}

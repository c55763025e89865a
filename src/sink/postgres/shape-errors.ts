import { tableName, type TableSchema } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Step } from './shape-plan.ts';
import type { QualifiedName } from './target.ts';

export function conflict(table: TableSchema, name: QualifiedName, what: string, remedy?: string): TailraceError {
  const place = `the replica's table ${name.schema}.${name.name}, which is to hold ${tableName(table)},`;
  return new TailraceError('sink-conflict', `${place} ${what}`, remedy === undefined ? {} : { remedy });
}

export function gone(table: TableSchema, name: QualifiedName): TailraceError {
  return new TailraceError('sink-lost', `the replica's table ${name.schema}.${name.name}, which held ${tableName(table)}, is gone`);
}

/** The replica cannot or may not come to the new shape by itself. `steps` are those that are left. */
export function unfollowed(table: TableSchema, why: string, steps: readonly Step[]): TailraceError {
  const remedy = `Run at the replica: ${steps.map((step) => step.sql).join('; ')}. The sink goes on by itself once it fits. To have every value as the source has it, run tailrace sinks forget and let the sink be filled anew instead.`;
  return new TailraceError('sink-shape', `${tableName(table)} changed its shape: ${why}`, { remedy });
}

/** The rows that are there lack what no statement can give them. */
export function incomplete(table: TableSchema, what: readonly string[]): TailraceError {
  return new TailraceError('sink-shape', `${tableName(table)} changed its shape: ${what.join('; ')}`, {
    remedy: 'The rows at the replica lack these values: run tailrace sinks forget and let the sink be filled anew.',
  });
}

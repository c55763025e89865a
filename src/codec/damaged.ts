import { type TableShape, tableName } from '../event/table.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { EncodedRow } from './codec.ts';

/** What `throwDamaged` calls a row's record: its place, and nothing of its values. */
export function rowName(record: EncodedRow, table: Pick<TableShape, 'schema' | 'name'>): string {
  return `a record of ${tableName(table)} (op ${record.op}, ordinal ${record.ordinal})`;
}

/**
 * Throws `log-damaged` for the `SyntaxError` of a decoder, and anything else as it is. The decoders' messages name a place, never the
 * text around it, which may be a row's value.
 */
export function throwDamaged(error: unknown, what: string): never {
  if (!(error instanceof SyntaxError)) throw error;
  throw new TailraceError('log-damaged', `${what} does not fit its schema: ${error.message}`);
}

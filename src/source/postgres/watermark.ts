import type { Query } from '../../runtime/postgres/connection.ts';
import { watermarkPrefix } from '../source.ts';

/** Part of its transaction, so that the stream brings it at the transaction's commit, and never when it is rolled back. */
export async function emitWatermark(query: Query, content: string): Promise<void> {
  await query('SELECT pg_catalog.pg_logical_emit_message(true, $1, $2)', [watermarkPrefix, content]);
}

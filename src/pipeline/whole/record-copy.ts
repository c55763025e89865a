import type { Codec, EncodedRow } from '../../codec/codec.ts';
import type { Op, RowChange } from '../../event/change.ts';
import type { Lsn } from '../../event/lsn.ts';
import type { SchemaVersion, TableSchema } from '../../event/table.ts';
import type { RecordCursor } from '../../log/log.ts';
import type { Slice } from '../../runtime/slice.ts';
import { extraHeaderName, headerName, HeaderReader, type Half } from '../record-header.ts';

/** Where a change stands among all others: (START, commit LSN, ordinal). */
export interface Identity {
  readonly startId: string;
  readonly commitLsn: Lsn;
  readonly ordinal: number;
}

/** One event out of the log, with slices of its own. */
export interface RecordCopy extends Identity {
  readonly offset: number;
  readonly op: Op;
  readonly half: Half;
  readonly partial: boolean;
  /** The event's row was too large for the log: what the row had from here on is not there. */
  readonly leftOut: boolean;
  readonly codec: number;
  readonly version: SchemaVersion;
  readonly key: Slice;
  readonly value: Slice;
  readonly extra: Slice;
}

const header = new HeaderReader();
const slice: Slice = { bytes: new Uint8Array(0), start: 0, end: 0 };

/** Null for a tombstone, which is no event. */
export function copyRecord(cursor: RecordCursor): RecordCopy | null {
  if (!cursor.header(headerName, slice)) return null;
  header.reset(slice);
  const extra: Slice = { bytes: cursor.value.bytes, start: -1, end: -1 };
  if (!cursor.header(extraHeaderName, extra)) extra.start = extra.end = -1;
  const { op, half, partial, leftOut, codec, startId, commitLsn, ordinal, schemaEpoch, schemaNumber } = header;
  return {
    offset: cursor.offset, op, half, partial, leftOut, codec, startId, commitLsn, ordinal, version: { epoch: schemaEpoch, number: schemaNumber },
    key: { ...cursor.key }, value: { ...cursor.value }, extra,
  };
}

export function decodeCopy(record: RecordCopy, table: TableSchema, codec: Codec): RowChange<TableSchema> {
  const { op, ordinal, key, value, extra } = record;
  return codec.decodeRow({ op: op as EncodedRow['op'], ordinal, key, value, extra }, table);
}

/**
 * Whether an event of the same key happened before another. Behind the last END of a START stands what was never named: the next
 * START brings it again, so that of two STARTs the older one's count only below what the newer one begins with.
 */
export function isBefore(a: Identity, b: Identity): boolean {
  if (a.startId !== b.startId) return a.commitLsn < b.commitLsn;
  return a.commitLsn === b.commitLsn ? a.ordinal < b.ordinal : a.commitLsn < b.commitLsn;
}

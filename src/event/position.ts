import type { Lsn } from './lsn.ts';

/**
 * Where a replica stands: behind the transaction that it names (PROTOCOL, Applying). Two positions are the same when the
 * identity is; `offset` only says where in the topic to look first.
 */
export interface Position {
  readonly logId: string;
  readonly systemIdentifier: string;
  readonly startId: string;
  readonly epoch: number;
  readonly commitLsn: Lsn;
  /** In a transaction that had to be split at the replica: what is already applied of it. */
  readonly within?: { readonly table: string; readonly ordinal: number } | undefined;
  /** A hint: the offset in the `transaction` topic of the END that this names. */
  readonly offset: number;
}

/** Whether two positions name the same place; hints do not count. */
export function samePosition(a: Position | null, b: Position | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a.logId === b.logId &&
    a.systemIdentifier === b.systemIdentifier &&
    a.startId === b.startId &&
    a.epoch === b.epoch &&
    a.commitLsn === b.commitLsn &&
    a.within?.table === b.within?.table &&
    a.within?.ordinal === b.within?.ordinal
  );
}

/** Orders by (epoch, commit LSN), epoch first: commit LSNs of two epochs are never compared (PROTOCOL, Identity). */
export function isAfter(
  a: { readonly epoch: number; readonly commitLsn: Lsn },
  b: { readonly epoch: number; readonly commitLsn: Lsn },
): boolean {
  return a.epoch !== b.epoch ? a.epoch > b.epoch : a.commitLsn > b.commitLsn;
}

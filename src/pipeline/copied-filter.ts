import type { SnapshotRecord } from './control-records.ts';
import { isVisible } from './visibility.ts';

/**
 * After a copy in one piece: events of transactions that its snapshot saw are in the copy already, and are left out until
 * the stream has passed the LSN that was read after the snapshot (PROTOCOL, Snapshots: A table without a key).
 */
export class CopiedFilter {
  readonly #byRelid = new Map<number, { readonly record: SnapshotRecord; readonly xmin: bigint; readonly xmax: bigint; readonly running: readonly bigint[] }>();

  /** Returns the record, which need not be of a copy in one piece. */
  add(record: SnapshotRecord): SnapshotRecord {
    const { visibility } = record;
    if (visibility === null) return record;
    this.#byRelid.set(record.relid, {
      record, xmin: BigInt(visibility.xmin), xmax: BigInt(visibility.xmax), running: visibility.running.map(BigInt),
    });
    return record;
  }

  /** Forgets the copies whose LSN the stream has passed with this commit. */
  passed(commitLsn: bigint): void {
    for (const [relid, { record }] of this.#byRelid) {
      if (record.visibility !== null && commitLsn > record.visibility.lsn) this.#byRelid.delete(relid);
    }
  }

  get isEmpty(): boolean {
    return this.#byRelid.size === 0;
  }

  isCopied(relid: number, xid: number): boolean {
    const snapshot = this.#byRelid.get(relid);
    return snapshot !== undefined && isVisible(xid, snapshot);
  }
}

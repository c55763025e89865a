import type { Visibility } from '../source/source.ts';

/** Whether a transaction is visible in a snapshot, by the low 32 bits of its id (all that pgoutput sends). */
export function isVisible(xid: number, snapshot: Visibility): boolean {
  // Ids within two thousand million of xmax: which side an id lies on is told by the sign of the 32-bit difference.
  const behind = (limit: bigint): boolean => ((xid - Number(limit & 0xffff_ffffn)) | 0) < 0;
  if (behind(snapshot.xmin)) return true;
  if (!behind(snapshot.xmax)) return false;
  return !snapshot.running.some((running) => Number(running & 0xffff_ffffn) === xid);
}

/**
 * The ids of the transactions that the stream has brought. A commit record reaches the WAL before its transaction becomes
 * visible to new snapshots, so a chunk may miss what was already delivered (PROTOCOL, Snapshots: Visibility). Bounded:
 * beyond `capacity` the oldest ids are forgotten, and a snapshot that would need them counts as not visible.
 */
export class StreamedTransactions {
  readonly #ids: Uint32Array;
  #count = 0;

  constructor(capacity = 1 << 17) {
    this.#ids = new Uint32Array(capacity);
  }

  /** Transactions streamed so far: a mark that `allVisible` takes. */
  get count(): number {
    return this.#count;
  }

  add(xid: number): void {
    this.#ids[this.#count % this.#ids.length] = xid;
    this.#count++;
  }

  /** Whether every transaction streamed before `mark` is visible in the snapshot. */
  allVisible(mark: number, snapshot: Visibility): boolean {
    const capacity = this.#ids.length;
    const oldest = Math.max(0, this.#count - capacity);
    if (oldest > 0 && snapshot.running.some((running) => this.#isForgotten(Number(running & 0xffff_ffffn), oldest))) return false;
    for (let i = oldest; i < mark; i++) {
      if (!isVisible(this.#ids[i % this.#ids.length] as number, snapshot)) return false;
    }
    return true;
  }

  /** Whether the id may be among those that were forgotten: it is older than the oldest one still known. */
  #isForgotten(xid: number, oldest: number): boolean {
    const known = this.#ids[oldest % this.#ids.length] as number;
    return ((xid - known) | 0) < 0;
  }
}

import type { Lsn } from '../event/lsn.ts';
import type { Extent, Group } from './group.ts';
import { startIdText } from './record-header.ts';

/** A transaction has a PROGRESS each time that the log holds so much more of it. */
const noteBytes = 2 << 20;
/** A PROGRESS names each part of the transaction: of many, there is more to it before it is worth that. */
const noteBytesPerPart = 16 << 10;

/** Says in the log what it holds of a large transaction, so that sinks need not wait for its END to begin (PROTOCOL, PROGRESS). */
export class ProgressNotes {
  #startId: Uint8Array = new Uint8Array(0);
  #epoch = 0;
  #commitLsn: Lsn = 0n;
  #noted = 0;

  begin(startId: Uint8Array, epoch: number, commitLsn: Lsn): void {
    this.#startId = startId;
    this.#epoch = epoch;
    this.#commitLsn = commitLsn;
    this.#noted = 0;
  }

  /** `group` is about to be handed over; `extents` are those of the transaction. */
  note(group: Group, extents: readonly Extent[]): void {
    const bytes = extents.reduce((sum, extent) => sum + extent.bytes, 0);
    if (bytes - this.#noted < Math.max(noteBytes, extents.length * noteBytesPerPart)) return;
    this.#noted = bytes;
    group.progress({ type: 'progress', startId: startIdText(this.#startId), epoch: this.#epoch, commitLsn: this.#commitLsn }, extents);
  }
}

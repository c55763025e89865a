import type { TransactionCommit } from '../event/change.ts';
import type { Lsn } from '../event/lsn.ts';
import type { EndRecord, Place, StartRecord } from './control-records.ts';
import type { CurrentStart } from './current-start.ts';

/** An END without the parts, which are known once the group is placed. */
type End = Omit<EndRecord, 'parts'>;

/** An idle slot moves by ENDs without events, one in this many milliseconds at most (PROTOCOL, Acknowledging). */
export const emptyEndInterval = 2000;

/** The chain of ENDs as a publisher writes it on: each names the one with events before it (PROTOCOL, END). */
export class EndChain {
  readonly #start: CurrentStart;
  /** The last END with events, written or on its way. */
  #place: Place;
  #endLsn: Lsn;
  /** Everything up to here is received and concerns nobody: an END without events may name it. */
  #idleLsn: Lsn = 0n;
  #emptyEndAt = 0;

  constructor(start: CurrentStart, last: EndRecord) {
    this.#start = start;
    this.#place = { epoch: last.epoch, commitLsn: last.commitLsn };
    this.#endLsn = last.endLsn;
  }

  /**
   * Whether a transaction with this commit LSN is in the log already. Not `<=`: a keepalive's position, which an END without
   * events names, can equal the commit LSN of the next real transaction (PROTOCOL, END; measured).
   */
  holds(commitLsn: Lsn): boolean {
    return commitLsn < this.#endLsn;
  }

  /** What is up to here concerns nobody. */
  passed(lsn: Lsn): void {
    if (lsn > this.#idleLsn) this.#idleLsn = lsn;
  }

  /** The END of a transaction with something in it. */
  of(item: TransactionCommit, said: Pick<EndRecord, 'snapshot' | 'shapes'>): End {
    const { epoch, startId } = this.#start.record;
    const { commitLsn, endLsn, commitTime } = item;
    const previous = this.#place;
    this.#place = { epoch, commitLsn };
    this.#endLsn = endLsn;
    const end: End = { type: 'end', startId, epoch, commitLsn, endLsn, commitTime, previous, snapshot: said.snapshot };
    return said.shapes === undefined ? end : { ...end, shapes: said.shapes };
  }

  /** Whether the slot of an idle pipeline is to be moved. */
  get isIdleDue(): boolean {
    return this.#idleLsn > this.#endLsn && Date.now() >= this.#emptyEndAt;
  }

  /** The END that moves it. It repeats the place of the last one with events: no reader's position moves (PROTOCOL, END). */
  idle(): End {
    this.#emptyEndAt = Date.now() + emptyEndInterval;
    this.#endLsn = this.#idleLsn;
    return { type: 'end', startId: this.#start.record.startId, ...this.#place, endLsn: this.#endLsn, commitTime: 0n, previous: this.#place, snapshot: null };
  }

  /** A new START behind the last END; `offset` is a lower bound of where it will stand. */
  renew(offset: number): StartRecord {
    return this.#start.renew({ ...this.#place, endLsn: this.#endLsn }, offset);
  }
}

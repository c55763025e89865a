import type { EndRecord, StartRecord, TransactionRecord } from './control-records.ts';

/**
 * Which records of `transaction` count (PROTOCOL, START): a START is valid if its epoch is above that of the valid START
 * before it; an END counts if it is of the last valid START before it. So what a publisher writes after another has taken
 * over is never named by anybody.
 */
export class StartRule {
  #current: StartRecord | null;

  constructor(current: StartRecord | null = null) {
    this.#current = current;
  }

  /** The last valid START. */
  get current(): StartRecord | null {
    return this.#current;
  }

  accept(record: TransactionRecord): 'start' | 'end' | 'void' {
    if (record.type === 'end') return this.counts(record) ? 'end' : 'void';
    if (this.#current !== null && record.epoch <= this.#current.epoch) return 'void';
    this.#current = record;
    return 'start';
  }

  counts(end: Pick<EndRecord, 'startId'>): boolean {
    return this.#current !== null && end.startId === this.#current.startId;
  }
}

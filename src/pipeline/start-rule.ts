import type { StartRecord, TransactionRecord } from './control-records.ts';

/**
 * Which records of `transaction` count (PROTOCOL, START): a START is valid if its epoch is above that of the valid START
 * before it; an END, or a PROGRESS, counts if it is of the last valid START before it. So what a publisher writes after another has taken
 * over is never named by anybody.
 */
export class StartRule {
  #current: StartRecord | null = null;
  /** Before the first START that is still held: the START that the ENDs there name, and its epoch. */
  #implied: { readonly startId: string; readonly epoch: number } | null;

  /**
   * `behind`: an END with events that is known to count, when reading does not begin at the log's first record. Without
   * it, the first END that stands before any START speaks for a START that retention has removed.
   */
  constructor(behind: { readonly startId: string; readonly epoch: number } | null = null) {
    this.#implied = behind;
  }

  /** The last valid START, when it was read. */
  get current(): StartRecord | null {
    return this.#current;
  }

  accept(record: TransactionRecord): 'start' | 'end' | 'progress' | 'void' {
    if (record.type !== 'start') {
      if (this.#current === null && record.type === 'end') this.#implied ??= { startId: record.startId, epoch: record.epoch };
      const counting = this.#current ?? this.#implied;
      return record.startId === counting?.startId ? record.type : 'void';
    }
    if (record.epoch <= (this.#current ?? this.#implied ?? { epoch: 0 }).epoch) return 'void';
    this.#current = record;
    return 'start';
  }
}

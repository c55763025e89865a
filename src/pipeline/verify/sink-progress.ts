import type { Lsn } from '../../event/lsn.ts';
import type { LogReader } from '../../log/log.ts';
import { decodeControl } from '../control-json.ts';
import type { SinkRecord } from '../control-records.ts';
import { records } from '../log-state.ts';

export interface SinkProgressOptions {
  readonly reader: LogReader;
  /** The sink's own topic. */
  readonly topic: string;
  /** Of the START that stood when it began: what a sink said in an older epoch may name places of another history. */
  readonly epoch: number;
  /** How long the sink may say nothing new before it is given up, in milliseconds. */
  readonly timeout: number;
  /** Whether a daemon runs the pipeline. */
  readonly isRunning: () => Promise<boolean>;
  readonly signal: AbortSignal;
}

/** Why a sink is not waited for any longer. */
export type Standstill = 'never-started' | 'not-running' | 'stalled';

/** A daemon that is being restarted is given this long. */
const restartTime = 5000;

/** Follows what a sink says of where its replica stands; that is never ahead of the replica (PROTOCOL, Topics). */
export class SinkProgress {
  readonly #options: SinkProgressOptions;
  #offset = 0;
  #said = 0;
  #endLsn: Lsn | null = null;
  #standstill: Standstill | null = null;
  #saidAtStandstill = 0;

  constructor(options: SinkProgressOptions) {
    this.#options = options;
  }

  /** Everything up to here is at the replica; null when the sink has not said anything in this epoch. */
  get endLsn(): Lsn | null {
    return this.#endLsn;
  }

  get standstill(): Standstill | null {
    return this.#standstill;
  }

  /** Resolves once the replica is at or behind this LSN; false when it does not get there. */
  async passed(lsn: Lsn): Promise<boolean> {
    const { reader, topic, timeout, signal } = this.#options;
    if (!(await reader.topics()).some((spec) => spec.topic === topic)) {
      this.#standstill = 'never-started';
      return false;
    }
    let movedAt = performance.now();
    let seenRunningAt = movedAt;
    for (let said = -1; ; ) {
      signal.throwIfAborted();
      await this.#read();
      if (this.#endLsn !== null && this.#endLsn >= lsn) {
        this.#standstill = null;
        return true;
      }
      // A sink that was given up once is not waited for again until it says something.
      if (this.#standstill !== null && this.#said === this.#saidAtStandstill) return false;
      const now = performance.now();
      if (this.#said !== said) [said, movedAt] = [this.#said, now];
      if (await this.#options.isRunning()) seenRunningAt = now;
      if (now - seenRunningAt > Math.min(restartTime, timeout)) return this.#give('not-running');
      if (now - movedAt > timeout) return this.#give('stalled');
      await reader.wait(topic, 0, this.#offset, signal);
    }
  }

  #give(why: Standstill): false {
    this.#standstill = why;
    this.#saidAtStandstill = this.#said;
    return false;
  }

  async #read(): Promise<void> {
    const { reader, topic, epoch } = this.#options;
    for await (const cursor of records(reader, topic, this.#offset)) {
      this.#offset = cursor.offset + 1;
      const record = decodeControl<SinkRecord>(cursor.value, `${topic} at offset ${cursor.offset}`);
      if (record.type !== 'position') continue;
      this.#said++;
      if (record.epoch >= epoch) this.#endLsn = record.endLsn;
    }
  }
}

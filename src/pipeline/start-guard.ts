import type { LogReader } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import { decodeControl } from './control-json.ts';
import type { StartRecord, TransactionRecord } from './control-records.ts';
import type { Written } from './group.ts';
import { records } from './log-state.ts';

/**
 * Whether what a publisher writes to `transaction` counts: it does as long as no other valid START stands before it (PROTOCOL,
 * START). Where its records are put says for nothing whether anybody else has written; only then is it read what. Asked after each
 * append and before anything is acknowledged, so that whoever was replaced gives up, and never renews its START over another's.
 */
export class StartGuard {
  readonly #reader: LogReader;
  readonly #topic: string;
  #epoch: number;
  /** Where the next record goes if nobody else writes. */
  #next: number;

  /** `start` is known to be valid, and stands at `offset`. */
  constructor(reader: LogReader, topic: string, { start, offset }: { readonly start: StartRecord; readonly offset: number }) {
    this.#reader = reader;
    this.#topic = topic;
    this.#epoch = start.epoch;
    this.#next = offset + 1;
  }

  /** `renewed`: the START that is among what was written. Throws `lead-lost` when another publisher has taken over. */
  async written({ first, last, count }: Written, renewed: StartRecord | null): Promise<void> {
    if (first !== this.#next || last - first !== count - 1) await this.#look(last, renewed);
    this.#next = last + 1;
    if (renewed !== null) this.#epoch = renewed.epoch;
  }

  async #look(last: number, renewed: StartRecord | null): Promise<void> {
    for await (const cursor of records(this.#reader, this.#topic, this.#next)) {
      if (cursor.offset > last) return;
      const record = decodeControl<TransactionRecord>(cursor.value, `${this.#topic} at offset ${cursor.offset}`);
      // What has no higher epoch is void: a publisher that we have replaced.
      if (record.type !== 'start' || record.epoch <= this.#epoch || record.startId === renewed?.startId) continue;
      throw new TailraceError('lead-lost', `another publisher has taken over: its START of epoch ${record.epoch} stands at offset ${cursor.offset} of ${this.#topic}, and nothing that was written behind it here counts`);
    }
  }
}

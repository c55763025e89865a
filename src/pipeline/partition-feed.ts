import type { LogReader, RecordCursor } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Slice } from '../runtime/slice.ts';
import type { EndRecord, Part } from './control-records.ts';
import { headerName, HeaderReader, TransactionKey } from './record-header.ts';

/** A transaction's share of one topic-partition. `tag` comes back with its events. */
export interface Share<T> {
  readonly end: EndRecord;
  readonly part: Part;
  readonly tag: T;
}

/** Of one partition, in order. */
export interface RankedShares<T> {
  readonly shares: readonly Share<T>[];
  readonly ranks: readonly number[];
}

export interface FeedOptions {
  readonly fetchBytes: number;
  readonly signal: AbortSignal;
}

/**
 * The events that ENDs name in one partition (PROTOCOL, END: The range): records of the END's START and commit LSN between the
 * first and the last offset, each ordinal once, as many as the END counts. Whatever else lies there was left by a crash or a
 * zombie, and is passed over. After `step()` has said `event`, `header`, `cursor` and `share` describe it.
 */
export class PartitionFeed<T> {
  readonly header = new HeaderReader();
  readonly #reader: LogReader;
  readonly #shares: readonly Share<T>[];
  readonly #ranks: readonly number[];
  readonly #options: FeedOptions;
  readonly #slice: Slice = { bytes: new Uint8Array(0), start: 0, end: 0 };
  #cursor: RecordCursor | null = null;
  #offset: number;
  #index = 0;
  #seen = 0;
  readonly #key = new TransactionKey();
  #waitingSince: number | null = null;
  /** Of the event: its ordinal, with the half of a key change as the last bit. */
  order = -1;

  /** `ranks`: of each share, which of the transactions it is of: partitions are merged by that, and then by ordinal. */
  constructor(reader: LogReader, { shares, ranks }: RankedShares<T>, options: FeedOptions) {
    this.#reader = reader;
    this.#shares = shares;
    this.#ranks = ranks;
    this.#options = options;
    this.#offset = this.share.part.first;
    this.#expect(this.share.end);
  }

  get share(): Share<T> {
    return this.#shares[this.#at] as Share<T>;
  }

  get rank(): number {
    return this.#ranks[this.#at] as number;
  }

  get finished(): boolean {
    return this.#index >= this.#shares.length;
  }

  get cursor(): RecordCursor {
    return this.#cursor as RecordCursor;
  }

  /** The next event; `fetch`: call `refill` first; `finished`: every share was whole. */
  step(): 'event' | 'fetch' | 'finished' {
    const cursor = this.#cursor;
    if (cursor === null) return 'fetch';
    while (!this.finished && cursor.next()) {
      if (!this.#reach(cursor.offset)) continue;
      // Tombstones have no header; they are no events.
      if (!cursor.header(headerName, this.#slice)) continue;
      const header = this.header.reset(this.#slice);
      if (!header.isOf(this.#key) || !this.#count(header)) continue;
      // The old half of a key change is for readers of keys; its new half carries the whole change.
      if (header.half !== 'old') return 'event';
    }
    this.#offset = Math.max(this.#offset, cursor.nextOffset);
    this.#reach(this.#offset);
    return this.finished ? 'finished' : 'fetch';
  }

  async refill(): Promise<void> {
    const { topic, partition, first } = this.share.part;
    const from = (this.#offset = Math.max(this.#offset, first));
    this.#cursor = await this.#reader.fetch(topic, partition, from, this.#options.fetchBytes).catch((error: unknown) => {
      if (this.#reader.lateAfter === 0 || !(error instanceof TailraceError && error.code === 'offset-out-of-range')) throw error;
      return null;
    });
    if (this.#cursor === null || this.#cursor.nextOffset <= from) await this.#nothingCame(from);
    else this.#waitingSince = null;
  }

  /**
   * Where partitions become visible each for itself, an END can be seen before the events that it names: when another broker has
   * just taken the lead. They are waited for; events that do not come are gone.
   */
  async #nothingCame(from: number): Promise<void> {
    if (this.#reader.lateAfter === 0) this.#missing();
    const { topic, partition, last } = this.share.part;
    const range = await this.#reader.range(topic, partition);
    if (range.start > from) this.#missing(`they were let go of: the partition begins at ${range.start}`);
    this.#waitingSince ??= Date.now();
    if (Date.now() - this.#waitingSince > this.#reader.lateAfter) {
      this.#missing(range.end > last ? '' : `the partition ends at ${range.end}: it was deleted, or the brokers lost what they had confirmed`);
    }
    await this.#reader.wait(topic, partition, from, this.#options.signal);
    this.#options.signal.throwIfAborted();
  }

  /** Moves to the share that can hold this offset; false when the offset lies before it or behind the last. */
  #reach(offset: number): boolean {
    while (!this.finished && offset > this.share.part.last) {
      if (this.#seen !== this.share.part.count) this.#missing();
      this.#index++;
      this.#seen = 0;
      this.order = -1;
      this.#expect(this.share.end);
    }
    return !this.finished && offset >= this.share.part.first;
  }

  /** Where it is, or the last one. */
  get #at(): number {
    return Math.min(this.#index, this.#shares.length - 1);
  }

  #expect({ startId, commitLsn }: EndRecord): void {
    this.#key.set(startId, commitLsn);
  }

  /** Counts an event; false for one that was already there (a send that was repeated). */
  #count(header: HeaderReader): boolean {
    const order = header.ordinal * 2 + (header.half === 'new' ? 1 : 0);
    if (order <= this.order) return false;
    this.order = order;
    this.#seen++;
    return true;
  }

  #missing(why = ''): never {
    const { end, part } = this.share;
    throw new TailraceError(
      'gap',
      `${part.topic} holds ${this.#seen} of the ${part.count} events that the transaction at offset range ${part.first} to ${part.last} has ` +
        `in partition ${part.partition} (START ${end.startId})${why === '' ? '' : `: ${why}`}`,
    );
  }
}

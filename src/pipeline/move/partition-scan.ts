import { setTimeout as delay } from 'node:timers/promises';
import type { LogReader, RecordCursor } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Slice } from '../../runtime/slice.ts';
import type { EndRecord, Part } from '../control-records.ts';
import { headerName, HeaderReader, TransactionKey } from '../record-header.ts';

const pause = 50;

/**
 * Reads the events that ENDs name in one partition, both halves of key changes, part after part: ENDs name later and later offsets, so that
 * what was fetched for one serves the next (PROTOCOL, END: The range). While one is handed out, `header`, `cursor` and `order` describe it.
 */
export class PartitionScan {
  readonly header = new HeaderReader();
  readonly #reader: LogReader;
  readonly #topic: string;
  readonly #partition: number;
  readonly #fetchBytes: number;
  readonly #slice: Slice = { bytes: new Uint8Array(0), start: 0, end: 0 };
  #cursor: RecordCursor | null = null;
  /** The ordinal, with the half of a key change as the last bit: what partitions are merged by. */
  order = -1;

  constructor(reader: LogReader, topic: string, partition: number, fetchBytes = 1 << 20) {
    this.#reader = reader;
    this.#topic = topic;
    this.#partition = partition;
    this.#fetchBytes = fetchBytes;
  }

  get cursor(): RecordCursor {
    return this.#cursor as RecordCursor;
  }

  async *events(part: Part, end: EndRecord): AsyncGenerator<PartitionScan> {
    const key = new TransactionKey().set(end.startId, end.commitLsn);
    let seen = 0;
    this.order = -1;
    for (let offset = part.first; ; ) {
      const cursor = await this.#at(offset, part);
      while (cursor.offset < part.last && cursor.next()) {
        if (cursor.offset < part.first || cursor.offset > part.last || !cursor.header(headerName, this.#slice)) continue;
        const header = this.header.reset(this.#slice);
        const order = header.ordinal * 2 + (header.half === 'new' ? 1 : 0);
        if (!header.isOf(key) || order <= this.order) continue;
        this.order = order;
        seen++;
        yield this;
      }
      if (cursor.offset >= part.last) break;
      offset = cursor.nextOffset;
    }
    if (seen !== part.count) throw this.#missing(part, `${seen} of the ${part.count} events are there`);
  }

  /** What was fetched, where it goes on to the offset; else it is fetched. */
  async #at(offset: number, part: Part): Promise<RecordCursor> {
    const held = this.#cursor;
    if (held !== null && held.offset < offset && offset < held.nextOffset) return held;
    const deadline = Date.now() + this.#reader.lateAfter;
    for (;;) {
      const cursor = await this.#reader.fetch(this.#topic, this.#partition, offset, this.#fetchBytes).catch((error: unknown) => {
        if (error instanceof TailraceError && error.code === 'offset-out-of-range') return error;
        throw error;
      });
      if (!(cursor instanceof TailraceError) && cursor.nextOffset > offset) return (this.#cursor = cursor);
      // On Kafka an END can be seen before the events that it names.
      if (Date.now() >= deadline) throw this.#missing(part, cursor instanceof TailraceError ? cursor.message : `nothing is there from offset ${offset} on`);
      await delay(pause);
    }
  }

  #missing({ first, last }: Part, why: string): TailraceError {
    return new TailraceError('gap', `of what a transaction has in partition ${this.#partition} of ${this.#topic}, from offset ${first} to ${last}, events are missing: ${why}`);
  }
}

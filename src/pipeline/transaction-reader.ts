import type { Codec, EncodedRow } from '../codec/codec.ts';
import type { TableSchema } from '../event/table.ts';
import type { LogReader, RecordCursor } from '../log/log.ts';
import type { TableOperation } from '../sink/sink.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Slice } from '../runtime/slice.ts';
import type { EndRecord, Part } from './control-records.ts';
import { extraHeaderName, headerName, HeaderReader, transactionKey, type TransactionKey } from './record-header.ts';
import type { SchemaReader } from './schema-reader.ts';

/** A transaction's share of one topic-partition. `tag` comes back with its events. */
export interface Share<T> {
  readonly end: EndRecord;
  readonly part: Part;
  readonly tag: T;
}

/** Events of one table under one schema version whose shares have the same tag, in order. */
export interface Run<T> {
  readonly table: TableSchema;
  readonly tag: T;
  readonly changes: TableOperation[];
  /** The ordinal of the last change, and the transaction that it belongs to. */
  readonly last: { readonly end: EndRecord; readonly ordinal: number };
}

const fetchBytes = 256 << 10;

/**
 * Reads the events that ENDs name (PROTOCOL, END: The range): records of the END's START and commit LSN between the first
 * and the last offset, each ordinal once, as many as the END counts. Whatever else lies there was left by a crash or a
 * zombie, and is passed over.
 */
export class TransactionReader {
  readonly #reader: LogReader;
  readonly #schemas: SchemaReader;
  readonly #codec: Codec;
  readonly #header = new HeaderReader();
  readonly #headerSlice: Slice = { bytes: new Uint8Array(0), start: 0, end: 0 };
  #lastTable: TableSchema | null = null;

  constructor(reader: LogReader, schemas: SchemaReader, codec: Codec) {
    this.#reader = reader;
    this.#schemas = schemas;
    this.#codec = codec;
  }

  /** The events of `shares`, all of one topic-partition and in log order, in runs of about `maxBytes` at most. */
  async *read<T>(shares: readonly Share<T>[], maxBytes: number): AsyncGenerator<Run<T>> {
    const counter = new ShareCounter(shares);
    let run: Run<T> | null = null;
    let bytes = 0;
    let offset = counter.share.part.first;
    while (!counter.finished) {
      const { topic, partition } = counter.share.part;
      const cursor = await this.#reader.fetch(topic, partition, Math.max(offset, counter.share.part.first), fetchBytes);
      while (!counter.finished && cursor.next()) {
        if (!counter.reach(cursor.offset)) continue;
        const header = this.#read(cursor);
        if (header === null || !header.isOf(counter.key) || !counter.count(header)) continue;
        // The old half of a key change is for readers of keys; its new half carries the whole change.
        if (header.half === 'old') continue;
        const table = this.#isLast(header) ? (this.#lastTable as TableSchema) : await this.#schema(header);
        if (run === null || run.table !== table || run.tag !== counter.share.tag || bytes >= maxBytes) {
          if (run !== null) yield run;
          run = { table, tag: counter.share.tag, changes: [], last: { end: counter.share.end, ordinal: header.ordinal } };
          bytes = 0;
        }
        run.changes.push(this.#decode(cursor, header, table));
        (run as { last: Run<T>['last'] }).last = { end: counter.share.end, ordinal: header.ordinal };
        bytes += cursor.value.end - cursor.value.start + 64;
      }
      if (cursor.nextOffset <= offset && !counter.finished) counter.missing();
      offset = cursor.nextOffset;
      counter.reach(offset);
    }
    if (run !== null) yield run;
  }

  #read(cursor: RecordCursor): HeaderReader | null {
    // Tombstones have no header; they are no events.
    return cursor.header(headerName, this.#headerSlice) ? this.#header.reset(this.#headerSlice) : null;
  }

  /** Nearly every event has the version of the one before it: no look-up, and no promise. */
  #isLast(header: HeaderReader): boolean {
    const version = this.#lastTable?.version;
    return version !== undefined && version.number === header.schemaNumber && version.epoch === header.schemaEpoch;
  }

  async #schema(header: HeaderReader): Promise<TableSchema> {
    this.#lastTable = await this.#schemas.get({ epoch: header.schemaEpoch, number: header.schemaNumber });
    return this.#lastTable;
  }

  #decode(cursor: RecordCursor, header: HeaderReader, table: TableSchema): TableOperation {
    const { op } = header;
    if (header.codec !== this.#codec.id) {
      throw new TailraceError('log-other-format', `an event of ${table.schema}.${table.name} is in another format than this pipeline's (${this.#codec.name})`);
    }
    if (op === 't') return { op };
    if (op === 'm') throw new TailraceError('log-damaged', 'a table\'s topic holds a logical message');
    const extra: Slice = { bytes: cursor.value.bytes, start: -1, end: -1 };
    if (!cursor.header(extraHeaderName, extra)) extra.start = extra.end = -1;
    const record: EncodedRow = { op, ordinal: header.ordinal, key: cursor.key, value: cursor.value, extra };
    return this.#codec.decodeRow(record, table);
  }
}

/** Walks the shares along the offsets and checks that each is whole. */
class ShareCounter<T> {
  readonly #shares: readonly Share<T>[];
  #index = 0;
  #seen = 0;
  #lastOrder = -1;
  key: TransactionKey;

  constructor(shares: readonly Share<T>[]) {
    this.#shares = shares;
    this.key = keyOf(this.share);
  }

  get share(): Share<T> {
    return this.#shares[Math.min(this.#index, this.#shares.length - 1)] as Share<T>;
  }

  get finished(): boolean {
    return this.#index >= this.#shares.length;
  }

  /** Moves to the share that can hold this offset; false when the offset lies before it or behind the last. */
  reach(offset: number): boolean {
    while (!this.finished && offset > this.share.part.last) {
      if (this.#seen !== this.share.part.count) this.missing();
      this.#index++;
      this.#seen = 0;
      this.#lastOrder = -1;
      this.key = keyOf(this.share);
    }
    return !this.finished && offset >= this.share.part.first;
  }

  /** Counts an event; false for one that was already there (a send that was repeated). */
  count(header: HeaderReader): boolean {
    const order = header.ordinal * 2 + (header.half === 'new' ? 1 : 0);
    if (order <= this.#lastOrder) return false;
    this.#lastOrder = order;
    this.#seen++;
    return true;
  }

  missing(): never {
    const { end, part } = this.share;
    throw new TailraceError(
      'gap',
      `${part.topic} holds ${this.#seen} of the ${part.count} events that the transaction at offset range ${part.first} to ${part.last} has ` +
        `(START ${end.startId})`,
    );
  }
}

function keyOf<T>(share: Share<T>): TransactionKey {
  return transactionKey(share.end.startId, share.end.commitLsn);
}

import { nullSlice, type Codec, type EncodedRow } from '../codec/codec.ts';
import type { TableSchema } from '../event/table.ts';
import type { LogReader, RecordCursor } from '../log/log.ts';
import type { TableOperation } from '../sink/sink.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { EndRecord } from './control-records.ts';
import { PartitionFeed, type Share } from './partition-feed.ts';
import { extraHeaderName, type HeaderReader } from './record-header.ts';
import type { SchemaReader } from './schema-reader.ts';
import type { VoidEvents } from './void-events.ts';

/** Events of one table under one schema version whose shares have the same tag, in order. */
export interface Run<T> {
  readonly table: TableSchema;
  readonly tag: T;
  readonly changes: TableOperation[];
  /** One change by itself that has only its key: its row was too large for the log. */
  readonly leftOut?: true;
  /** The ordinal of the first change. */
  readonly first: number;
  /** The ordinal of the last change, and the transaction that it belongs to. */
  readonly last: LastChange;
}

interface LastChange {
  readonly end: EndRecord;
  readonly ordinal: number;
}

/** Makes changes whole before they are handed out (whole/row-completer.ts); null leaves one out. */
export interface Completer {
  take(cursor: RecordCursor, change: TableOperation, share: Share<unknown>): TableOperation | null | Promise<TableOperation | null>;
}

export interface TransactionReaderOptions {
  /** Ends waiting for events that are late. */
  readonly signal?: AbortSignal;
  readonly completer?: Completer | undefined;
  /** What is left out of the runs. */
  readonly voids?: VoidEvents | undefined;
}

const fetchBytes = 256 << 10;
const never = new AbortController().signal;

/**
 * Reads the events that ENDs name, those of one table: its partitions are merged, transaction by transaction and by ordinal
 * (PROTOCOL, END: The range).
 */
export class TransactionReader {
  readonly #reader: LogReader;
  readonly #schemas: SchemaReader;
  readonly #codec: Codec;
  readonly #signal: AbortSignal;
  readonly #completer: Completer | undefined;
  readonly #voids: VoidEvents | undefined;
  #lastTable: TableSchema | null = null;
  /** Used again for each event: what is made of it is the codec's own. */
  readonly #record: { -readonly [K in keyof EncodedRow]: EncodedRow[K] } = { op: 'c', ordinal: 0, key: nullSlice(), value: nullSlice(), extra: nullSlice() };

  constructor(reader: LogReader, schemas: SchemaReader, codec: Codec, options: TransactionReaderOptions = {}) {
    this.#reader = reader;
    this.#schemas = schemas;
    this.#codec = codec;
    this.#signal = options.signal ?? never;
    this.#completer = options.completer;
    this.#voids = options.voids;
  }

  /**
   * The events of `shares`, all of one topic and in the order of their ENDs, in runs of about `maxBytes` at most; of a quarter of it where
   * there are inserts alone, of which none folds into another: so most of what is made for a row dies before the heap is looked through.
   */
  async *read<T>(shares: readonly Share<T>[], maxBytes: number): AsyncGenerator<Run<T>> {
    const feeds = this.#feeds(shares);
    let run: Run<T> | null = null;
    let last: { -readonly [K in keyof LastChange]: LastChange[K] } | null = null;
    let bytes = 0;
    let most = 0;
    let truncated = { rank: -1, order: -1 };
    for (const feed of feeds) await advance(feed);
    for (let feed = earliest(feeds); feed !== undefined; feed = earliest(feeds)) {
      const { header, cursor, share, order } = feed;
      const table = this.#isLast(header) ? (this.#lastTable as TableSchema) : await this.#schema(header);
      const { ordinal } = header;
      const change = this.#decode(cursor, header, table);
      let whole: TableOperation | null = change;
      if (this.#completer !== undefined) {
        // A truncate that is repeated concerns its own partition.
        const taken = this.#completer.take(cursor, change, share);
        whole = taken instanceof Promise ? await taken : taken;
      }
      const isRepeated = change.op === 't' && truncated.rank === feed.rank && truncated.order === order;
      if (this.#voids?.covers(table.relid, share.end) === true) {
        // As if the transaction did not have it.
      } else if (header.leftOut) {
        if (run !== null) yield run;
        run = null;
        yield { table, tag: share.tag, changes: [change], leftOut: true, first: ordinal, last: { end: share.end, ordinal } };
      } else if (!isRepeated) {
        if (run === null || last === null || run.table !== table || run.tag !== share.tag || bytes >= most) {
          if (run !== null) yield run;
          last = { end: share.end, ordinal };
          run = { table, tag: share.tag, changes: [], first: ordinal, last };
          bytes = 0;
          most = maxBytes >> 2;
        }
        if (change.op !== 'c' && change.op !== 'r') most = maxBytes;
        if (whole !== null) run.changes.push(whole);
        last.end = share.end;
        last.ordinal = ordinal;
        bytes += cursor.value.end - cursor.value.start + 64;
      }
      // A truncate stands in each partition, and is one.
      if (change.op === 't') truncated = { rank: feed.rank, order };
      if (feed.step() === 'fetch') await advance(feed);
    }
    if (run !== null) yield run;
  }

  #feeds<T>(shares: readonly Share<T>[]): readonly PartitionFeed<T>[] {
    const byPartition = new Map<number, { shares: Share<T>[]; ranks: number[] }>();
    let rank = 0;
    for (let i = 0; i < shares.length; i++) {
      const share = shares[i] as Share<T>;
      if (i > 0 && shares[i - 1]?.end !== share.end) rank++;
      let theirs = byPartition.get(share.part.partition);
      if (theirs === undefined) byPartition.set(share.part.partition, (theirs = { shares: [], ranks: [] }));
      theirs.shares.push(share);
      theirs.ranks.push(rank);
    }
    // Together they hold about as much as one would alone, and not what no END here names; a batch comes whole in any case.
    const most = Math.max(32 << 10, Math.floor(fetchBytes / byPartition.size));
    return [...byPartition.values()].map((theirs) => {
      const named = theirs.shares.reduce((sum, { part }) => sum + part.bytes, 0);
      return new PartitionFeed(this.#reader, theirs, { signal: this.#signal, fetchBytes: Math.min(most, named + (4 << 10)) });
    });
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
    const record = this.#record;
    const { extra } = record;
    if (!cursor.header(extraHeaderName, extra)) extra.start = extra.end = -1;
    record.op = op;
    record.ordinal = header.ordinal;
    record.key = cursor.key;
    record.value = cursor.value;
    return this.#codec.decodeRow(record, table);
  }
}

/** To its next event, or to its end. */
async function advance<T>(feed: PartitionFeed<T>): Promise<void> {
  do await feed.refill();
  while (feed.step() === 'fetch');
}

/** Of the events that the partitions have next, the one that comes first; undefined when all are through. */
function earliest<T>(feeds: readonly PartitionFeed<T>[]): PartitionFeed<T> | undefined {
  let first: PartitionFeed<T> | undefined;
  for (let i = 0; i < feeds.length; i++) {
    const feed = feeds[i] as PartitionFeed<T>;
    if (feed.finished) continue;
    if (first === undefined || feed.rank < first.rank || (feed.rank === first.rank && feed.order < first.order)) first = feed;
  }
  return first;
}

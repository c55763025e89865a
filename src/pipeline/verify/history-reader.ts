import type { Codec, EncodedRow } from '../../codec/codec.ts';
import type { RowId } from '../../event/digest.ts';
import type { TableSchema } from '../../event/table.ts';
import type { LogReader, OffsetRange, RecordCursor } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Slice } from '../../runtime/slice.ts';
import type { TableOperation } from '../../sink/sink.ts';
import { extraHeaderName, headerName, HeaderReader } from '../record-header.ts';
import type { SchemaReader } from '../schema-reader.ts';
import { Histories } from './row-history.ts';

/** Where a table's topic ended, partition by partition. */
export type Mark = readonly number[];

const fetchBytes = 1 << 20;

/** What a table's topic says of some rows since a mark. */
export interface HistoryReader {
  mark(): Promise<Mark>;
  since(mark: Mark, ids: readonly RowId[]): Promise<Histories>;
}

export interface HistoryOptions {
  readonly reader: LogReader;
  readonly schemas: SchemaReader;
  readonly codec: Codec;
  readonly topic: string;
  /** Names of the compared columns. */
  readonly columns: readonly string[];
  readonly keyed: boolean;
}

/**
 * Reads every record, whether an END names it or not: what a crash left behind makes a row count as touched, which costs
 * another look and never a false word.
 */
export class TopicHistoryReader implements HistoryReader {
  readonly #options: HistoryOptions;
  readonly #header = new HeaderReader();
  readonly #headerSlice: Slice = { bytes: new Uint8Array(0), start: 0, end: 0 };

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  async mark(): Promise<Mark> {
    return (await this.#ranges()).map(({ end }) => end);
  }

  async since(mark: Mark, ids: readonly RowId[]): Promise<Histories> {
    const histories = new Histories(ids, this.#options);
    const ranges = await this.#ranges();
    try {
      for (const [partition, { end }] of ranges.entries()) await this.#read(histories, { partition, from: mark[partition] ?? 0, end });
    } catch (error) {
      // Retention was quicker.
      if (!(error instanceof TailraceError) || error.code !== 'offset-out-of-range') throw error;
      histories.lost();
    }
    return histories;
  }

  async #read(histories: Histories, { partition, from, end }: { partition: number; from: number; end: number }): Promise<void> {
    const { reader, topic } = this.#options;
    let offset = from;
    while (offset < end) {
      const cursor = await reader.fetch(topic, partition, offset, fetchBytes);
      while (cursor.next()) if (cursor.offset >= offset) await this.#take(histories, cursor);
      if (cursor.nextOffset <= offset) return;
      offset = cursor.nextOffset;
    }
  }

  async #take(histories: Histories, cursor: RecordCursor): Promise<void> {
    if (!cursor.header(headerName, this.#headerSlice)) return;
    const header = this.#header.reset(this.#headerSlice);
    // The old half of a key change: the new one carries the whole change.
    if (header.half === 'old') return;
    const version = { epoch: header.schemaEpoch, number: header.schemaNumber };
    const table = this.#options.schemas.known(version) ?? (await this.#options.schemas.get(version));
    const change = this.#decode(cursor, header, table);
    if (change === null) histories.lost();
    else histories.add(table, change);
  }

  #decode(cursor: RecordCursor, header: HeaderReader, table: TableSchema): TableOperation | null {
    const { op } = header;
    if (op === 't') return { op };
    if (op === 'm' || header.codec !== this.#options.codec.id) return null;
    const extra: Slice = { bytes: cursor.value.bytes, start: -1, end: -1 };
    if (!cursor.header(extraHeaderName, extra)) extra.start = extra.end = -1;
    const record: EncodedRow = { op, ordinal: header.ordinal, key: cursor.key, value: cursor.value, extra };
    return this.#options.codec.decodeRow(record, table);
  }

  /** None as long as nothing of the table has come. */
  async #ranges(): Promise<readonly OffsetRange[]> {
    const { reader, topic } = this.#options;
    const spec = (await reader.topics()).find((each) => each.topic === topic);
    return Promise.all(Array.from({ length: spec?.partitions ?? 0 }, (_, partition) => reader.range(topic, partition)));
  }
}

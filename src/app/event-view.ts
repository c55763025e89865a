import type { Codec } from '../codec/codec.ts';
import { formatLsn } from '../event/lsn.ts';
import { tableName, type TableSchema } from '../event/table.ts';
import { tupleTexts } from '../event/tuple.ts';
import type { LogReader, RecordCursor } from '../log/log.ts';
import { logHeaderName, markHeaderName, shapeHeaderName, topicHeaderName } from '../pipeline/merge/mark.ts';
import { MergedShapes } from '../pipeline/merge/shapes.ts';
import { headerName, HeaderReader } from '../pipeline/record-header.ts';
import { SchemaReader } from '../pipeline/schema-reader.ts';
import { topicNames } from '../pipeline/topics.ts';
import { copyRecord, decodeCopy, type RecordCopy } from '../pipeline/whole/record-copy.ts';
import { WholeRows } from '../pipeline/whole/whole-rows.ts';
import { everyCodec } from '../registry.ts';
import { silentLogger } from '../runtime/logger.ts';
import type { Slice } from '../runtime/slice.ts';

const mergeHeaders: ReadonlySet<string> = new Set([topicHeaderName, logHeaderName, markHeaderName]);

/** A row as people read it: Postgres's own text by column, null for NULL; absent columns are not there. */
export type RowView = Readonly<Record<string, string | null>>;

/** A record as `consume` prints it. What does not apply is not there. */
export interface RecordView {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: string;
  readonly op?: string;
  readonly table?: string;
  /** Of a merged record: where it came from; the log's id, where it is another log. */
  readonly from_topic?: string;
  readonly from_log?: string;
  /** Identity: (epoch, commit LSN, ordinal). */
  readonly epoch?: number;
  readonly commit_lsn?: string;
  readonly ordinal?: number;
  /** A key change is two records: the old key's half and the new one's. */
  readonly half?: 'old' | 'new';
  /** Of a record that is no event: what it has as its key. */
  readonly key?: unknown;
  /** Of a record that is no event. */
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly before?: RowView | null;
  readonly after?: RowView | null;
  /** Of a logical message: its prefix, and its content where that is text, else `{"base64": …}`. */
  readonly prefix?: string;
  readonly content?: unknown;
  /** Columns that Postgres did not send because they did not change, and that were not filled in. */
  readonly absent?: readonly string[];
  /** The row was larger than the log takes: there is its key alone. */
  readonly left_out?: true;
  /** Of the topics that hold no events. */
  readonly value?: unknown;
}

/** Makes records readable, one at a time: for people, not for the hot path. */
export class EventView {
  readonly #schemas: SchemaReader;
  readonly #shapes: MergedShapes;
  readonly #codecs: ReadonlyMap<number, Codec>;
  readonly #header = new HeaderReader();
  readonly #whole: WholeRows | null;

  private constructor(reader: LogReader, pipeline: string, { whole, codecs }: { readonly whole: boolean; readonly codecs: readonly Codec[] }) {
    this.#schemas = new SchemaReader(reader, topicNames(pipeline).schema);
    this.#shapes = new MergedShapes(reader, topicNames(pipeline).mergedShapes);
    // By the number in the record, not by the config: the topic says what it holds.
    this.#codecs = new Map(codecs.map((codec) => [codec.id, codec]));
    this.#whole = whole ? new WholeRows({ reader, schemas: this.#schemas, codec: (id) => this.#codecs.get(id) as Codec }) : null;
  }

  /** `pipeline`: or a stream's name among topics. `whole`: new rows are completed from what the log holds; records of a partition are to come in their order then. */
  static async of(reader: LogReader, pipeline: string, { whole }: { readonly whole: boolean } = { whole: false }): Promise<EventView> {
    return new EventView(reader, pipeline, { whole, codecs: await everyCodec({ pipeline, logger: silentLogger }) });
  }

  async view(topic: string, partition: number, cursor: RecordCursor): Promise<RecordView> {
    const place = { topic, partition, offset: cursor.offset, timestamp: new Date(cursor.timestamp).toISOString(), ...originOf(cursor) };
    const slice: Slice = { bytes: cursor.value.bytes, start: -1, end: -1 };
    if (!cursor.header(headerName, slice)) {
      return cursor.value.start < 0 ? { ...place, op: 'tombstone', ...keyed(cursor) } : { ...place, ...keyed(cursor), value: plain(cursor.value) };
    }
    const header = this.#header.reset(slice);
    const { op, half, ordinal, epoch } = header;
    const identity = { ...place, op, epoch, commit_lsn: formatLsn(header.commitLsn), ordinal, ...(half === 'whole' ? {} : { half }) };
    const codec = this.#codecs.get(header.codec);
    if (op === 'm' && codec !== undefined) {
      const { prefix, content } = codec.decodeMessage(cursor.value, ordinal);
      return { ...identity, prefix, content: textOrBase64(content) };
    }
    if (op === 'm' || half === 'old' || codec === undefined) return { ...identity, value: plain(cursor.value) };
    const table = cursor.header(shapeHeaderName, slice) ? await this.#shapes.get(slice) : await this.#schemas.get({ epoch: header.schemaEpoch, number: header.schemaNumber });
    if (op === 't') this.#whole?.truncated(topic, partition);
    if (op === 't') return { ...identity, table: tableName(table) };
    const record = copyRecord(cursor) as RecordCopy;
    const sent = decodeCopy(record, table, codec);
    const change = (await this.#whole?.pass({ topic, partition, record, change: sent })) ?? sent;
    const before = change.oldAt < 0 ? null : rowView(table, change.bytes, change.oldAt, change.oldKind === 'key');
    const after = change.newAt < 0 ? null : rowView(table, change.bytes, change.newAt, false);
    const absent = after === null ? [] : table.columns.filter(({ name }) => !Object.hasOwn(after, name)).map(({ name }) => name);
    return { ...identity, table: tableName(table), key: keyOf(table, after ?? before), before, after, ...(absent.length === 0 ? {} : { absent }), ...(record.leftOut ? { left_out: true } : {}) };
  }
}

/** What a merge has written into its records. */
function originOf(cursor: RecordCursor): Pick<RecordView, 'from_topic' | 'from_log'> {
  const text = (name: string): string | undefined => {
    const slice: Slice = { bytes: cursor.value.bytes, start: -1, end: -1 };
    return cursor.header(name, slice) ? Buffer.from(slice.bytes.subarray(slice.start, slice.end)).toString() : undefined;
  };
  const topic = text(topicHeaderName);
  if (topic === undefined) return {};
  const log = text(logHeaderName);
  return { from_topic: topic, ...(log === undefined ? {} : { from_log: log }) };
}

/** Key and headers of a record that is no event. The last of several headers of one name. */
function keyed(cursor: RecordCursor): Pick<RecordView, 'key' | 'headers'> {
  const headers = cursor.headers().filter(([name]) => !mergeHeaders.has(name));
  // Without a prototype: a header may be called __proto__.
  const named = Object.create(null) as Record<string, unknown>;
  for (const [name, { bytes, start, end }] of headers) named[name] = start < 0 ? null : textOrBase64(bytes.subarray(start, end));
  return { ...(cursor.key.start < 0 ? {} : { key: plain(cursor.key) }), ...(headers.length === 0 ? {} : { headers: named }) };
}

function rowView(table: TableSchema, bytes: Uint8Array, at: number, keyOnly: boolean): RowView {
  const texts = tupleTexts(bytes, at);
  // Without a prototype: a column may be called __proto__.
  const row = Object.create(null) as Record<string, string | null>;
  for (const [i, column] of table.columns.entries()) {
    const text = texts[i];
    // Outside of the key, NULL in an old key means nothing.
    if (text !== undefined && !(keyOnly && text === null && !table.key.includes(i))) row[column.name] = text;
  }
  return row;
}

function keyOf(table: TableSchema, row: RowView | null): RowView | null {
  if (row === null || table.key.length === 0) return null;
  const key = Object.create(null) as Record<string, string | null>;
  for (const i of table.key) {
    const name = table.columns[i]?.name;
    if (name !== undefined) key[name] = row[name] ?? null;
  }
  return key;
}

/** JSON where it is JSON, else text, else base64. */
function plain({ bytes, start, end }: Slice): unknown {
  if (start < 0) return null;
  const content = textOrBase64(bytes.subarray(start, end));
  if (typeof content !== 'string') return content;
  try {
    return JSON.parse(content);
  } catch {
    return content;
  }
}

function textOrBase64(bytes: Uint8Array): string | { readonly base64: string } {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64') };
  }
}

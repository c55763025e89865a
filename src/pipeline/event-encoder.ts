import { newEncoded, type Codec, type EncodeContext } from '../codec/codec.ts';
import type { MessageChange, RowChange, TransactionBegin, TruncateChange } from '../event/change.ts';
import { tableName, type TableSchema } from '../event/table.ts';
import { isPartial } from '../event/tuple.ts';
import type { LogWriter, Oversize, RecordDraft } from '../log/log.ts';
import { Extent, type Group } from './group.ts';
import { keyOnly, messageTooLarge, rowTooLarge, withoutOldRow } from './oversize.ts';
import { ProgressNotes } from './progress-notes.ts';
import { extraHeaderName, headerName, headerSize, HeaderWriter, leftOutHeaderName } from './record-header.ts';
import { isKeyChange } from './row-key.ts';
import { withOldRow } from './whole/images.ts';

/** Where one table's events go, under the schema version that they have now. */
export class Target {
  readonly schema: TableSchema;
  readonly topic: string;
  readonly partitions: number;
  /** Rows still come with an older shape, which only the stream takes for the table's: they are of `schema`. */
  relabels = false;
  /** By partition, of the transaction being encoded; undefined where it has nothing yet. Two schema versions of a table share them. */
  readonly extents: (Extent | undefined)[];

  /** `before`: another one of the same topic, where there is one. */
  constructor(schema: TableSchema, topic: string, { partitions, before }: { readonly partitions: number; readonly before?: Target | undefined }) {
    this.schema = schema;
    this.topic = topic;
    this.partitions = partitions;
    this.extents = before?.extents ?? Array.from({ length: partitions });
  }
}

export interface EncoderNames {
  readonly pipeline: string;
  readonly database: string;
  /** Hears of each event whose row (or content) was larger than the log takes, and that was written without it. */
  readonly leftOut?: (of: string, excess: Oversize) => void;
}

/**
 * Encodes the changes of one transaction after the other into the group that is being filled. The hot path of the capture:
 * nothing is allocated a row but what the caller brings; drafts, headers and scratch memory are reused.
 */
export class EventEncoder {
  readonly #codec: Codec;
  readonly #partitionOf: LogWriter['partitionOf'];
  readonly #pipeline: string;
  readonly #database: string;
  readonly #header: HeaderWriter;
  readonly #encoded = newEncoded();
  readonly #draft: RecordDraft;
  readonly #tombstone: RecordDraft;
  #context: EncodeContext;
  /** Of the current transaction, and of which target each of them is. */
  readonly #ordered: Extent[] = [];
  readonly #touched: Target[] = [];
  readonly #leftOut: EncoderNames['leftOut'];
  readonly #notes = new ProgressNotes();

  constructor(codec: Codec, names: EncoderNames, partitionOf: LogWriter['partitionOf']) {
    this.#codec = codec;
    this.#partitionOf = partitionOf;
    this.#pipeline = names.pipeline;
    this.#database = names.database;
    this.#leftOut = names.leftOut;
    this.#header = new HeaderWriter(codec.id);
    const header = { bytes: this.#header.bytes, start: 0, end: headerSize };
    this.#draft = {
      timestamp: 0,
      key: this.#encoded.key,
      value: this.#encoded.value,
      headers: [{ name: headerName, value: header }, { name: extraHeaderName, value: this.#encoded.extra }],
    };
    this.#tombstone = { timestamp: 0, key: this.#encoded.key, value: { bytes: header.bytes, start: -1, end: -1 }, headers: [] };
    this.#context = this.#newContext({ op: 'begin', commitLsn: 0n, commitTime: 0n, xid: 0 });
  }

  begin(transaction: TransactionBegin, startId: Uint8Array, epoch: number): void {
    this.#header.begin(startId, epoch, transaction.commitLsn);
    this.#notes.begin(startId, epoch, transaction.commitLsn);
    this.#context = this.#newContext(transaction);
    this.#draft.timestamp = this.#tombstone.timestamp = Number(transaction.commitTime / 1000n);
    this.discard();
  }

  /** What was written of the current transaction is named by nobody. */
  discard(): void {
    for (let i = 0; i < this.#touched.length; i++) this.#touched[i]?.extents.fill(undefined);
    this.#touched.length = 0;
    this.#ordered.length = 0;
  }

  /** What the current transaction has in the log so far, in order of first use. */
  extents(): readonly Extent[] {
    // An array that was pushed to has room for more: of thousands that wait for their group, that is most.
    return this.#ordered.slice();
  }

  /** The group is about to be handed over, and the current transaction goes on. */
  note(group: Group): void {
    this.#notes.note(group, this.#ordered);
  }

  row(group: Group, target: Target, change: RowChange): void {
    const keyChanged = change.op === 'u' && change.oldAt >= 0 && isKeyChange(target.schema, change);
    if (keyChanged) {
      const excess = this.#oldHalf(group, target, change);
      if (excess !== undefined) this.#oldHalfOfKey(group, target, change, excess);
    }
    const excess = this.#newRow(group, target, change, keyChanged);
    if (excess !== undefined) this.#withLess(group, target, { change, keyChanged }, excess);
  }

  #oldHalf(group: Group, target: Target, change: RowChange): Oversize | undefined {
    this.#codec.encodeOldHalf(change, target.schema, this.#context, this.#encoded);
    this.#header.change('d', change.ordinal, target.schema.version, { partial: false, half: 'old' });
    const excess = this.#write(group, target);
    if (excess === undefined && this.#codec.tombstones) this.#bury(group, target);
    return excess;
  }

  #oldHalfOfKey(group: Group, target: Target, change: RowChange, excess: Oversize): void {
    const less = withoutOldRow(change, true);
    if (less === undefined || this.#oldHalf(group, target, less) !== undefined) throw rowTooLarge(change, excess);
  }

  /** What is larger than the log takes: without its old row, or without its row, or not at all. */
  #withLess(group: Group, target: Target, { change, keyChanged }: { readonly change: RowChange; readonly keyChanged: boolean }, excess: Oversize): void {
    const less = withoutOldRow(change, keyChanged);
    if (less !== undefined && this.#newRow(group, target, less, keyChanged) === undefined) return;
    if (excess.policy === 'stop') throw rowTooLarge(change, excess);
    this.#codec.encodeRow(keyOnly(change, keyChanged), target.schema, this.#context, this.#encoded);
    this.#header.change('u', change.ordinal, target.schema.version, { partial: true, half: keyChanged ? 'new' : 'whole', leftOut: true });
    if (this.#write(group, target, excess.bytes) !== undefined) throw rowTooLarge(change, excess);
    this.#leftOut?.(tableName(target.schema), excess);
  }

  #newRow(group: Group, target: Target, change: RowChange, keyChanged: boolean): Oversize | undefined {
    const lacks = (change.op === 'u' || change.op === 'c') && isPartial(change.bytes, change.newAt);
    const fills = lacks && change.oldKind === 'full' && this.#codec.wholeAfter === true;
    // An update that brings a row into a row filter is sent as an insert, and lacks what it left alone: nobody may take that for NULL.
    const op = lacks ? 'u' : change.op;
    this.#codec.encodeRow(fills ? withOldRow(change) : op === change.op ? change : { ...change, op }, target.schema, this.#context, this.#encoded);
    const partial = lacks && !fills;
    this.#header.change(op, change.ordinal, target.schema.version, { partial, half: keyChanged ? 'new' : 'whole' });
    const excess = this.#write(group, target);
    if (excess === undefined && change.op === 'd' && this.#codec.tombstones) this.#bury(group, target);
    return excess;
  }

  truncate(group: Group, target: Target, change: TruncateChange): void {
    const truncate = { ...change, tables: [target.schema] };
    this.#codec.encodeTruncate(truncate, target.schema, this.#context, this.#encoded);
    this.#header.change('t', change.ordinal, target.schema.version, { partial: false, half: 'whole' });
    // In each partition, in its place among the rows there (PROTOCOL, END: The range).
    for (let partition = 0; partition < target.partitions; partition++) group.add(group.batch(target.topic, partition), this.#draft, this.#extent(target, partition));
  }

  message(group: Group, target: Target, change: MessageChange): void {
    this.#codec.encodeMessage(change, target.schema, this.#context, this.#encoded);
    this.#header.change('m', change.ordinal, target.schema.version, { partial: false, half: 'whole' });
    const excess = this.#write(group, target);
    if (excess === undefined) return;
    if (excess.policy === 'stop') throw messageTooLarge(change.prefix, excess);
    this.#codec.encodeMessage({ ...change, content: new Uint8Array(0) }, target.schema, this.#context, this.#encoded);
    this.#header.change('m', change.ordinal, target.schema.version, { partial: false, half: 'whole', leftOut: true });
    if (this.#write(group, target, excess.bytes) !== undefined) throw messageTooLarge(change.prefix, excess);
    this.#leftOut?.('messages', excess);
  }

  /**
   * What was encoded last, under the header. `leftOut`: the bytes of the record that this one stands for. Nothing is written where the log
   * would not take it.
   */
  #write(group: Group, target: Target, leftOut?: number): Oversize | undefined {
    const draft = leftOut === undefined ? this.#draft : { ...this.#draft, headers: [...this.#draft.headers, { name: leftOutHeaderName, value: sliceOf(String(leftOut)) }] };
    const partition = this.#partition(target);
    const batch = group.batch(target.topic, partition);
    const excess = batch.oversize(draft);
    if (excess === undefined) group.add(batch, draft, this.#extent(target, partition));
    return excess;
  }

  /** Behind a delete, for the sake of compaction: no event, not counted (PROTOCOL, END). */
  #bury(group: Group, target: Target): void {
    group.add(group.batch(target.topic, this.#partition(target)), this.#tombstone, null);
  }

  /** By the key that was encoded last. */
  #partition({ partitions }: Target): number {
    return partitions === 1 ? 0 : this.#partitionOf(this.#encoded.key, partitions);
  }

  #extent(target: Target, partition: number): Extent {
    const known = target.extents[partition];
    if (known !== undefined) return known;
    const extent = Extent.of(target.topic, partition);
    target.extents[partition] = extent;
    this.#ordered.push(extent);
    this.#touched.push(target);
    return extent;
  }

  #newContext(transaction: TransactionBegin): EncodeContext {
    return { pipeline: this.#pipeline, database: this.#database, transaction, processedAt: Date.now() };
  }
}

function sliceOf(text: string): RecordDraft['value'] {
  const bytes = Buffer.from(text);
  return { bytes, start: 0, end: bytes.length };
}

import { newEncoded, type Codec, type EncodeContext } from '../../codec/codec.ts';
import type { RowChange } from '../../event/change.ts';
import type { TableSchema } from '../../event/table.ts';
import { isPartial, overlay } from '../../event/tuple.ts';
import type { LogReader } from '../../log/log.ts';
import type { SchemaReader } from '../schema-reader.ts';
import { aligned, imageOf, laidOver, withNewRow, withOldRow, type RowImage } from './images.ts';
import { KeyRanges, type KeyRangesLimits } from './key-ranges.ts';
import { RecentRows } from './recent-rows.ts';
import { decodeCopy, isBefore, type RecordCopy } from './record-copy.ts';

export interface WholeRowsOptions {
  readonly reader: LogReader;
  readonly schemas: SchemaReader;
  /** By the number in the record. */
  readonly codec: (id: number) => Codec;
  readonly limits?: Partial<WholeRowsLimits>;
}

export interface WholeRowsLimits extends KeyRangesLimits {
  /** Of the rows that passed by last. */
  readonly rowBytes: number;
}

const defaultLimits: WholeRowsLimits = { rangeBytes: 4 << 20, views: 8, filterBytes: 64 << 20, rowBytes: 32 << 20 };

/** An event of a table as its record tells it, decoded. */
export interface Met {
  readonly topic: string;
  readonly partition: number;
  readonly record: RecordCopy;
  readonly change: RowChange<TableSchema>;
}

/** Keys are all that is looked for: what an envelope says beside them is of no concern. */
const noContext: EncodeContext = { pipeline: '', database: '', transaction: { op: 'begin', commitLsn: 0n, commitTime: 0n, xid: 0 }, processedAt: 0 };

/**
 * Completes updates that lack columns (unchanged TOAST) from what the log holds: the old row where it came whole, a row that passed by
 * lately, or the row's earlier events, however far back. Never from anything else: what the log does not have stays absent, and the
 * caller hears it.
 *
 * Records of a partition are to pass in their order (`pass`), so that most rows are at hand; one that comes again, or out of order,
 * makes it forget what passed by.
 */
export class WholeRows {
  readonly #options: WholeRowsOptions;
  readonly #limits: WholeRowsLimits;
  readonly #partitions = new Map<string, { readonly keys: KeyRanges; readonly rows: RecentRows }>();
  readonly #encoded = newEncoded();

  constructor(options: WholeRowsOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
  }

  /** The change with its new row whole; null when the log does not hold what is missing. Most changes are handed back as they came. */
  pass(met: Met): RowChange<TableSchema> | null | Promise<RowChange<TableSchema> | null> {
    const { record, change } = met;
    const { rows } = this.#of(met.topic, met.partition);
    rows.reach(record);
    // Of what is left out the row is not known from here on.
    if (change.newAt < 0 || record.leftOut) {
      rows.note(record.key, null);
      return change;
    }
    if (!isPartial(change.bytes, change.newAt)) {
      rows.note(record.key, imageOf(change));
      return change;
    }
    return this.#complete(met, rows);
  }

  /** A truncate: no row of before counts. */
  truncated(topic: string, partition: number): void {
    this.#of(topic, partition).rows.clear();
  }

  async #complete(met: Met, rows: RecentRows): Promise<RowChange<TableSchema> | null> {
    const { record, change } = met;
    const whole = change.oldKind === 'full' ? withOldRow(change) : await this.#fromBefore(met, rows);
    rows.note(record.key, whole === null ? null : imageOf(whole));
    return whole;
  }

  async #fromBefore(met: Met, rows: RecentRows): Promise<RowChange<TableSchema> | null> {
    const { record, change } = met;
    // A table without a key says its old rows whole, or is never updated.
    if (record.key.start < 0) return null;
    const key = record.half === 'new' ? this.#oldKey(record, change) : record.key;
    const before = rows.get(key) ?? (record.half === 'new' ? await this.#moved(met, key) : await this.#find(met, { partition: met.partition, key, before: record.offset }));
    const under = before && aligned(before, change.table);
    if (under === null) return null;
    const tuple = overlay(under, 0, change.bytes, change.newAt);
    return isPartial(tuple, 0) ? null : withNewRow(change, tuple);
  }

  /** The row as it stood under its old key, which may lie in another partition. */
  async #moved(met: Met, key: RecordCopy['key']): Promise<RowImage | null> {
    const { topic, partition, record } = met;
    const spec = (await this.#options.reader.topics()).find((each) => each.topic === topic);
    for (let other = 0; other < (spec?.partitions ?? 1); other++) {
      const image = await this.#find(met, { partition: other, key, before: other === partition ? record.offset : Number.MAX_SAFE_INTEGER });
      if (image !== null) return image;
    }
    return null;
  }

  #oldKey(record: RecordCopy, change: RowChange<TableSchema>): RecordCopy['key'] {
    this.#options.codec(record.codec).encodeOldHalf(change, change.table, noContext, this.#encoded);
    const { bytes, start, end } = this.#encoded.key;
    return { bytes: bytes.slice(start, end), start: 0, end: end - start };
  }

  /** The row that a key had before the event that was met, from its events, newest first. */
  async #find(met: Met, of: { readonly partition: number; readonly key: RecordCopy['key']; readonly before: number }): Promise<RowImage | null> {
    const { topic, change } = met;
    const patches: RowImage[] = [];
    let later = met.record;
    for await (const record of this.#of(topic, of.partition).keys.backwards(of.key, of.before, met.record)) {
      if (!isBefore(record, later)) continue;
      // A delete, or the key went elsewhere: since then there was no row with it.
      if (record.op === 'd' || record.half === 'old' || record.leftOut) return null;
      later = record;
      const table = await this.#options.schemas.get(record.version);
      // The topic was another table's.
      if (table.relid !== change.table.relid) return null;
      const found = decodeCopy(record, table, this.#options.codec(record.codec));
      const image = imageOf(found.oldKind === 'full' ? withOldRow(found) : found);
      if (!isPartial(image.tuple, 0)) return laidOver(image, patches);
      patches.push(image);
      if (record.half !== 'new') continue;
      const old = await this.#moved({ topic, partition: of.partition, record, change: found }, this.#oldKey(record, found));
      return old && laidOver(old, patches);
    }
    return null;
  }

  #of(topic: string, partition: number): { readonly keys: KeyRanges; readonly rows: RecentRows } {
    const name = `${topic}/${partition}`;
    let found = this.#partitions.get(name);
    if (found === undefined) {
      found = { keys: new KeyRanges({ reader: this.#options.reader, topic, partition }, this.#limits), rows: new RecentRows(this.#limits.rowBytes) };
      this.#partitions.set(name, found);
    }
    return found;
  }
}

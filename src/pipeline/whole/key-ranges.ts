import type { LogReader, RecordCursor } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { headerName, HeaderReader } from '../record-header.ts';
import { KeyFilter, keyHash } from './key-filter.ts';
import { copyRecord, isBefore, type Identity, type RecordCopy } from './record-copy.ts';

/** Offsets `from` to below `to`, about `rangeBytes` of records. */
interface Range {
  readonly from: number;
  to: number;
  /** Which keys stand in it; null: any may. */
  filter: KeyFilter | null;
}

type View = ReadonlyMap<string, readonly RecordCopy[]>;

export interface KeyRangesLimits {
  readonly rangeBytes: number;
  /** Ranges whose records are kept at hand. */
  readonly views: number;
  /** Of all filters together; the oldest ranges lose theirs. */
  readonly filterBytes: number;
}

/**
 * Finds the events of a key in one partition, newest first, without an index in the log: the partition is read once and told apart
 * into ranges of offsets, of each of which a filter says which keys it has. Only ranges that may have the key are read again, and the
 * last ones that were read stay at hand, because rows that were written together are changed together.
 */
export class KeyRanges {
  readonly #reader: LogReader;
  readonly #topic: string;
  readonly #partition: number;
  readonly #limits: KeyRangesLimits;
  readonly #ranges: Range[] = [];
  readonly #views = new Map<number, View>();
  /** Of the last range, while it grows. */
  #hashes: number[] = [];
  #bytes = 0;
  #filterBytes = 0;
  readonly #truncates: (Identity & { readonly offset: number })[] = [];
  #end = -1;

  constructor(of: { readonly reader: LogReader; readonly topic: string; readonly partition: number }, limits: KeyRangesLimits) {
    this.#reader = of.reader;
    this.#topic = of.topic;
    this.#partition = of.partition;
    this.#limits = limits;
  }

  /**
   * The events of this key below the offset `before`, newest first, as far as anybody asks and back to the last truncate before the
   * event `than`: what a truncate took says nothing of the row that has the key now.
   */
  async *backwards(key: RecordCopy['key'], before: number, than: Identity): AsyncGenerator<RecordCopy> {
    await this.#extend(before);
    const hash = keyHash(key);
    const name = keyName(key);
    const since = this.#truncates.findLast((truncate) => truncate.offset < before && isBefore(truncate, than))?.offset ?? -1;
    for (const range of this.#ranges.toReversed()) {
      if (range.to <= since) return;
      if (range.from >= before || range.filter?.mayHave(hash) === false) continue;
      const found = (await this.#view(range)).get(name) ?? [];
      for (const record of found.toReversed()) if (record.offset < before && record.offset > since) yield record;
    }
  }

  /** Reads on up to `before`. */
  async #extend(before: number): Promise<void> {
    if (this.#end < 0) this.#end = (await this.#reader.range(this.#topic, this.#partition)).start;
    while (this.#end < before) {
      const cursor = await this.#fetch(this.#end);
      let range = this.#ranges.at(-1);
      if (range === undefined || this.#bytes >= this.#limits.rangeBytes) range = this.#open();
      while (cursor.next()) {
        if (cursor.offset < this.#end) continue;
        this.#bytes += cursor.value.end - cursor.value.start + 64;
        if (!cursor.header(headerName, scratch)) continue;
        if (cursor.key.start >= 0) this.#hashes.push(keyHash(cursor.key));
        else if (header.reset(scratch).op === 't') this.#truncates.push(identityOf(cursor.offset));
      }
      if (cursor.nextOffset <= this.#end) return;
      this.#views.delete(range.from);
      range.to = this.#end = cursor.nextOffset;
    }
  }

  #open(): Range {
    const grown = this.#ranges.at(-1);
    if (grown !== undefined) {
      grown.filter = new KeyFilter(this.#hashes);
      this.#filterBytes += grown.filter.bytes;
      for (const old of this.#ranges) {
        if (this.#filterBytes <= this.#limits.filterBytes) break;
        this.#filterBytes -= old.filter?.bytes ?? 0;
        old.filter = null;
      }
    }
    const range: Range = { from: this.#end, to: this.#end, filter: null };
    this.#ranges.push(range);
    this.#hashes = [];
    this.#bytes = 0;
    return range;
  }

  async #view(range: Range): Promise<View> {
    const known = this.#views.get(range.from);
    this.#views.delete(range.from);
    const view = known ?? (await this.#read(range));
    // The one used last stands last.
    this.#views.set(range.from, view);
    for (const oldest of this.#views.keys()) {
      if (this.#views.size <= this.#limits.views) break;
      this.#views.delete(oldest);
    }
    return view;
  }

  async #read(range: Range): Promise<View> {
    const view = new Map<string, RecordCopy[]>();
    for (let offset = range.from; offset < range.to; ) {
      const cursor = await this.#fetch(offset);
      while (cursor.next()) {
        if (cursor.offset < range.from || cursor.offset >= range.to || cursor.key.start < 0) continue;
        const record = copyRecord(cursor);
        if (record === null) continue;
        const name = keyName(record.key);
        const records = view.get(name);
        if (records === undefined) view.set(name, [record]);
        else records.push(record);
      }
      if (cursor.nextOffset <= offset) break;
      offset = cursor.nextOffset;
    }
    return view;
  }

  /** What retention has taken since is not there to be found. */
  async #fetch(offset: number): Promise<RecordCursor> {
    try {
      return await this.#reader.fetch(this.#topic, this.#partition, offset, this.#limits.rangeBytes);
    } catch (error) {
      if (!(error instanceof TailraceError) || error.code !== 'offset-out-of-range') throw error;
      const { start } = await this.#reader.range(this.#topic, this.#partition);
      return this.#reader.fetch(this.#topic, this.#partition, Math.max(start, offset), this.#limits.rangeBytes);
    }
  }
}

const header = new HeaderReader();

function identityOf(offset: number): Identity & { readonly offset: number } {
  const { startId, commitLsn, ordinal } = header;
  return { offset, startId, commitLsn, ordinal };
}

const scratch = { bytes: new Uint8Array(0), start: 0, end: 0 };

/** A key's bytes as a string: what a Map can look up. */
export function keyName({ bytes, start, end }: RecordCopy['key']): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

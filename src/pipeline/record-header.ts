import type { Op } from '../event/change.ts';
import type { Lsn } from '../event/lsn.ts';
import type { SchemaVersion } from '../event/table.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Slice } from '../runtime/slice.ts';

/**
 * The header of each event record, of fixed width, so that readers order, skip and route without decoding the value
 * (PROTOCOL, Identity). Big-endian:
 *
 *      0  u8   version, 1
 *      1  u8   op: the letter
 *      2  u8   codec
 *      3  u8   flags: 1 the new image is partial · 2 old half of a key change · 4 new half · 8 the row was too large and is left out
 *      4  8    START id
 *     12  u32  epoch
 *     16  u64  commit LSN
 *     24  u64  ordinal
 *     32  u32  schema version: epoch
 *     36  u32  schema version: number
 */
export const headerName = 'tailrace';
/** Of an event whose row is left out: the bytes that its record would have had, as text, for people and consumers of their own. */
export const leftOutHeaderName = 'tailrace.left-out';
/** What the codec can't say in key and value (codec.ts, Encoded.extra). */
export const extraHeaderName = 'tailrace.extra';
export const headerSize = 40;

const layoutVersion = 1;
const flagPartial = 1;
const flagOldHalf = 2;
const flagNewHalf = 4;
const flagLeftOut = 8;

export type Half = 'whole' | 'old' | 'new';

/** Writes headers into one reused buffer: everything that a transaction shares is written once, at its begin. */
export class HeaderWriter {
  readonly bytes = new Uint8Array(headerSize);
  readonly #view = new DataView(this.bytes.buffer);

  constructor(codec: number) {
    this.bytes[0] = layoutVersion;
    this.bytes[2] = codec;
  }

  begin(startId: Uint8Array, epoch: number, commitLsn: Lsn): void {
    this.bytes.set(startId, 4);
    this.#view.setUint32(12, epoch);
    this.#view.setBigUint64(16, commitLsn);
  }

  change(op: Op, ordinal: number, version: SchemaVersion, flags: { readonly partial: boolean; readonly half: Half; readonly leftOut?: boolean }): void {
    this.bytes[1] = op.charCodeAt(0);
    this.bytes[3] =
      (flags.partial ? flagPartial : 0) |
      (flags.leftOut === true ? flagLeftOut : 0) |
      (flags.half === 'old' ? flagOldHalf : flags.half === 'new' ? flagNewHalf : 0);
    const view = this.#view;
    view.setUint32(24, Math.floor(ordinal / 0x1_0000_0000));
    view.setUint32(28, ordinal >>> 0);
    view.setUint32(32, version.epoch);
    view.setUint32(36, version.number);
  }
}

/** Reads headers in place; point it at a slice, then ask. */
export class HeaderReader {
  #view: DataView = new DataView(new ArrayBuffer(headerSize));
  #bytes: Uint8Array = new Uint8Array(headerSize);
  #at = 0;

  reset(slice: Slice): this {
    if (slice.end - slice.start !== headerSize || slice.bytes[slice.start] !== layoutVersion) {
      throw new TailraceError('log-damaged', 'a record has a header that this version of Tailrace cannot read');
    }
    if (slice.bytes !== this.#bytes) {
      this.#bytes = slice.bytes;
      this.#view = new DataView(slice.bytes.buffer, slice.bytes.byteOffset, slice.bytes.byteLength);
    }
    this.#at = slice.start;
    return this;
  }

  get op(): Op {
    const letter = this.#bytes[this.#at + 1] as number;
    const op = ops[letter];
    if (op === undefined) throw new TailraceError('log-damaged', `a record has the unknown op ${letter}`);
    return op;
  }

  get codec(): number {
    return this.#bytes[this.#at + 2] as number;
  }

  /** Whether the new image lacks columns. */
  get partial(): boolean {
    return ((this.#bytes[this.#at + 3] as number) & flagPartial) !== 0;
  }

  /** Whether the event's row was too large for the log: there is its key alone. */
  get leftOut(): boolean {
    return ((this.#bytes[this.#at + 3] as number) & flagLeftOut) !== 0;
  }

  get half(): Half {
    const flags = this.#bytes[this.#at + 3] as number;
    return flags & flagOldHalf ? 'old' : flags & flagNewHalf ? 'new' : 'whole';
  }

  /** Whether the record is of this START and transaction; compares bytes, makes nothing. */
  isOf(key: TransactionKey): boolean {
    const { high, low, startHigh, startLow } = key;
    const view = this.#view;
    const at = this.#at;
    return (
      view.getUint32(at + 20) === low &&
      view.getUint32(at + 16) === high &&
      view.getUint32(at + 4) === startHigh &&
      view.getUint32(at + 8) === startLow
    );
  }

  get startId(): string {
    return startIdText(this.#bytes.subarray(this.#at + 4, this.#at + 12));
  }

  get epoch(): number {
    return this.#view.getUint32(this.#at + 12);
  }

  get commitLsn(): Lsn {
    return this.#view.getBigUint64(this.#at + 16);
  }

  get ordinal(): number {
    return this.#view.getUint32(this.#at + 24) * 0x1_0000_0000 + this.#view.getUint32(this.#at + 28);
  }

  get schemaEpoch(): number {
    return this.#view.getUint32(this.#at + 32);
  }

  get schemaNumber(): number {
    return this.#view.getUint32(this.#at + 36);
  }
}

/** What `HeaderReader.isOf` compares, taken apart once a transaction and used again for the next. */
export class TransactionKey {
  startHigh = 0;
  startLow = 0;
  high = 0;
  low = 0;
  #startId = '';
  readonly #lsn = new DataView(new ArrayBuffer(8));

  set(startId: string, commitLsn: Lsn): this {
    if (startId !== this.#startId) {
      this.#startId = startId;
      this.startHigh = Number.parseInt(startId.slice(0, 8), 16);
      this.startLow = Number.parseInt(startId.slice(8, 16), 16);
    }
    this.#lsn.setBigUint64(0, commitLsn);
    this.high = this.#lsn.getUint32(0);
    this.low = this.#lsn.getUint32(4);
    return this;
  }
}

/** A START id is 8 random bytes, written as 16 hexadecimal digits. */
export function startIdText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

export function startIdBytes(text: string): Uint8Array {
  return Buffer.from(text, 'hex');
}

const ops: Partial<Record<number, Op>> = { 0x63: 'c', 0x75: 'u', 0x64: 'd', 0x72: 'r', 0x74: 't', 0x6d: 'm' };

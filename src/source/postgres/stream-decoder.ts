import type { OldKind, SourceItem } from '../../event/change.ts';
import type { TableShape } from '../../event/table.ts';
import { tupleEnd } from '../../event/tuple.ts';
import { FieldReader, readUint32, readUint64 } from './bytes.ts';
import { FrameReader } from './frame-reader.ts';
import { parseRelation, type Relation } from './relation.ts';
import { StreamedTransactions } from './transactions.ts';

/** Where the decoder stops because somebody else has to act before it can go on. */
export type Stop =
  | { readonly kind: 'relation'; readonly relation: Relation }
  /** ErrorResponse: its fields by their letter (the PostgreSQL manual, "Error and Notice Message Fields"). */
  | { readonly kind: 'error'; readonly fields: ReadonlyMap<string, string> }
  | { readonly kind: 'started' }
  | { readonly kind: 'ended' };

/** Microseconds from 1970 to 2000, where Postgres's clock begins. */
const epochOffset = 946_684_800_000_000n;

const noShape = Symbol('no shape');

/**
 * Bytes of a replication connection → items. Handles the backend's messages, the replication messages inside CopyData ('w'
 * XLogData, 'k' keepalive), and pgoutput version 1 inside those. Row images stay where they are; one object a row is all that
 * is made. Errors are `RangeError`: whatever does not look as the manual says cannot be decoded.
 */
export class StreamDecoder {
  readonly #frames = new FrameReader();
  /** By relid; null for a table that is not captured, whose rows count but are not yielded. */
  readonly #shapes = new Map<number, TableShape | null>();
  #lastRelid = -1;
  #lastShape: TableShape | null | typeof noShape = noShape;
  /** The relid of the Relation that no change has followed yet, and of the one right before it; else -1. */
  #described = -1;
  #describedBefore = -1;
  #ordinal = 0;
  #inTransaction = false;
  readonly streamed = new StreamedTransactions();
  /** A keepalive asked for an answer; whoever answers takes it back. */
  replyRequested = false;
  readonly #wantsMessage: (prefix: string) => boolean;

  /** `wantsMessage` says which logical messages are yielded, by prefix; all of them count. */
  constructor(wantsMessage: (prefix: string) => boolean = () => true) {
    this.#wantsMessage = wantsMessage;
  }

  push(chunk: Uint8Array): void {
    this.#frames.push(chunk);
  }

  setShape(relid: number, shape: TableShape | null): void {
    this.#shapes.set(relid, shape);
    this.#lastRelid = -1;
    this.#lastShape = noShape;
  }

  /** Appends what the pushed chunk holds; null when it is used up. */
  decode(items: SourceItem[]): Stop | null {
    const frames = this.#frames;
    while (frames.next()) {
      const { bytes, start, end } = frames;
      switch (frames.type) {
        case 0x64: { // d, CopyData
          const stop = this.#copyData(items, bytes, start, end);
          if (stop !== null) return stop;
          break;
        }
        case 0x57: // W, CopyBothResponse
          return { kind: 'started' };
        case 0x45: // E
          return { kind: 'error', fields: errorFields(new FieldReader(bytes, start, end)) };
        case 0x63: // c, CopyDone
        case 0x43: // C, CommandComplete
        case 0x5a: // Z, ReadyForQuery
          return { kind: 'ended' };
        case 0x4e: // N, notice
        case 0x53: // S, a parameter's value
        case 0x41: // A, notification
          break;
        default:
          throw new RangeError(`a message of type ${frames.type} while streaming`);
      }
    }
    return null;
  }

  #copyData(items: SourceItem[], bytes: Uint8Array, at: number, end: number): Stop | null {
    // XLogData: 'w', int64 start, int64 end, int64 time, then the output plugin's message.
    if (bytes[at] === 0x77 && end - at > 25) return this.#change(items, bytes, at + 25, end);
    if (bytes[at] === 0x6b && end - at === 18) {
      // Keepalive: 'k', int64 end of WAL, int64 time, byte whether to answer at once.
      items.push({ op: 'keepalive', walEnd: readUint64(bytes, at + 1) });
      if (bytes[at + 17] === 1) this.replyRequested = true;
      return null;
    }
    throw new RangeError(`a replication message of type ${bytes[at] ?? -1} and ${end - at} bytes`);
  }

  #change(items: SourceItem[], bytes: Uint8Array, at: number, end: number): Stop | null {
    switch (bytes[at]) {
      case 0x49: // I
        this.#insert(items, bytes, at, end);
        return null;
      case 0x55: // U
        this.#update(items, bytes, at, end);
        return null;
      case 0x44: // D
        this.#delete(items, bytes, at, end);
        return null;
      case 0x42: // B
        this.#begin(items, new FieldReader(bytes, at + 1, end));
        return null;
      case 0x43: // C
        this.#commit(items, new FieldReader(bytes, at + 1, end));
        return null;
      case 0x52: { // R
        const relation = parseRelation(bytes, at + 1, end);
        this.#describedBefore = this.#described;
        this.#described = relation.relid;
        return { kind: 'relation', relation };
      }
      case 0x54: // T
        this.#truncate(items, new FieldReader(bytes, at + 1, end));
        return null;
      case 0x4d: // M
        this.#message(items, new FieldReader(bytes, at + 1, end));
        return null;
      case 0x59: // Y, a type's name: the catalog is asked for more than that
      case 0x4f: // O, origin
        return null;
      default:
        throw new RangeError(`a pgoutput message of type ${bytes[at] ?? -1}`);
    }
  }

  // I, relid, 'N', tuple
  #insert(items: SourceItem[], bytes: Uint8Array, at: number, end: number): void {
    const ordinal = this.#count();
    const table = this.#tableOf(items, bytes, at);
    if (bytes[at + 5] !== 0x4e || end < at + 8) throw new RangeError('an Insert without a new tuple');
    if (table !== null) items.push({ op: 'c', table, ordinal, bytes, oldKind: 'none', oldAt: -1, newAt: at + 6, end });
  }

  // U, relid, optionally 'K' or 'O' and the old tuple, 'N', tuple
  #update(items: SourceItem[], bytes: Uint8Array, at: number, end: number): void {
    const ordinal = this.#count();
    const table = this.#tableOf(items, bytes, at);
    let newAt = at + 6;
    let oldAt = -1;
    let oldKind: OldKind = 'none';
    if (bytes[at + 5] !== 0x4e) {
      oldKind = oldKindOf(bytes[at + 5] as number);
      oldAt = newAt;
      newAt = tupleEnd(bytes, oldAt) + 1;
    }
    if (newAt + 2 > end || bytes[newAt - 1] !== 0x4e) throw new RangeError('an Update without a new tuple');
    if (table !== null) items.push({ op: 'u', table, ordinal, bytes, oldKind, oldAt, newAt, end });
  }

  // D, relid, 'K' or 'O', tuple
  #delete(items: SourceItem[], bytes: Uint8Array, at: number, end: number): void {
    const ordinal = this.#count();
    const table = this.#tableOf(items, bytes, at);
    const oldKind = oldKindOf(bytes[at + 5] as number);
    if (end < at + 8) throw new RangeError('a Delete without an old tuple');
    if (table !== null) items.push({ op: 'd', table, ordinal, bytes, oldKind, oldAt: at + 6, newAt: -1, end });
  }

  #begin(items: SourceItem[], fields: FieldReader): void {
    if (this.#inTransaction) throw new RangeError('a Begin inside a transaction');
    this.#inTransaction = true;
    this.#ordinal = 0;
    const [commitLsn, commitTime, xid] = [fields.uint64(), fields.uint64() + epochOffset, fields.uint32()];
    this.streamed.add(xid);
    items.push({ op: 'begin', commitLsn, commitTime, xid });
  }

  #commit(items: SourceItem[], fields: FieldReader): void {
    if (!this.#inTransaction) throw new RangeError('a Commit outside of a transaction');
    this.#inTransaction = false;
    fields.uint8();
    items.push({ op: 'commit', commitLsn: fields.uint64(), endLsn: fields.uint64(), commitTime: fields.uint64() + epochOffset });
  }

  #truncate(items: SourceItem[], fields: FieldReader): void {
    const ordinal = this.#count();
    this.#described = -1;
    const tables: TableShape[] = [];
    let left = fields.uint32();
    const options = fields.uint8();
    for (; left > 0; left--) {
      const table = this.#shape(fields.uint32());
      if (table !== null) tables.push(table);
    }
    if (tables.length > 0) items.push({ op: 't', tables, ordinal, cascade: (options & 1) !== 0, restartIdentity: (options & 2) !== 0 });
  }

  #message(items: SourceItem[], fields: FieldReader): void {
    // One outside of a transaction is sent at once, even when its transaction is rolled back later: never an event.
    if (fields.uint8() !== 1) return;
    const ordinal = this.#count();
    fields.uint64();
    const prefix = fields.string();
    if (this.#wantsMessage(prefix)) items.push({ op: 'm', prefix, content: fields.view(fields.uint32()), ordinal });
  }

  #count(): number {
    if (!this.#inTransaction) throw new RangeError('a change outside of a transaction');
    return this.#ordinal++;
  }

  /** Of a row's change. In front of a partition's rows the server describes the table that they are published as, then the partition. */
  #tableOf(items: SourceItem[], bytes: Uint8Array, at: number): TableShape | null {
    const relid = readUint32(bytes, at + 1);
    const table = this.#shape(relid);
    if (this.#described !== -1) {
      if (table !== null && this.#described !== relid && this.#describedBefore === relid) items.push({ op: 'partition', table, partition: String(this.#described) });
      this.#described = -1;
    }
    return table;
  }

  #shape(relid: number): TableShape | null {
    if (relid !== this.#lastRelid || this.#lastShape === noShape) {
      const shape = this.#shapes.get(relid);
      if (shape === undefined) throw new RangeError(`a change of relation ${relid}, which was not described before`);
      this.#lastRelid = relid;
      this.#lastShape = shape;
    }
    return this.#lastShape;
  }
}

function oldKindOf(letter: number): OldKind {
  if (letter === 0x4b) return 'key';
  if (letter === 0x4f) return 'full';
  throw new RangeError(`an old tuple of kind ${letter}`);
}

function errorFields(fields: FieldReader): Map<string, string> {
  const found = new Map<string, string>();
  for (let letter = fields.uint8(); letter !== 0; letter = fields.uint8()) found.set(String.fromCharCode(letter), fields.string());
  return found;
}

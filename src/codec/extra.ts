import { isUtf8 } from 'node:buffer';
import { TupleReader } from '../event/tuple.ts';
import type { Slice } from '../runtime/slice.ts';
import { ByteWriter } from './byte-writer.ts';
import { JsonReader } from './json-reader.ts';
import { type JsonRowPlan, readAbsent, readImage, writeAbsent, writeImage } from './json-row.ts';
import { unescapeJson, writeJsonString } from './json-text.ts';
import { maxColumns } from './tuple-spans.ts';

/**
 * What an envelope cannot say, as a JSON object in the record's `extra` (docs/formats.md); left out when that is nothing:
 * - `absent`, `absentBefore`: names of columns that `after` or `before` lack because Postgres did not send them
 * - `exact`, `exactBefore`: Postgres's own text of values that the envelope's type for their column cannot say; null stands there
 * - `old: "key"`: `before` is the old key, and null elsewhere says nothing; without it `before` is the whole old row
 * - `before`: the old image of a key change, whose record is a create to the foreign eye (op `c`, `before` null)
 */
export class ExtraWriter {
  readonly #writer = new ByteWriter();

  reset(): void {
    this.#writer.reset();
  }

  absent(member: 'absent' | 'absentBefore', plan: JsonRowPlan, bytes: Uint8Array, at: number): void {
    this.#member(member);
    writeAbsent(this.#writer, plan, bytes, at);
  }

  /** The texts of these columns of the tuple at `at`, in column order. */
  exact(member: 'exact' | 'exactBefore', columns: readonly number[], plan: JsonRowPlan, { bytes, at }: { readonly bytes: Uint8Array; readonly at: number }): void {
    this.#member(member);
    const writer = this.#writer;
    const tuple = new TupleReader().reset(bytes, at);
    let first = true;
    writer.byte(0x7b);
    while (tuple.next()) {
      if (!columns.includes(tuple.index)) continue;
      if (!first) writer.byte(0x2c);
      first = false;
      writer.append(plan.members[tuple.index] as Uint8Array);
      writeJsonString(writer, bytes, tuple.start, tuple.end);
    }
    writer.byte(0x7d);
  }

  oldIsKey(): void {
    this.#member('old');
    this.#writer.ascii('"key"');
  }

  before(plan: JsonRowPlan, bytes: Uint8Array, at: number): void {
    this.#member('before');
    writeImage(this.#writer, plan, bytes, at);
  }

  flag(member: 'cascade' | 'restartIdentity'): void {
    this.#member(member);
    this.#writer.ascii('true');
  }

  finish(out: Slice): void {
    const writer = this.#writer;
    out.start = out.end = -1;
    if (writer.length === 0) return;
    writer.byte(0x7d);
    out.bytes = writer.bytes;
    out.start = 0;
    out.end = writer.length;
  }

  #member(name: string): void {
    this.#writer.byte(this.#writer.length === 0 ? 0x7b : 0x2c);
    this.#writer.ascii(`"${name}":`);
  }
}

/** What `extra` says of one image's columns. */
export interface ImageNotes {
  /** A flag a column. */
  readonly absent: Uint8Array;
  /** By column; the envelope has null there. */
  readonly exact: Map<number, Uint8Array>;
}

export interface Extra {
  readonly after: ImageNotes;
  readonly before: ImageNotes;
  oldIsKey: boolean;
  /** Where the old image of a key change stands as a tuple; -1 for none. */
  beforeAt: number;
}

const encoder = new TextEncoder();
const names = Object.fromEntries(['absent', 'absentBefore', 'exact', 'exactBefore', 'before', 'old', 'key'].map((name) => [name, encoder.encode(name)]));

/** Reads what `ExtraWriter` wrote; reused for many records. */
export class ExtraReader {
  readonly #reader = new JsonReader();
  readonly #extra: Extra = { after: newNotes(), before: newNotes(), oldIsKey: false, beforeAt: -1 };

  /** Writes the old image of a key change, if there is one, into `writer`. Throws a `SyntaxError`. */
  read({ bytes, start, end }: Slice, plan: JsonRowPlan, writer: ByteWriter): Extra {
    const extra = this.#extra;
    for (const notes of [extra.after, extra.before]) {
      notes.absent.fill(0, 0, plan.names.length);
      if (notes.exact.size > 0) notes.exact.clear();
    }
    extra.oldIsKey = false;
    extra.beforeAt = -1;
    if (start < 0) return extra;
    if (!isUtf8(bytes.subarray(start, end))) throw new SyntaxError('no text');
    const reader = this.#reader.reset(bytes, start, end);
    reader.take(0x7b);
    for (let first = true; reader.member(first); first = false) this.#member(plan, writer);
    reader.finish();
    return extra;
  }

  #member(plan: JsonRowPlan, writer: ByteWriter): void {
    const reader = this.#reader;
    const extra = this.#extra;
    const is = (name: string): boolean => reader.is(names[name] as Uint8Array);
    if (is('absent')) readAbsent(reader, plan, extra.after.absent);
    else if (is('absentBefore')) readAbsent(reader, plan, extra.before.absent);
    else if (is('exact')) this.#exact(plan, extra.after.exact);
    else if (is('exactBefore')) this.#exact(plan, extra.before.exact);
    else if (is('before')) {
      if (extra.beforeAt >= 0) throw new SyntaxError('an old image stands there twice');
      extra.beforeAt = writer.length;
      readImage(reader, plan, extra.before, writer);
    } else if (is('old')) {
      reader.string();
      if (!is('key')) throw new SyntaxError('an old image of an unknown kind');
      extra.oldIsKey = true;
    } else throw new SyntaxError('an unknown member of extra');
  }

  #exact(plan: JsonRowPlan, texts: Map<number, Uint8Array>): void {
    const reader = this.#reader;
    const text = new ByteWriter();
    reader.take(0x7b);
    for (let first = true; reader.member(first); first = false) {
      const column = plan.names.findIndex((name) => reader.is(name));
      if (column < 0) throw new SyntaxError('a column that the table does not have');
      reader.string();
      text.reset();
      unescapeJson(text, reader.bytes, reader.start, reader.end);
      texts.set(column, new Uint8Array(text.bytes.subarray(0, text.length)));
    }
  }
}

function newNotes(): ImageNotes {
  return { absent: new Uint8Array(maxColumns), exact: new Map() };
}

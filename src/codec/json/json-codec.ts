import { isUtf8 } from 'node:buffer';
import type { MessageChange, OldKind, RowChange, TruncateChange } from '../../event/change.ts';
import { type TableSchema, tableName } from '../../event/table.ts';
import { KIND_NULL } from '../../event/tuple.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Slice } from '../../runtime/slice.ts';
import { ByteWriter } from '../byte-writer.ts';
import type { Codec, Encoded, EncodeContext, EncodedRow } from '../codec.ts';
import { rowName, throwDamaged } from '../damaged.ts';
import { ExtraWriter } from '../extra.ts';
import { type JsonRowPlan, planJsonRow, planTypedRow, writeColumn, writeImage } from '../json-row.ts';
import { literals } from '../json-text.ts';
import { KeyColumns } from '../key-columns.ts';
import { EnvelopeWriter } from './envelope.ts';
import { readJsonMessage, readJsonRow } from './json-decode.ts';
import { type Image, SchemaWriter } from './schema-writer.ts';

const encoder = new TextEncoder();
const beginning = encoder.encode('{"before":');
const between = encoder.encode(',"after":');
const noTable = { schema: '', name: '' };

/**
 * Debezium's change event envelope for Postgres (Debezium 3, Postgres connector, "Change event values"):
 * `{before, after, source, op, ts_ms, ts_us, ts_ns, transaction}`, key `{"id":1}`. docs/formats.md says how each type stands.
 * What the envelope cannot say stands in `extra` (extra.ts). With schemas each key and value carries its own (schema-writer.ts);
 * records of either kind are read, because a pipeline may have been told otherwise before.
 */
export class JsonCodec implements Codec {
  readonly name = 'json';
  readonly id = 2;
  readonly tombstones = true;
  readonly wholeAfter = true;
  readonly #key = new ByteWriter();
  readonly #value = new ByteWriter();
  readonly #extra = new ExtraWriter();
  readonly #columns = new KeyColumns();
  readonly #envelope = new EnvelopeWriter();
  readonly #plans = new WeakMap<TableSchema, { readonly written: JsonRowPlan; readonly read: JsonRowPlan }>();
  readonly #schemas: SchemaWriter | undefined;
  readonly #slice: Slice = { bytes: new Uint8Array(0), start: 0, end: 0 };
  /** How many columns the images lack that were written last. */
  readonly #absent = { before: 0, after: 0 };
  /** Where the images of the value stand that was written last. */
  readonly #images: { before: Image; after: Image } = { before: undefined, after: undefined };

  constructor({ schemas }: { readonly schemas: boolean }) {
    this.#schemas = schemas ? new SchemaWriter() : undefined;
  }

  encodeRow(change: RowChange, table: TableSchema, context: EncodeContext, out: Encoded): void {
    const plan = this.#plan(table).written;
    this.#columns.reset(change);
    this.#encodeKey(plan, change.op === 'd' ? 'old' : 'new', context, out);
    const keyChange = change.op === 'u' && this.#columns.changed();
    const before = keyChange ? -1 : change.oldAt;
    this.#encodeImages(plan, change.bytes, before, change.newAt);
    this.#envelope.write(this.#value, context, table, keyChange ? { op: 'c', ordinal: change.ordinal } : change);

    const extra = this.#extra;
    extra.reset();
    if (this.#absent.after > 0) extra.absent('absent', plan, change.bytes, change.newAt);
    if (change.oldKind === 'key') extra.oldIsKey();
    if (this.#absent.before > 0) extra.absent('absentBefore', plan, change.bytes, change.oldAt);
    if (keyChange) extra.before(plan, change.bytes, change.oldAt);
    this.#finish(out, plan, context);
  }

  encodeOldHalf(change: RowChange, table: TableSchema, context: EncodeContext, out: Encoded): void {
    const plan = this.#plan(table).written;
    this.#columns.reset(change);
    this.#encodeKey(plan, 'old', context, out);
    this.#encodeImages(plan, change.bytes, change.oldAt, -1);
    this.#envelope.write(this.#value, context, table, { op: 'd', ordinal: change.ordinal });
    this.#extra.reset();
    if (change.oldKind === 'key') this.#extra.oldIsKey();
    this.#finish(out, plan, context);
  }

  encodeTruncate(change: TruncateChange<TableSchema>, table: TableSchema, context: EncodeContext, out: Encoded): void {
    out.key.start = out.key.end = -1;
    const value = this.#value;
    value.reset();
    value.byte(0x7b);
    this.#images.before = this.#images.after = undefined;
    this.#envelope.write(value, context, table, change);
    this.#extra.reset();
    if (change.cascade) this.#extra.flag('cascade');
    if (change.restartIdentity) this.#extra.flag('restartIdentity');
    this.#finish(out, this.#plan(table).written, context);
  }

  encodeMessage(change: MessageChange, _table: TableSchema, context: EncodeContext, out: Encoded): void {
    const prefix = JSON.stringify(change.prefix);
    const key = this.#key;
    key.reset();
    key.utf8(`{"prefix":${prefix}}`);
    point(out.key, this.#schemas?.message('key', key) ?? key);
    const value = this.#value;
    value.reset();
    value.utf8(`{"message":{"prefix":${prefix},"content":"${Buffer.from(change.content).toString('base64')}"},`);
    this.#envelope.write(value, context, noTable, change);
    this.#extra.reset();
    this.#extra.finish(out.extra);
    point(out.value, this.#schemas?.message('value', value) ?? value);
  }

  decodeRow(record: EncodedRow, table: TableSchema): RowChange<TableSchema> {
    const value = this.#value;
    try {
      const { oldAt, newAt, oldKey } = readJsonRow(record, this.#plan(table).read, value);
      const oldKind: OldKind = oldAt < 0 ? 'none' : oldKey ? 'key' : 'full';
      const bytes = new Uint8Array(value.bytes.subarray(0, value.length));
      return { op: record.op, table, ordinal: record.ordinal, bytes, oldKind, oldAt, newAt, end: bytes.length };
    } catch (error) {
      throwDamaged(error, rowName(record, table));
    }
  }

  decodeMessage(value: Slice, ordinal: number): MessageChange {
    try {
      return { op: 'm', ...readJsonMessage(value), ordinal };
    } catch (error) {
      throwDamaged(error, `a logical message (ordinal ${ordinal})`);
    }
  }

  #plan(table: TableSchema): { readonly written: JsonRowPlan; readonly read: JsonRowPlan } {
    const known = this.#plans.get(table);
    if (known !== undefined) return known;
    const read = planTypedRow(table);
    const plans = { written: this.#schemas === undefined ? planJsonRow(table) : read, read };
    this.#plans.set(table, plans);
    return plans;
  }

  #encodeKey(plan: JsonRowPlan, half: 'old' | 'new', { pipeline }: EncodeContext, out: Encoded): void {
    const { key } = plan.table;
    if (key.length === 0) {
      out.key.start = out.key.end = -1;
      return;
    }
    const writer = this.#key;
    writer.reset();
    const value = this.#slice;
    for (let i = 0; i < key.length; i++) {
      const index = key[i] as number;
      const image = this.#columns.find(index, half);
      writer.byte(i === 0 ? 0x7b : 0x2c);
      writer.append(plan.members[index] as Uint8Array);
      if (image.kinds[index] === KIND_NULL) {
        writer.odd++;
        writer.append(literals.null);
        continue;
      }
      value.bytes = image.bytes;
      value.start = image.starts[index] as number;
      value.end = image.ends[index] as number;
      writeColumn(writer, plan, index, value);
    }
    writer.byte(0x7d);
    point(out.key, this.#schemas?.key(plan, pipeline, writer) ?? writer);
  }

  /** Begins the envelope: what stands before `source`. */
  #encodeImages(plan: JsonRowPlan, bytes: Uint8Array, before: number, after: number): void {
    const value = this.#value;
    value.reset();
    value.append(beginning);
    this.#absent.before = this.#image(plan, 'before', bytes, before);
    value.append(between);
    this.#absent.after = this.#image(plan, 'after', bytes, after);
    value.byte(0x2c);
  }

  /** Returns how many columns it lacks. */
  #image(plan: JsonRowPlan, which: 'before' | 'after', bytes: Uint8Array, at: number): number {
    const value = this.#value;
    this.#images[which] = undefined;
    if (at < 0) {
      value.append(literals.null);
      return 0;
    }
    const start = value.length;
    const absent = writeImage(value, plan, bytes, at);
    if (this.#schemas !== undefined) this.#images[which] = { start, end: value.length };
    return absent;
  }

  #finish(out: Encoded, plan: JsonRowPlan, { pipeline }: EncodeContext): void {
    const value = this.#value;
    // A database in SQL_ASCII can hold bytes that no JSON can; nobody could read them back.
    if (value.notAscii !== 0 && !isUtf8(value.bytes.subarray(0, value.length)))
      throw new TailraceError('source-unreadable', `a value of ${tableName(plan.table)} is not UTF-8, which JSON has to be`);
    this.#extra.finish(out.extra);
    point(out.value, this.#schemas?.row(plan, pipeline, value, this.#images) ?? value);
  }
}

function point(out: Slice, writer: ByteWriter): void {
  out.bytes = writer.bytes;
  out.start = 0;
  out.end = writer.length;
}

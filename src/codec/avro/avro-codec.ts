import { isUtf8 } from 'node:buffer';
import type { MessageChange, OldKind, RowChange, TruncateChange } from '../../event/change.ts';
import { noTable, type RegisteredSchema, type TableSchema, tableName, type TableShape } from '../../event/table.ts';
import { KIND_NULL } from '../../event/tuple.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Finding } from '../../runtime/finding.ts';
import type { Slice } from '../../runtime/slice.ts';
import { ByteWriter } from '../byte-writer.ts';
import type { Codec, Encoded, EncodeContext, EncodedRow } from '../codec.ts';
import { rowName, throwDamaged } from '../damaged.ts';
import { ExtraWriter } from '../extra.ts';
import { KeyColumns } from '../key-columns.ts';
import { writeLong, writeUtf8 } from './avro-bytes.ts';
import { AvroEnvelopeWriter, NULL, PRESENT } from './avro-envelope.ts';
import { readAvroMessage, readAvroRow, writeAvroImage } from './avro-image.ts';
import { writeAvroKey } from './avro-key.ts';
import { type AvroPlan, messageIds, planAvro } from './avro-plan.ts';
import { type AvroTypes, keySchema, messageSchemas, valueSchema } from './avro-schema.ts';
import type { SchemaRegistrar } from './registrar.ts';

/**
 * Debezium's envelope in Avro, in the Confluent wire format: a zero byte, the schema's id in four bytes, the record. The schemas
 * are avro-schema.ts's; what their types cannot say stands in `extra` (extra.ts), as texts.
 */
export class AvroCodec implements Codec {
  readonly name = 'avro';
  readonly id = 3;
  readonly tombstones = true;
  readonly wholeAfter = true;
  readonly #registrar: SchemaRegistrar;
  readonly #types: AvroTypes;
  readonly #key = new ByteWriter();
  readonly #value = new ByteWriter();
  readonly #extra = new ExtraWriter();
  readonly #columns = new KeyColumns();
  readonly #envelope = new AvroEnvelopeWriter();
  readonly #plans = new WeakMap<TableSchema, AvroPlan>();

  constructor(registrar: SchemaRegistrar, types: AvroTypes) {
    this.#registrar = registrar;
    this.#types = types;
  }

  async prepare(table: TableShape, topic: string, known: readonly RegisteredSchema[]): Promise<readonly RegisteredSchema[]> {
    const { key, value } = table === noTable ? messageSchemas(topic) : { key: keySchema(table, topic, this.#types), value: valueSchema(table, topic, this.#types) };
    // The value first: it is the one that a registry may refuse.
    const wanted = [{ subject: `${topic}-value`, schema: JSON.stringify(value) }, ...(key === undefined ? [] : [{ subject: `${topic}-key`, schema: JSON.stringify(key) }])];
    const registered: RegisteredSchema[] = [];
    for (const each of wanted) registered.push(await this.#registrar.register(each, [...known, ...registered]));
    return registered;
  }

  check(): Promise<readonly Finding[]> {
    return this.#registrar.check();
  }

  encodeRow(change: RowChange, table: TableSchema, context: EncodeContext, out: Encoded): void {
    const plan = this.#plan(table);
    this.#columns.reset(change);
    this.#encodeKey(plan, change.op === 'd' ? 'old' : 'new', out);
    const keyChange = change.op === 'u' && this.#columns.changed();
    const extra = this.#extra;
    extra.reset();
    this.#begin(plan);
    this.#image(plan, change, 'before', keyChange ? -1 : change.oldAt);
    this.#image(plan, change, 'after', change.newAt);
    this.#envelope.write(this.#value, context, table, { op: keyChange ? 'c' : change.op, ordinal: change.ordinal });
    if (change.oldKind === 'key') extra.oldIsKey();
    if (keyChange) extra.before(plan.texts, change.bytes, change.oldAt);
    this.#finish(out);
  }

  encodeOldHalf(change: RowChange, table: TableSchema, context: EncodeContext, out: Encoded): void {
    const plan = this.#plan(table);
    this.#columns.reset(change);
    this.#encodeKey(plan, 'old', out);
    this.#extra.reset();
    this.#begin(plan);
    this.#image(plan, change, 'before', change.oldAt);
    this.#image(plan, change, 'after', -1);
    this.#envelope.write(this.#value, context, table, { op: 'd', ordinal: change.ordinal });
    if (change.oldKind === 'key') this.#extra.oldIsKey();
    this.#finish(out);
  }

  encodeTruncate(change: TruncateChange<TableSchema>, table: TableSchema, context: EncodeContext, out: Encoded): void {
    out.key.start = out.key.end = -1;
    this.#extra.reset();
    this.#begin(this.#plan(table));
    this.#value.byte(NULL);
    this.#value.byte(NULL);
    this.#envelope.write(this.#value, context, table, change);
    if (change.cascade) this.#extra.flag('cascade');
    if (change.restartIdentity) this.#extra.flag('restartIdentity');
    this.#finish(out);
  }

  encodeMessage(change: MessageChange, table: TableSchema, context: EncodeContext, out: Encoded): void {
    const { key, value } = messageIds(table);
    this.#key.reset();
    writeId(this.#key, key);
    this.#key.byte(PRESENT);
    writeUtf8(this.#key, change.prefix);
    point(out.key, this.#key);
    this.#extra.reset();
    const writer = this.#value;
    writer.reset();
    writeId(writer, value);
    writer.byte(PRESENT);
    writeUtf8(writer, change.prefix);
    writer.byte(PRESENT);
    writeLong(writer, change.content.length);
    writer.append(change.content);
    this.#envelope.write(writer, context, table, change);
    this.#finish(out);
  }

  decodeRow(record: EncodedRow, table: TableSchema): RowChange<TableSchema> {
    const value = this.#value;
    try {
      const { oldAt, newAt, oldIsKey } = readAvroRow(record, this.#plan(table), value);
      const oldKind: OldKind = oldAt < 0 ? 'none' : oldIsKey ? 'key' : 'full';
      const bytes = new Uint8Array(value.bytes.subarray(0, value.length));
      return { op: record.op, table, ordinal: record.ordinal, bytes, oldKind, oldAt, newAt, end: bytes.length };
    } catch (error) {
      throwDamaged(error, rowName(record, table));
    }
  }

  decodeMessage(value: Slice, ordinal: number): MessageChange {
    try {
      return { op: 'm', ...readAvroMessage(value), ordinal };
    } catch (error) {
      throwDamaged(error, `a logical message (ordinal ${ordinal})`);
    }
  }

  #plan(table: TableSchema): AvroPlan {
    let plan = this.#plans.get(table);
    if (plan === undefined) this.#plans.set(table, (plan = planAvro(table)));
    return plan;
  }

  #begin(plan: AvroPlan): void {
    this.#value.reset();
    writeId(this.#value, plan.valueId);
  }

  #encodeKey(plan: AvroPlan, half: 'old' | 'new', out: Encoded): void {
    if (plan.key.length === 0) {
      out.key.start = out.key.end = -1;
      return;
    }
    const writer = this.#key;
    writer.reset();
    writeId(writer, plan.keyId);
    for (const { column, form, nullable } of plan.key) {
      const image = this.#columns.find(column, half);
      const isNull = image.kinds[column] === KIND_NULL;
      if (nullable) writer.byte(isNull ? NULL : PRESENT);
      if (nullable && isNull) continue;
      const text = { bytes: image.bytes, start: image.starts[column] as number, end: image.ends[column] as number };
      if (isNull || !writeAvroKey(writer, form, text)) throw unreadable(plan, column);
    }
    point(out.key, writer);
  }

  #image(plan: AvroPlan, { bytes }: RowChange, member: 'before' | 'after', at: number): void {
    if (at < 0) return this.#value.byte(NULL);
    const { absent, unsaid } = writeAvroImage(this.#value, plan, bytes, at);
    if (absent > 0) this.#extra.absent(member === 'after' ? 'absent' : 'absentBefore', plan.texts, bytes, at);
    if (unsaid.length === 0) return;
    this.#extra.exact(member === 'after' ? 'exact' : 'exactBefore', unsaid, plan.texts, { bytes, at });
  }

  #finish(out: Encoded): void {
    point(out.value, this.#value);
    this.#extra.finish(out.extra);
    const { bytes, start, end } = out.extra;
    // A database in SQL_ASCII can hold bytes that no JSON can; nobody could read them back.
    if (start >= 0 && !isUtf8(bytes.subarray(start, end))) throw new TailraceError('source-unreadable', 'a value is not UTF-8, which a text has to be');
  }
}

function unreadable({ table }: AvroPlan, column: number): TailraceError {
  return new TailraceError('source-unreadable', `a value of ${tableName(table)}.${table.columns[column]?.name} is NULL in a key, or not in the form that the session's settings ask for`);
}

/** The Confluent wire format: a zero byte, and the id. */
function writeId(writer: ByteWriter, id: number): void {
  writer.byte(0);
  writer.uint32(id);
}

function point(out: Slice, writer: ByteWriter): void {
  out.bytes = writer.bytes;
  out.start = 0;
  out.end = writer.length;
}

import type { Column, TableSchema } from '../../event/table.ts';
import type { Slice } from '../../runtime/slice.ts';
import { ByteWriter } from '../byte-writer.ts';
import { JsonReader } from '../json-reader.ts';
import type { JsonForm } from '../json-value.ts';
import type { JsonRowPlan } from '../json-row.ts';
import { connectField, connectTypeOf } from './connect-types.ts';
import { envelopeEnd, messageKeySchema, messageSchema, sourceAndBehind } from './envelope-schema.ts';

/** What is worked out once a table. */
interface SchemaPlan {
  /** Names as JSON strings. */
  readonly names: Readonly<Record<'Key' | 'Value' | 'Envelope', string>>;
  readonly columns: readonly number[];
  readonly required: readonly Uint8Array[];
  readonly optional: readonly Uint8Array[];
  /** What stands in front of a payload without odd values (byte-writer.ts), by which images it has; made with the first that is met. */
  readonly usual: (Uint8Array | undefined)[];
}

/** Among `usual`. */
const ofKey = 0;

/** An image that stands in a payload as an object; undefined where null stands. */
export type Image = Pick<Slice, 'start' | 'end'> | undefined;

/**
 * Puts a payload into the envelope of Kafka Connect's JsonConverter, `{"schema":…,"payload":…}`. The schema is that of the very
 * record, made from what stands in its payload: a column that is absent is no field; a field may be null where it is; and a value
 * that its type cannot say, which stands as a text, is a string. So no reader is told of a value what is not so.
 */
export class SchemaWriter {
  readonly #written = { key: new ByteWriter(), value: new ByteWriter() };
  #writer = this.#written.key;
  readonly #reader = new JsonReader();
  readonly #plans = new WeakMap<TableSchema, SchemaPlan>();

  /** What it returns is good until the next key; what `row` returns until the next row or message. */
  key(plan: JsonRowPlan, pipeline: string, payload: ByteWriter): ByteWriter {
    const { names, usual } = this.#plan(plan.table, pipeline);
    if (payload.odd === 0 && usual[ofKey] !== undefined) return this.#known('key', usual[ofKey], payload);
    const writer = this.#begin('key', '{"type":"struct","fields":[');
    this.#fields(plan, plan.table.key, { bytes: payload.bytes, start: 0, end: payload.length }, 'key');
    writer.utf8(`],"optional":false,"name":${names.Key}}`);
    return this.#end(payload, payload.odd === 0 ? { usual, at: ofKey } : undefined);
  }

  row(plan: JsonRowPlan, pipeline: string, payload: ByteWriter, { before, after }: { readonly before: Image; readonly after: Image }): ByteWriter {
    const { names, usual } = this.#plan(plan.table, pipeline);
    const at = ofKey + 1 + (before === undefined ? 0 : 1) + (after === undefined ? 0 : 2);
    if (payload.odd === 0 && usual[at] !== undefined) return this.#known('value', usual[at], payload);
    const writer = this.#begin('value', '{"type":"struct","fields":[');
    for (const [field, image] of [['before', before], ['after', after]] as const) {
      writer.ascii('{"type":"struct","fields":[');
      this.#image(plan, payload, image);
      writer.utf8(`],"optional":true,"name":${names.Value},"field":"${field}"},`);
    }
    writer.ascii(sourceAndBehind);
    writer.utf8(`${envelopeEnd}${names.Envelope},"version":2}`);
    return this.#end(payload, payload.odd === 0 ? { usual, at } : undefined);
  }

  message(which: 'key' | 'value', payload: ByteWriter): ByteWriter {
    this.#begin(which, which === 'key' ? messageKeySchema : messageSchema);
    return this.#end(payload);
  }

  #begin(which: 'key' | 'value', schema: string): ByteWriter {
    const writer = (this.#writer = this.#written[which]);
    writer.reset();
    writer.ascii(`{"schema":${schema}`);
    return writer;
  }

  #known(which: 'key' | 'value', front: Uint8Array, payload: ByteWriter): ByteWriter {
    const writer = (this.#writer = this.#written[which]);
    writer.reset();
    writer.append(front);
    writer.copy(payload.bytes, 0, payload.length);
    writer.byte(0x7d);
    return writer;
  }

  /** `known`: what has been written is good for others, too. */
  #end(payload: ByteWriter, known?: { readonly usual: SchemaPlan['usual']; readonly at: number }): ByteWriter {
    const writer = this.#writer;
    writer.ascii(',"payload":');
    if (known !== undefined) known.usual[known.at] = new Uint8Array(writer.bytes.subarray(0, writer.length));
    writer.copy(payload.bytes, 0, payload.length);
    writer.byte(0x7d);
    return writer;
  }

  #image(plan: JsonRowPlan, { bytes }: ByteWriter, image: Image): void {
    const { columns, required, optional } = this.#plans.get(plan.table) as SchemaPlan;
    if (image !== undefined) return this.#fields(plan, columns, { bytes, ...image }, 'image');
    for (const column of columns) this.#field(column > 0, ((plan.table.columns[column] as Column).notNull ? required : optional)[column] as Uint8Array);
  }

  /** The fields of an object whose members are columns, in the order of `columns`; some may be missing. */
  #fields(plan: JsonRowPlan, columns: readonly number[], object: Slice, of: 'key' | 'image'): void {
    const { required, optional } = this.#plans.get(plan.table) as SchemaPlan;
    const reader = this.#reader.reset(object.bytes, object.start, object.end);
    let at = 0;
    reader.take(0x7b);
    for (let first = true; reader.member(first); first = false) {
      while (!reader.is(plan.names[columns[at] as number] as Uint8Array)) at++;
      const index = columns[at] as number;
      const column = plan.table.columns[index] as Column;
      reader.scalar();
      const mayBeNull = reader.type === 'null' || (of === 'image' && !column.notNull);
      if (isPlainText(reader, plan.forms[index] as JsonForm)) this.#field(!first, Buffer.from(connectField(column.name, { type: 'string' }, mayBeNull)));
      else this.#field(!first, (mayBeNull ? optional : required)[index] as Uint8Array);
    }
  }

  #field(comma: boolean, field: Uint8Array): void {
    if (comma) this.#writer.byte(0x2c);
    this.#writer.append(field);
  }

  #plan(table: TableSchema, pipeline: string): SchemaPlan {
    const known = this.#plans.get(table);
    if (known !== undefined) return known;
    const topic = `${pipeline}.${table.schema}.${table.name}`;
    const fields = (optional: boolean): Uint8Array[] => table.columns.map((column) => Buffer.from(connectField(column.name, connectTypeOf(column), optional)));
    const plan: SchemaPlan = {
      names: { Key: JSON.stringify(`${topic}.Key`), Value: JSON.stringify(`${topic}.Value`), Envelope: JSON.stringify(`${topic}.Envelope`) },
      columns: table.columns.map((_, i) => i), required: fields(false), optional: fields(true), usual: [],
    };
    this.#plans.set(table, plan);
    return plan;
  }
}

/** Whether the reader's token is Postgres's text in the place of what the form has (`"NaN"`, `"infinity"`). */
function isPlainText({ type, bytes, end }: JsonReader, form: JsonForm): boolean {
  if (type !== 'string' || form === 'text' || form === 'base64') return false;
  return form !== 'zoned' || bytes[end - 1] !== 0x5a;
}

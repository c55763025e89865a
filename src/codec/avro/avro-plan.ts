import { type RegisteredSchema, type TableSchema, tableName } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { type JsonRowPlan, planJsonTexts } from '../json-row.ts';
import type { AvroSchema } from './avro-schema.ts';
import { type AvroForm, formOf } from './avro-value.ts';

/** What is worked out once a version of a table. */
export interface AvroPlan {
  readonly table: TableSchema;
  readonly valueId: number;
  /** The form of each column in `before` and `after`. */
  readonly forms: readonly AvroForm[];
  readonly keyId: number;
  /** In key order. */
  readonly key: readonly { readonly column: number; readonly form: AvroForm; readonly nullable: boolean }[];
  /** For the header, where every value is a text. */
  readonly texts: JsonRowPlan;
}

/** From what was registered, not from what this version of Tailrace would register: so every record can be read for good. */
export function planAvro(table: TableSchema): AvroPlan {
  const value = schemaOf(table, 'value');
  const forms = fieldsOf(branch(fieldsOf(value.type)[0]?.type)).map(({ type }) => formOf(branch(type)));
  const key = table.key.length === 0 ? undefined : schemaOf(table, 'key');
  const keyForms = key === undefined ? [] : fieldsOf(key.type).map(({ type }) => ({ form: formOf(branch(type)), nullable: Array.isArray(type) }));
  if (forms.length !== table.columns.length || keyForms.length !== table.key.length || forms.includes(undefined) || keyForms.some(({ form }) => form === undefined)) {
    throw new TailraceError('log-damaged', `the Avro schemas of ${tableName(table)} (ids ${value.id} and ${key?.id ?? 'none'}) are not those of its columns`);
  }
  return {
    table,
    valueId: value.id,
    forms: forms as readonly AvroForm[],
    keyId: key?.id ?? 0,
    key: keyForms.map(({ form, nullable }, i) => ({ column: table.key[i] as number, form: form as AvroForm, nullable })),
    texts: planJsonTexts(table),
  };
}

/** Of logical messages, whose schemas never change. */
export function messageIds(table: TableSchema): { readonly key: number; readonly value: number } {
  return { key: idOf(table, 'key').id, value: idOf(table, 'value').id };
}

interface Field {
  readonly name: string;
  readonly type: AvroSchema;
}

function schemaOf(table: TableSchema, which: 'key' | 'value'): { readonly id: number; readonly type: AvroSchema } {
  const { id, schema } = idOf(table, which);
  return { id, type: JSON.parse(schema) as AvroSchema };
}

function idOf(table: TableSchema, which: 'key' | 'value'): RegisteredSchema {
  const registered = table.registered?.find((each) => each.subject.endsWith(`-${which}`));
  if (registered === undefined) throw new TailraceError('log-damaged', `the log holds no Avro schema for ${which}s of ${tableName(table)}`);
  return registered;
}

/** The type beside null in a union, or the type itself. */
function branch(type: AvroSchema | undefined): AvroSchema | undefined {
  return Array.isArray(type) ? (type as readonly AvroSchema[]).find((each) => each !== 'null') : type;
}

function fieldsOf(type: AvroSchema | undefined): readonly Field[] {
  return ((type as { fields?: readonly Field[] } | undefined)?.fields ?? []);
}


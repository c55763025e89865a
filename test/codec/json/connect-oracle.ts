import assert from 'node:assert/strict';

/** A schema as Kafka Connect's JsonConverter reads it. */
export interface ConnectSchema {
  readonly type: string;
  readonly optional?: boolean;
  readonly name?: string;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly field?: string;
  readonly fields?: readonly ConnectSchema[];
}

/** A number as its digits, which no double has touched. */
class Digits {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Payload = null | boolean | string | Digits | { readonly [member: string]: Payload };

/** The text of a record's key or value as its schema and its payload, with every number's digits kept. */
export function parseConnect(text: string): { readonly schema: ConnectSchema; readonly payload: Payload } {
  const { schema } = JSON.parse(text) as { schema: ConnectSchema };
  const digits = (_name: string, value: unknown, context?: { readonly source?: string }): unknown =>
    typeof value === 'number' ? new Digits(context?.source ?? '') : value;
  return { schema, payload: (JSON.parse(text, digits) as { payload: Payload }).payload };
}

const ranges: Readonly<Record<string, bigint>> = { int16: 2n ** 15n, int32: 2n ** 31n, int64: 2n ** 63n };

/**
 * Whether JsonConverter, which converts without a complaint what it should refuse (a text in a number's place becomes 0, digits
 * beyond 64 bits are cut), would take exactly this payload by this schema. A member that no field tells of would be lost.
 */
export function fits({ schema, payload }: { readonly schema: ConnectSchema; readonly payload: Payload }, at = '$'): void {
  if (payload === null) return assert.ok(schema.optional, `${at}: null in a field that is required`);
  switch (schema.type) {
    case 'struct': {
      assert.ok(typeof payload === 'object' && !(payload instanceof Digits), `${at}: no object`);
      const fields = schema.fields ?? [];
      for (const each of fields) {
        const name = each.field as string;
        const there = Object.hasOwn(payload, name);
        assert.ok(there || each.optional, `${at}.${name}: required and not there`);
        if (there) fits({ schema: each, payload: payload[name] as Payload }, `${at}.${name}`);
      }
      for (const name of Object.keys(payload)) assert.ok(fields.some(({ field }) => field === name), `${at}.${name}: no field tells of it`);
      return;
    }
    case 'string':
      return assert.equal(typeof payload, 'string', at);
    case 'boolean':
      return assert.equal(typeof payload, 'boolean', at);
    case 'bytes':
      if (schema.name === 'org.apache.kafka.connect.data.Decimal') return assert.ok(payload instanceof Digits, at);
      assert.ok(typeof payload === 'string', at);
      return assert.equal(Buffer.from(payload, 'base64').toString('base64'), payload, at);
    case 'float':
    case 'double':
      return assert.ok(payload instanceof Digits && Number.isFinite(Number(payload.text)), at);
    default: {
      const limit = ranges[schema.type];
      assert.ok(limit !== undefined, `${at}: unknown type ${schema.type}`);
      assert.ok(payload instanceof Digits, at);
      const value = BigInt(payload.text);
      assert.ok(value < limit && value >= -limit, `${at}: ${value} is beyond ${schema.type}`);
    }
  }
}

/** The fields of `before` or `after`, or of the struct itself. */
export function fieldsOf(schema: ConnectSchema, image?: 'before' | 'after'): readonly ConnectSchema[] {
  return (image === undefined ? schema : schema.fields?.find(({ field }) => field === image))?.fields ?? [];
}

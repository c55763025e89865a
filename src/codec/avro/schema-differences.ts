import type { AvroSchema } from './avro-schema.ts';

interface Field {
  readonly name: string;
  readonly type: AvroSchema;
}

/** What a new schema of ours does to the fields of an older one, in words; empty where the older one is not of our making. */
export function differences(older: string, newer: string): readonly string[] {
  const before = rowFields(older);
  const after = rowFields(newer);
  if (before === undefined || after === undefined) return [];
  const types = new Map(before.map(({ name, type }) => [name, JSON.stringify(type)]));
  const changed = after.flatMap(({ name, type }) => {
    const old = types.get(name);
    const now = JSON.stringify(type);
    return old === undefined ? [`field ${name} is new (${now})`] : old === now ? [] : [`field ${name} was ${old} and is ${now}`];
  });
  const names = new Set(after.map(({ name }) => name));
  return [...changed, ...before.filter(({ name }) => !names.has(name)).map(({ name }) => `field ${name} is gone`)];
}

/** Of a key its fields, of an envelope those of the row. */
function rowFields(text: string): readonly Field[] | undefined {
  try {
    const { fields } = JSON.parse(text) as { fields?: readonly Field[] };
    const image = fields?.find(({ name }) => name === 'before')?.type;
    if (!Array.isArray(image)) return fields;
    return (image as readonly { fields?: readonly Field[] }[]).find((branch) => branch.fields !== undefined)?.fields;
  } catch {
    return undefined;
  }
}

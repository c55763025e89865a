import { bareObject, isBare } from './bare.ts';

/**
 * The text under which the engine keeps a value that the user's functions made: equal values have equal texts, whatever the
 * order of an object's keys, and the text gives the value back. JSON, with tagged arrays for what JSON lacks:
 * `["$n","12"]` a bigint, `["$f","NaN"]` a number that JSON has no digits for, `["$d",ms]` a Date, `["$a",…]` an array
 * whose first item looks like a tag. `undefined` in an object is not there, as in JSON.
 */
export function encodeValue(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0) ? String(value) : `["$f","${Object.is(value, -0) ? '-0' : value}"]`;
    case 'bigint':
      return `["$n","${value}"]`;
    case 'boolean':
      return value ? 'true' : 'false';
    case 'undefined':
      return 'null';
    case 'object':
      return encodeObject(value);
    default:
      throw new TypeError(`a stream cannot keep a ${typeof value}: rows hold strings, numbers, bigints, booleans, null, Dates, arrays and plain objects`);
  }
}

function encodeObject(value: object | null): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) {
    const items = value.map(encodeValue);
    return typeof value[0] === 'string' && value[0].startsWith('$') ? `["$a",${items.join(',')}]` : `[${items.join(',')}]`;
  }
  if (value instanceof Date) return `["$d",${value.getTime()}]`;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && !isBare(prototype)) {
    throw new TypeError(`a stream cannot keep a ${value.constructor.name}: make it a plain object, or a text`);
  }
  let text = '';
  for (const key of inOrder(Object.keys(value))) {
    const part = (value as Record<string, unknown>)[key];
    if (part !== undefined) text += `${text === '' ? '' : ','}${nameText(key)}:${encodeValue(part)}`;
  }
  return `{${text}}`;
}

/** Most objects have their keys in order: they were read from such a text. */
function inOrder(keys: string[]): readonly string[] {
  for (let i = 1; i < keys.length; i++) if ((keys[i - 1] as string) > (keys[i] as string)) return keys.sort();
  return keys;
}

const mostNames = 1000;
const names = new Map<string, string>();

/** A key as JSON: they are names of columns and fields, few and met again. */
function nameText(key: string): string {
  let text = names.get(key);
  if (text !== undefined) return text;
  text = JSON.stringify(key);
  if (names.size < mostNames) names.set(key, text);
  return text;
}

export function decodeValue(text: string): unknown {
  return untag(JSON.parse(text));
}

function untag(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return untagArray(value);
  const object = bareObject<unknown>();
  for (const key of Object.keys(value)) object[key] = untag((value as Record<string, unknown>)[key]);
  return object;
}

function untagArray(items: readonly unknown[]): unknown {
  const [tag, first] = items;
  if (tag === '$n') return BigInt(first as string);
  if (tag === '$f') return Number(first);
  if (tag === '$d') return new Date(first as number);
  return (tag === '$a' ? items.slice(1) : items).map(untag);
}

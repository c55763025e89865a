import fc from 'fast-check';
import type { OldKind, RowChange } from '../../src/event/change.ts';
import { floatText } from '../../src/event/float-text.ts';
import type { Column, TableSchema } from '../../src/event/table.ts';
import { tupleOf, tupleTexts } from '../../src/event/tuple.ts';

/** Builders of tables and changes, and fast-check arbitraries of them, for the contract suites. */

export type Texts = readonly (string | null | undefined)[];

/** `[name, oid]`, or `[name, oid, typmod]`. */
export type ColumnSpec = readonly [name: string, oid: number, typmod?: number];

export function tableOf(specs: readonly ColumnSpec[], key: readonly number[] = [0], name = 'items'): TableSchema {
  const columns = specs.map(([column, oid, typmod], i): Column => ({
    name: column, attnum: i + 1, typeOid: oid, typmod: typmod ?? -1, type: typeNames.get(oid) ?? 'text', baseTypeOid: oid, notNull: key.includes(i),
  }));
  return { relid: 16384, schema: 'public', name, columns, key, replicaIdentity: 'default', version: { epoch: 1, number: 1 } };
}

export interface ChangeSpec {
  readonly op: RowChange['op'];
  readonly old?: Texts | undefined;
  readonly oldKind?: OldKind | undefined;
  readonly new?: Texts | undefined;
  readonly ordinal?: number | undefined;
  /** As pgoutput lays them out (K|O tuple N tuple), or apart and in the wrong order, as nothing forbids. */
  readonly layout?: 'pgoutput' | 'apart' | undefined;
}

export function changeOf(table: TableSchema, spec: ChangeSpec): RowChange<TableSchema> {
  const oldKind = spec.oldKind ?? (spec.old === undefined ? 'none' : 'key');
  const old = spec.old === undefined ? undefined : tupleOf(spec.old);
  const next = spec.new === undefined ? undefined : tupleOf(spec.new);
  const junk = Buffer.from([0xff, 0x00, 0x4e]);
  const letter = Buffer.from(oldKind === 'full' ? 'O' : 'K');
  const parts: Uint8Array[] = [junk];
  let oldAt = -1;
  let newAt = -1;
  const length = (): number => parts.reduce((size, part) => size + part.length, 0);
  if (old) {
    if (spec.layout !== 'apart') parts.push(letter);
    else parts.push(Buffer.from('?'));
    oldAt = length();
    parts.push(old);
    if (spec.layout === 'apart' && next) parts.push(junk);
  }
  if (next) {
    if (spec.layout !== 'apart') parts.push(Buffer.from('N'));
    newAt = length();
    parts.push(next);
  }
  const end = length();
  parts.push(junk);
  return { op: spec.op, table, ordinal: spec.ordinal ?? 7, bytes: Buffer.concat(parts), oldKind, oldAt, newAt, end };
}

/** A change as plain texts, for comparing. */
export function plain(change: RowChange<TableSchema>): object {
  return {
    op: change.op, ordinal: change.ordinal, table: change.table.name, oldKind: change.oldKind,
    old: change.oldAt < 0 ? null : tupleTexts(change.bytes, change.oldAt),
    new: change.newAt < 0 ? null : tupleTexts(change.bytes, change.newAt),
  };
}

/** Any text that Postgres can hold: no NUL, no lone surrogates. */
export const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }).map((text) => text.replaceAll('\0', '')),
  fc.constantFrom('', '\\N', 'NULL', '{}', '"', '\\', '\u2028', '\ufeffx', '\t\r\n\b\f', '\u0001\u001f\u007f', '\u{10ffff}', '__proto__', 'null', 'a'.repeat(70_000)),
);

const digits = (n: number, width: number): string => String(n).padStart(width, '0');
const fraction = fc.oneof(fc.constant(''), fc.integer({ min: 1, max: 999_999 }).map((n) => `.${digits(n, 6)}`.replace(/0+$/, '')));
const date = fc.oneof(
  fc.tuple(fc.integer({ min: 1, max: 294_275 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 28 }))
    .map(([y, m, d]) => `${digits(y, 4)}-${digits(m, 2)}-${digits(d, 2)}`),
  fc.tuple(fc.integer({ min: 1900, max: 2100 }), fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 28 }))
    .map(([y, m, d]) => `${digits(y, 4)}-${digits(m, 2)}-${digits(d, 2)}`),
  fc.constantFrom('2000-02-29', '1970-01-01', '1969-12-31', '0001-01-01', '1582-10-10', '9999-12-31', '10000-01-01'),
);
const clock = fc.oneof(
  fc.tuple(fc.integer({ min: 0, max: 86_399 }), fraction)
    .map(([s, f]) => `${digits(Math.trunc(s / 3600), 2)}:${digits(Math.trunc(s / 60) % 60, 2)}:${digits(s % 60, 2)}${f}`),
  fc.constant('00:00:00'),
);
const era = fc.constantFrom('', '', '', ' BC');
/** No leap year before Christ is a multiple of four. */
const ofEra = (text: string): string => (text.endsWith(' BC') ? text.replace('2000-02-29', '2001-02-29') : text);
const infinity = fc.constantFrom('infinity', '-infinity');
const integer = (min: bigint, max: bigint): fc.Arbitrary<string> => fc.oneof(fc.bigInt({ min, max }), fc.constantFrom(min, max, 0n)).map(String);
const real = fc.oneof(fc.float().map((n) => floatText('float4', n)), fc.constantFrom('NaN', '-Infinity', '-0', '0', '1e-45', '1e+20', '0.1', '123456', '1.234567e+06'));
const double = fc.oneof(fc.double().map((n) => floatText('float8', n)), fc.constantFrom('NaN', 'Infinity', '-0', '0', '5e-324', '1e-05', '0.1', '123456789012345', '1e+15'));

/** Texts as Postgres writes them under the pinned session settings, by type oid. */
export const textsByType: ReadonlyMap<number, fc.Arbitrary<string>> = new Map([
  [16, fc.constantFrom('t', 'f')],
  [17, fc.uint8Array({ maxLength: 40 }).map((bytes) => `\\x${Buffer.from(bytes).toString('hex')}`)],
  [20, integer(-(2n ** 63n), 2n ** 63n - 1n)],
  [21, integer(-32768n, 32767n)],
  [23, integer(-(2n ** 31n), 2n ** 31n - 1n)],
  [26, integer(0n, 2n ** 32n - 1n)],
  [25, anyText],
  [114, fc.json().map((text) => text.replaceAll('\0', ''))],
  [700, real],
  [701, double],
  [1009, fc.constantFrom('{}', '{a,NULL,"b,c"}', '{{1,2},{3,4}}', '[0:2]={x,y,z}')],
  [1082, fc.oneof(fc.tuple(date, era).map((parts) => ofEra(parts.join(''))), infinity)],
  [1083, fc.oneof(clock, fc.constant('24:00:00'))],
  [1114, fc.oneof(fc.tuple(date, clock, era).map(([d, c, e]) => ofEra(`${d} ${c}${e}`)), infinity)],
  [1184, fc.oneof(fc.tuple(date, clock, fc.constantFrom('+00', '+00', '-03:30', '+00:53:28'), era).map(([d, c, z, e]) => ofEra(`${d} ${c}${z}${e}`)), infinity)],
  [1266, clock.map((text) => `${text}+02`)],
  [1700, fc.oneof(integer(-(10n ** 40n), 10n ** 40n), fc.constantFrom('0.00', 'NaN', '-Infinity', '1.10', '1'.repeat(3000)))],
  [3802, fc.constantFrom('null', '{"__proto__": 1}', '"\\u2028"', '[1e400, 12345678901234567890]')],
]);

const typeNames = new Map<number, string>([
  [16, 'boolean'], [17, 'bytea'], [20, 'bigint'], [21, 'smallint'], [23, 'integer'], [25, 'text'], [26, 'oid'], [114, 'json'],
  [700, 'real'], [701, 'double precision'], [1009, 'text[]'], [1082, 'date'], [1083, 'time without time zone'],
  [1114, 'timestamp without time zone'], [1184, 'timestamp with time zone'], [1266, 'time with time zone'], [1700, 'numeric'], [3802, 'jsonb'],
]);

const evilNames = ['__proto__', 'constructor', 'toString', 'then', '"', '\\', '1', '', 'a.b', 'é', '\u{1f600}', 'select', 'before', '\n'];
const columnName = fc.oneof(fc.constantFrom(...evilNames), fc.string({ unit: 'binary', maxLength: 20 }).map((text) => text.replaceAll('\0', '')));

const column = fc.tuple(columnName, fc.constantFrom(...textsByType.keys()), fc.constantFrom(-1, 0, 3, 6));

export const anyTable: fc.Arbitrary<TableSchema> = fc
  .tuple(fc.uniqueArray(column, { minLength: 1, maxLength: 8, selector: (spec) => spec[0] }), fc.integer({ min: 0, max: 3 }), fc.boolean())
  .map(([specs, keys, reversed]) => {
    const key = specs.map((_, i) => i).slice(0, keys);
    return tableOf(specs, reversed ? key.reverse() : key);
  });

function row(table: TableSchema, absent: boolean): fc.Arbitrary<(string | null | undefined)[]> {
  const values = table.columns.map((each, i) => {
    const text = textsByType.get(each.baseTypeOid) as fc.Arbitrary<string>;
    if (table.key.includes(i)) return text;
    return fc.oneof({ arbitrary: text, weight: 4 }, fc.constant(null), ...(absent ? [fc.constant(undefined)] : []));
  });
  return fc.tuple(...values);
}

/** The old key as pgoutput sends it: NULL stands in every other column. */
export function keyImage(table: TableSchema, texts: Texts): Texts {
  return texts.map((text, i) => (table.key.includes(i) ? text : null));
}

export const anyChange: fc.Arbitrary<RowChange<TableSchema>> = anyTable.chain((table) =>
  fc
    .record({
      op: fc.constantFrom('c', 'r', 'u', 'd' as const), old: row(table, false), new: row(table, true), full: row(table, false),
      oldKind: fc.constantFrom('none', 'key', 'full' as const), layout: fc.constantFrom('pgoutput', 'apart' as const), ordinal: fc.nat(),
    })
    .map(({ op, oldKind, layout, ordinal, ...image }) => {
      const keyed = table.key.length > 0;
      const kind: OldKind = op === 'c' || op === 'r' ? 'none' : !keyed || (op === 'd' && oldKind === 'none') ? 'full' : oldKind;
      const old = kind === 'none' ? undefined : kind === 'full' ? image.old : keyImage(table, image.old);
      const next = op === 'd' ? undefined : op === 'u' ? image.new : image.full;
      return changeOf(table, { op, old, oldKind: kind, new: next, layout, ordinal });
    }),
);

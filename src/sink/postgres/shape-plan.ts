import { tableName, type TableSchema } from '../../event/table.ts';
import { quoteIdentifier as quote, quoteLiteral, quoteQualified } from '../../runtime/postgres/quote.ts';
import type { ReplicaTable } from './catalog.ts';
import { keyIndex, type WantedTable } from './fit.ts';
import type { ColumnChange, ShapeChange } from './shape-change.ts';
import type { QualifiedName } from './target.ts';

/** A statement on the way to the new shape. */
export interface Step {
  /** For people: `column a was renamed to b`. */
  readonly what: string;
  readonly sql: string;
  /** In its place where a value that stands cannot be cast: the column begins anew, with NULL, until the table's next copy. */
  readonly anew?: string;
  /** In its place where rows that stand do not fit the new key, and the table is being copied: it begins anew without a row. */
  readonly emptied?: string;
  /** What the source made of the values comes with a copy alone. */
  readonly retyped?: true;
  /** The configuration asks for it, not the source: what it costs goes by the operator's own hand alone. */
  readonly byHand?: true;
}

/** A replica's table and what it is to become. */
export interface Place {
  readonly table: TableSchema;
  readonly name: QualifiedName;
  readonly wanted: WantedTable;
  readonly found: ReplicaTable;
  /** A column that stands under the name and of the type of one to be added is that one: somebody was asked to add it. */
  readonly accept?: boolean;
}

/**
 * What it takes to bring a replica's table to the new shape of its source, in order; nothing when somebody has done it already
 * (docs/adr/0035). `undone` says what no statement does.
 */
export function planOf(change: ShapeChange, place: Place): { readonly steps: readonly Step[]; readonly undone: readonly string[] } {
  const undone = change.changed.filter(({ what }) => what === 'no longer left out').map(({ after }) => `column ${after.name} is no longer left out`);
  const steps = [
    ...leftOut(change, place), ...emptied(change, place), ...keyDropped(change, place), ...dropped(change, place), ...renamed(change, place), ...retyped(change, place),
    ...added(change, place), ...keyAdded(change, place),
  ];
  return { steps, undone };
}

const alter = ({ name }: Place): string => `ALTER TABLE ${quoteQualified(name.schema, name.name)}`;
const has = ({ found }: Place, column: string): boolean => found.columns.some((one) => one.name === column);

/** Rows of another table that had the name: its own come with its copy. */
function emptied(change: ShapeChange, place: Place): Step[] {
  return change.otherTable ? [{ what: `${tableName(place.table)} is another table than the one whose rows are there`, sql: empty(place) }] : [];
}

function empty({ name, found }: Place): string {
  const at = quoteQualified(name.schema, name.name);
  return found.referenced ? `DELETE FROM ${at}` : `TRUNCATE ${at}`;
}

function dropped(change: ShapeChange, place: Place): Step[] {
  const columns = change.dropped.filter((column) => stands(change, place, column) && !isRenamedTo(change, place, column));
  if (columns.length === 0) return [];
  return [{ what: `dropped: ${columns.join(', ')}`, sql: `${alter(place)} ${columns.map((column) => `DROP COLUMN ${quote(column)}`).join(', ')}` }];
}

/** Whether a dropped column is still there, and no other one under its name. */
function stands({ droppedAt }: ShapeChange, { found }: Pick<Place, 'found'>, column: string): boolean {
  return found.columns.some(({ name, attnum }) => name === column && (droppedAt[column] === undefined || droppedAt[column] === attnum));
}

function leftOut(change: ShapeChange, place: Place): Step[] {
  const due = change.changed.filter(({ what, before }) => what === 'left out' && has(place, before.name));
  return due.map(({ before, after }) => ({ what: `column ${after.name} is left out now`, sql: `${alter(place)} DROP COLUMN ${quote(before.name)}`, byHand: true }));
}

/** Somebody has renamed another column to the name of one that was dropped, after dropping that. */
function isRenamedTo(change: ShapeChange, place: Place, column: string): boolean {
  return change.changed.some(({ what, before, after }) => what === 'renamed' && after.name === column && !has(place, before.name));
}

/** Names can go round in a circle, or be handed on: where one is still in use, its new owner waits under another name until it is free. */
function renamed(change: ShapeChange, place: Place): Step[] {
  const due = renames(change, place);
  const aside: Step[] = [];
  const free: Step[] = [];
  const last: Step[] = [];
  for (const { before, after } of due) {
    const what = `column ${before.name} was renamed to ${after.name}`;
    const isTaken = due.some((other) => other.before.name === after.name);
    const waiting = `tailrace_${after.attnum ?? 0}_${after.name}`.slice(0, 40);
    const to = (from: string, name: string): Step => ({ what, sql: `${alter(place)} RENAME COLUMN ${quote(from)} TO ${quote(name)}` });
    if (isTaken) aside.push(to(before.name, waiting));
    if (isTaken) last.push(to(waiting, after.name));
    else free.push(to(before.name, after.name));
  }
  return [...aside, ...free, ...last];
}

function renames(change: ShapeChange, place: Place): readonly ColumnChange[] {
  const all = change.changed.filter(({ what }) => what === 'renamed');
  // By its number it is known which one it is. Else: of a swap both names stand before and after it; of any other rename that somebody
  // has made already, the old name does not.
  return all.filter(({ before, after }) => {
    const own = place.found.columns.find(({ attnum }) => attnum === before.at);
    return own === undefined ? has(place, before.name) || !has(place, after.name) : own.name !== after.name;
  });
}

function retyped(change: ShapeChange, place: Place): Step[] {
  const steps: Step[] = [];
  for (const { before, after } of change.changed.filter(({ what }) => what === 'retyped')) {
    const wanted = place.wanted.columns.find((one) => one.name === after.name);
    const stands = place.found.columns.find((one) => one.name === nameBefore(change, place, after.name));
    if (wanted === undefined || stands === undefined || stands.type === wanted.type.type) continue;
    const { type, bare } = wanted.type;
    const column = quote(after.name);
    const loose = stands.filled ? `ALTER COLUMN ${column} DROP DEFAULT, ` : '';
    // Of the same type with another modifier the server knows whether rows have to be written anew.
    const using = stands.bare === bare ? '' : ` USING ${column}::text::${type}`;
    const sql = `${alter(place)} ${loose}ALTER COLUMN ${column} TYPE ${type}${using}`;
    const isKey = place.wanted.key.includes(after.name);
    steps.push({
      what: before.type === after.type ? `the type of column ${after.name}, ${after.type}, was altered` : `column ${after.name} was ${before.type} and is ${after.type}`,
      sql,
      retyped: true,
      ...(isKey ? { emptied: `${empty(place)}; ${sql}` } : { anew: `${alter(place)} DROP COLUMN ${column}, ADD COLUMN ${column} ${type}` }),
    });
  }
  return steps;
}

/** What a column is called at the replica before the plan begins. */
function nameBefore(change: ShapeChange, place: Place, name: string): string {
  return renames(change, place).find(({ after }) => after.name === name)?.before.name ?? name;
}

/** The rows that are there get a constant default as at the source; what later ones hold is the source's to say. */
function added(change: ShapeChange, place: Place): Step[] {
  const names = due(change, place);
  if (names.length === 0) return [];
  const columns = names.map((name) => ({
    name,
    type: place.wanted.columns.find((one) => one.name === name)?.type.type as string,
    missing: place.table.columns.find((one) => one.name === name)?.missing,
  }));
  const adds = columns.map(({ name, type, missing }) => `ADD COLUMN ${quote(name)} ${type}${missing === undefined ? '' : ` DEFAULT ${quoteLiteral(missing)}`}`);
  const defaults = columns.filter(({ missing }) => missing !== undefined).map(({ name }) => `ALTER COLUMN ${quote(name)} DROP DEFAULT`);
  const what = `added: ${names.join(', ')}`;
  return [adds, defaults].filter((parts) => parts.length > 0).map((parts) => ({ what, sql: `${alter(place)} ${parts.join(', ')}` }));
}

/** The columns that are to be added, and that nobody has added already. */
function due(change: ShapeChange, { accept, wanted, found }: Place): readonly string[] {
  const isAdded = (name: string): boolean => found.columns.some((column) => column.name === name && column.type === wanted.columns.find((one) => one.name === name)?.type.type);
  const isOld = (name: string): boolean => change.dropped.includes(name) && stands(change, { found }, name);
  return change.added.filter((name) => accept !== true || isOld(name) || !isAdded(name));
}

/** By the columns of the new key as they are called before the plan begins; one of a name that stands may be to come all the same. */
function keyFits(change: ShapeChange, place: Place): boolean {
  if (place.wanted.key.some((name) => due(change, place).includes(name))) return false;
  const key = place.wanted.key.map((name) => nameBefore(change, place, name));
  return key.length === 0 ? place.found.uniques.length === 0 : keyIndex(key, place.found) !== undefined;
}

function keyDropped(change: ShapeChange, place: Place): Step[] {
  if (!change.keyChanged || keyFits(change, place)) return [];
  const old = keyIndex(change.keyBefore, place.found) ?? keyIndex(place.wanted.key, place.found);
  if (old === undefined) return [];
  const sql = old.constraint === null ? `DROP INDEX ${quoteQualified(place.name.schema, old.name)}` : `${alter(place)} DROP CONSTRAINT ${quote(old.constraint)}`;
  return [{ what: keyText(place), sql }];
}

/** A primary key made its columns NOT NULL, and leaves them so when it goes: the source may change its mind about that without a word. */
function keyAdded(change: ShapeChange, place: Place): Step[] {
  const { wanted, found } = place;
  const loose = wanted.columns.filter((column) => {
    const stands = found.columns.find((one) => one.name === nameBefore(change, place, column.name));
    return stands?.notNull === true && !wanted.key.includes(column.name) && change.keyBefore.includes(stands.name);
  });
  const parts = loose.map((column) => `ALTER COLUMN ${quote(column.name)} DROP NOT NULL`);
  if (change.keyChanged && !keyFits(change, place) && wanted.key.length > 0) parts.push(`ADD PRIMARY KEY (${wanted.key.map(quote).join(', ')})`);
  if (parts.length === 0) return [];
  const sql = `${alter(place)} ${parts.join(', ')}`;
  return [{ what: keyText(place), sql, emptied: `${empty(place)}; ${sql}` }];
}

function keyText({ wanted }: Place): string {
  return `its key changed: ${wanted.key.length === 0 ? 'there is none' : `it is (${wanted.key.join(', ')})`}`;
}

import type { TableShape, TableState } from '../../event/table.ts';
import type { Visibility } from '../source.ts';
import type { Doubt } from '../catalog.ts';
import { firstUserOid, type StreamTable } from './stream-catalog.ts';

/** What is kept of a table from look to look, beside its shape. */
export interface PostgresTableState extends TableState {
  readonly digest: string;
  readonly entry: string;
  readonly listed: boolean;
  readonly files: StreamTable['files'];
  /** Not in a state that an older version wrote. */
  readonly links?: StreamTable['links'];
  readonly types: StreamTable['types'];
  /** By attnum. */
  readonly stamps: Readonly<Record<string, string>>;
  /** Every transaction below this one had ended. */
  readonly xmin: string;
}

export function stateOf(table: StreamTable, visibility: Visibility): PostgresTableState {
  const { digest, entry, listed, files, links, types } = table;
  const stamps = table.attributes.filter((attribute) => !attribute.dropped).map(({ attnum, stamp }) => [attnum, stamp] as const);
  return { digest, entry, listed, files, links, types, stamps: Object.fromEntries(stamps), xmin: visibility.xmin.toString() };
}

/** A state out of the log; null when there is none, or none that this version can read. */
export function readState(state: TableState | null): PostgresTableState | null {
  return typeof state?.['digest'] === 'string' && typeof state['files'] === 'object' && typeof state['stamps'] === 'object' ? (state as PostgresTableState) : null;
}

/** A table as it was at one look and at the next one. */
export interface Change {
  readonly before: { readonly shape: TableShape; readonly state: PostgresTableState };
  readonly now: { readonly shape: TableShape; readonly state: PostgresTableState };
  readonly uncertain: boolean;
  readonly truncated: boolean;
}

/** Files whose rows have to be looked at before anything can be said, by the oid of the table or partition. */
export interface Suspects {
  /** Whose files are others: all rows may have been written anew, or be gone. */
  readonly replaced: readonly string[];
  /** Partitions that were not there before: they may have brought rows with them. */
  readonly joined: readonly string[];
}

/** Whether rows may be something else than their events have made of them, as far as the catalog says it. */
export function doubtOf(change: Change): Doubt | null {
  const { before, now } = change;
  if (before.state.entry !== now.state.entry) return { reason: 'it was put into the publication anew, or the publication was altered', surplus: true };
  if (Object.keys(before.state.files).some((oid) => now.state.files[oid] === undefined)) return { reason: 'a partition went, and its rows without an event', surplus: true };
  if (isAttachedAgain(change)) return { reason: 'a partition was detached and attached again, and what happened to its rows meanwhile was not sent', surplus: true };
  if (keyIsUnseen(change)) return { reason: 'its key was changed, which the stream does not tell with replica identity full', surplus: true };
  const surplus = keyIsTouched(change);
  // Nor by which key: rows that an event should have taken may have stayed.
  if (change.uncertain) return { reason: 'which of its columns rows were written for could not be told', surplus: true };
  if (isMadeAgain(change)) return { reason: 'a column was made again under the name of one that is gone', surplus };
  if (isRetyped(change)) return { reason: 'a column has another type, in which what is stored may read differently', surplus };
  return typesReadDifferently(change) ? { reason: 'a type of its columns was altered, so that stored values read differently', surplus } : null;
}

/**
 * VACUUM FULL, CLUSTER, TRUNCATE and another tablespace give a table other files, too. They leave the columns' own rows in the
 * catalog as they are, which ALTER TABLE … TYPE and ADD COLUMN do not; and a table that is listed in a publication cannot become
 * unlogged meanwhile. Elsewhere a truncate that the stream has brought explains the files.
 */
export function suspectsOf({ before, now, truncated }: Change): Suspects {
  const replaced = Object.keys(now.state.files).filter((oid) => before.state.files[oid] !== undefined && before.state.files[oid] !== now.state.files[oid]);
  const joined = Object.keys(now.state.files).filter((oid) => before.state.files[oid] === undefined);
  const columnsStand = JSON.stringify(before.state.stamps) === JSON.stringify(now.state.stamps);
  const isListedItself = before.state.listed && now.state.listed && now.state.files[String(now.shape.relid)] !== undefined;
  return { replaced: columnsStand && (truncated || isListedItself) ? [] : replaced, joined };
}

/** What a table whose rows were all written anew calls for: the same rows with other values, unless it may have been unlogged meanwhile. */
export function rewritten(change: Change): Doubt {
  const isListedItself = change.before.state.listed && change.now.state.listed && change.now.state.files[String(change.now.shape.relid)] !== undefined;
  return { reason: 'its rows were written anew by ALTER TABLE, or went without an event', surplus: !isListedItself || keyIsTouched(change) };
}

/** Between two looks: its files are the same, and nobody has seen it go. */
function isAttachedAgain({ before, now }: Change): boolean {
  const links = now.state.links ?? {};
  return Object.entries(before.state.links ?? {}).some(([oid, link]) => links[oid] !== undefined && links[oid] !== link);
}

/** A column under the name of one that is gone: a Relation speaks of either in the same words. */
function isMadeAgain({ before, now }: Change): boolean {
  const numbers = (shape: TableShape): Set<number | null> => new Set(shape.columns.map((column) => column.attnum));
  const [old, current] = [numbers(before.shape), numbers(now.shape)];
  const gone = before.shape.columns.filter((column) => !current.has(column.attnum)).map((column) => column.name);
  return now.shape.columns.some((column) => !old.has(column.attnum) && gone.includes(column.name));
}

/** Types whose values have one text, whichever of them they stand in: text, varchar. */
const texts: readonly number[] = [25, 1043];

/** Not every change of type writes rows anew: cidr becomes inet as it is stored, and `10.0.0.1/32` reads `10.0.0.1`. */
function isRetyped({ before, now }: Change): boolean {
  return now.shape.columns.some(({ attnum, baseTypeOid }) => {
    const old = attnum === null ? undefined : before.shape.columns.find((column) => column.attnum === attnum);
    return old !== undefined && old.baseTypeOid !== baseTypeOid && !(texts.includes(old.baseTypeOid) && texts.includes(baseTypeOid));
  });
}

/** A label that is called otherwise, an attribute that came or went; not a new label, nor a type that merely came into use. */
function typesReadDifferently({ before, now }: Change): boolean {
  const [old, current] = [before.state.types, now.state.types];
  const isUsed = (types: StreamTable['types'], part: string): boolean => Object.keys(types).some((other) => other.startsWith(part.slice(0, part.indexOf('.') + 1)));
  return Object.keys({ ...old, ...current }).some((part) => {
    if (old[part] === current[part]) return false;
    return part.startsWith('c') ? isUsed(old, part) && isUsed(current, part) : old[part] !== undefined && current[part] !== undefined;
  });
}

function keyOf(shape: TableShape): (number | null)[] {
  return shape.key.map((index) => shape.columns[index]?.attnum ?? null);
}

/** Rows that the old key would have refused may have come before anybody knew that there is another. */
function keyIsUnseen({ before, now }: Change): boolean {
  const isTold = before.shape.replicaIdentity === now.shape.replicaIdentity && (now.shape.replicaIdentity === 'default' || now.shape.replicaIdentity === 'index');
  return !isTold && before.shape.key.length > 0 && keyOf(before.shape).join() !== keyOf(now.shape).join();
}

/** Whether a key may read differently than before, so that new rows would not go over the old ones. */
function keyIsTouched({ before, now }: Change): boolean {
  const isOfUsersType = now.shape.key.some((index) => (now.shape.columns[index]?.typeOid ?? 0) >= firstUserOid);
  const isAltered = keyOf(now.shape).some((attnum) => before.state.stamps[String(attnum)] !== now.state.stamps[String(attnum)]);
  return isOfUsersType || isAltered || keyOf(before.shape).join() !== keyOf(now.shape).join();
}

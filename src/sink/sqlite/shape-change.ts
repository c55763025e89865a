import { type Column, type TableSchema, tableName } from '../../event/table.ts';
import type { RecordedColumn, TableRecord } from './bookkeeping.ts';
import type { ExistingTable } from './existing-table.ts';
import { quote } from './quote.ts';
import { fold, placeholder, type Placement, placeTable, replicaName, type ReplicaTable } from './replica-table.ts';
import type { DdlPolicy } from '../sink.ts';
import { type Form, formOf, storageOf } from './representation.ts';

/** What it takes to bring a replica table to a new shape of its source, in the order in which it is done (docs/adr/0035). */
export interface ShapeChange {
  readonly table: ReplicaTable;
  /** The name has gone to another table: the rows that stand are not its own. */
  readonly otherTable: boolean;
  /** Names at the replica. */
  readonly drop: readonly string[];
  readonly rename: readonly Rename[];
  readonly add: readonly string[];
  /** Where SQLite cannot alter the table (its key, a column's kind of value): it is made again out of its own rows. */
  readonly rebuild: Rebuild | undefined;
  /** Names of columns whose values may read differently now: a copy brings them, where there is one. */
  readonly retyped: readonly string[];
  /** Why it cannot be done by itself, with what to do; the first of them if there are several. */
  readonly problem: ShapeProblem | undefined;
}

export interface Rename {
  readonly from: string;
  readonly to: string;
}

export interface Rebuild {
  /** By name at the replica: the form that a column's values have so far, where it is another one now. */
  readonly forms: ReadonlyMap<string, Form>;
  /** Names at the replica of columns that go with the old table, and that come with the new one; in place of those of the change. */
  readonly drop: readonly string[];
  readonly add: readonly string[];
}

export interface ShapeProblem {
  readonly message: string;
  readonly remedy: string;
}

/**
 * Compares what stands in the file with a table's schema. Columns are known by their attnum, which a rename keeps and a
 * column dropped and added again does not. What an operator has done by hand at the replica is accepted.
 */
export function shapeChange(record: TableRecord, existing: ExistingTable, table: TableSchema, placement: ShapeOptions): ShapeChange {
  const matches = table.columns.map((column) => match(record, table, column));
  if (placement.ddl === 'ignore') return ignored({ record, existing, table, placement, matches });
  const stands = (name: string): boolean => existing.columns.some((column) => fold(column.name) === fold(name));
  const known = table.columns.map((column, i) => {
    const recorded = matches[i];
    return recorded === undefined || recorded.replica === null || isRenamed(recorded, column) ? undefined : recorded.replica;
  });
  const placed = { ...placeTable(table, placement, known), name: existing.name };
  const nameOf = (i: number): string | undefined => placed.columns[placed.index[i] as number]?.name;

  const gone = record.columns.flatMap((column) => (column.replica !== null && !matches.includes(column) && stands(column.replica) ? [column.replica] : []));
  const rename = table.columns.flatMap((column, i): Rename[] => {
    const [recorded, to] = [matches[i], nameOf(i)];
    if (recorded === undefined || recorded.replica === null || to === undefined || !isRenamed(recorded, column)) return [];
    return stands(recorded.replica) ? [{ from: recorded.replica, to }] : [];
  });
  const isDone = (to: string): boolean => !rename.some((one) => fold(one.to) === fold(to)) && table.columns.some((_, i) => nameOf(i) === to && matches[i] !== undefined);
  const drop = [...gone.filter((name) => !isDone(name)), ...(stands(placeholder.name) && !placed.columns.includes(placeholder) ? [placeholder.name] : [])];
  const isAdded = (name: string, i: number): boolean => placement.ddl === 'pause' && !drop.includes(name) && existing.columns.some((one) => one.name === name && one.type === storageOf(formOf(table.columns[i] as Column)));
  const added = table.columns.flatMap((_, i) => (matches[i] === undefined ? (nameOf(i) ?? []) : [])).filter((name) => !isAdded(name, table.columns.findIndex((_, i) => nameOf(i) === name)));
  const add = placed.columns.includes(placeholder) && !stands(placeholder.name) ? [placeholder.name] : added;
  const compared: Compared = { record, existing, table, placement, matches, placed, nameOf };
  return {
    table: placed, otherTable: record.relid !== table.relid, rename, ...rebuilt(compared, { drop, add }),
    retyped: table.columns.flatMap((column, i) => (matches[i] === undefined || nameOf(i) === undefined || sameValues(matches[i], column) ? [] : [column.name])),
    problem: [...leftOutProblems(compared), ...nameProblems(compared, { rename, add, drop })][0],
  };
}

/** The replica's table stays as it is; what the source added since is left out. */
function ignored(what: Omit<Compared, 'placed' | 'nameOf'>): ShapeChange {
  const { record, existing, table, placement, matches } = what;
  const source = tableName(table);
  const fresh = table.columns.filter((_, i) => matches[i] === undefined).map(({ name }) => name);
  const leaveOut = { ...placement.leaveOut, [source]: [...(placement.leaveOut[source] ?? []), ...fresh] };
  const placed = { ...placeTable(table, { ...placement, leaveOut }, matches.map((recorded) => recorded?.replica ?? undefined)), name: existing.name };
  const sameKey = table.key.length === record.key.length && table.key.every((i) => record.key.includes(matches[i]?.name ?? ''));
  const isSame = sameKey && record.relid === table.relid && placed.columns.every((column) => column !== placeholder || existing.columns.some(({ name }) => name === placeholder.name));
  const problem = isSame ? undefined : { message: `the key of ${source} is another one, it has no columns any more, or it is another table, which ddl: ignore cannot leave as it was`, remedy: refill };
  return { table: placed, otherTable: false, drop: [], rename: [], add: [], rebuild: undefined, retyped: [], problem: leftOutProblems({ ...what, placed, nameOf: () => undefined })[0] ?? problem };
}

/** Where columns go, and what a change of shape comes to; it is followed unless told. */
export interface ShapeOptions extends Placement {
  readonly ddl?: DdlPolicy;
}

interface Compared {
  readonly record: TableRecord;
  readonly existing: ExistingTable;
  readonly table: TableSchema;
  readonly placement: ShapeOptions;
  /** What is recorded of each column of the source. */
  readonly matches: readonly (RecordedColumn | undefined)[];
  readonly placed: ReplicaTable;
  /** The name at the replica of a column of the source. */
  readonly nameOf: (index: number) => string | undefined;
}

function isRenamed(recorded: RecordedColumn, column: Column): boolean {
  return fold(recorded.name) !== fold(column.name);
}

function rebuilt({ existing, table, matches, placed, nameOf }: Compared, { drop, add }: Pick<ShapeChange, 'drop' | 'add'>): Pick<ShapeChange, 'drop' | 'add' | 'rebuild'> {
  const inKey = (name: string): boolean => existing.columns.some((column) => column.key > 0 && fold(column.name) === fold(name));
  const forms = new Map<string, Form>();
  for (const [i, column] of table.columns.entries()) {
    const [recorded, name] = [matches[i], nameOf(i)];
    if (recorded === undefined || name === undefined) continue;
    const [before, now] = [formOf(recorded), formOf(column)];
    const isDone = storageOf(before) !== storageOf(now) && existing.columns.some((one) => one.name === name && one.type === storageOf(now));
    if (before !== now && !isDone) forms.set(name, before);
  }
  // Of the key that stands: under the names that its columns get.
  const key = existing.columns.filter((column) => column.key > 0).map(({ name }) => fold(nameAfter(name, { matches, nameOf })));
  const wanted = placed.key.map((i) => fold(placed.columns[i]?.name ?? ''));
  const sameKey = key.toSorted().join('\0') === wanted.toSorted().join('\0');
  // SQLite drops no column of a key, and not the last one.
  const isAlterable = sameKey && forms.size === 0 && !drop.some(inKey) && drop.length < existing.columns.length;
  return isAlterable ? { drop, add, rebuild: undefined } : { drop: [], add: [], rebuild: { forms, drop, add } };
}

function nameAfter(name: string, { matches, nameOf }: Pick<Compared, 'matches' | 'nameOf'>): string {
  const index = matches.findIndex((recorded) => recorded?.replica != null && fold(recorded.replica) === fold(name));
  return (index < 0 ? undefined : nameOf(index)) ?? name;
}

/** What the configuration asks for, not the source: what it costs goes by the operator's own hand alone. */
function leftOutProblems({ existing, table, placement, matches }: Compared): ShapeProblem[] {
  const source = tableName(table);
  const at = quote(existing.name);
  const leftOut = new Set(placement.leaveOut[source] ?? []);
  const problems = table.columns.flatMap((column, i): ShapeProblem[] => {
    const recorded = matches[i];
    if (recorded === undefined) return [];
    if (!leftOut.has(column.name)) return recorded.replica === null ? [{ message: `column ${column.name} of ${source} was left out so far, so the rows at the replica lack it`, remedy: refill }] : [];
    const stands = recorded.replica !== null && existing.columns.some((one) => fold(one.name) === fold(recorded.replica ?? ''));
    return stands ? [{ message: `column ${column.name} of ${source} is to be left out and stands at the replica`, remedy: `Run at the replica: ALTER TABLE ${at} DROP COLUMN ${quote(recorded.replica ?? '')}` }] : [];
  });
  const target = replicaName(table, placement);
  if (fold(target) !== fold(existing.name))
    problems.push({ message: `${source} stands at the replica as ${existing.name} and is to be ${target}`, remedy: `Run at the replica: ALTER TABLE ${at} RENAME TO ${quote(target)}` });
  return problems;
}

/** A name that a column is to get is one that the operator has given to a column of his own. */
function nameProblems({ existing, table }: Compared, { rename, add, drop }: Pick<ShapeChange, 'rename' | 'add' | 'drop'>): ShapeProblem[] {
  const leaving = new Set([...drop, ...rename.map(({ from }) => from)].map(fold));
  const isTaken = (name: string): boolean => !leaving.has(fold(name)) && existing.columns.some((column) => fold(column.name) === fold(name));
  return [...add, ...rename.map(({ to }) => to)].filter(isTaken).map((name) => ({
    message: `${tableName(table)} has a column ${name} now, and the replica has one of its own of that name`,
    remedy: `Run at the replica: ALTER TABLE ${quote(existing.name)} RENAME COLUMN ${quote(name)} TO …, or drop it`,
  }));
}

export const refill =
  'Run tailrace sinks forget for this sink, drop the table at the replica, and start again: the sink fills it anew.';

function match(record: TableRecord, table: TableSchema, column: Column): RecordedColumn | undefined {
  // Attnums mean something within one table only; a table dropped and made again is compared by names.
  const byNumber = record.relid === table.relid && column.attnum !== null;
  return record.columns.find((each) => (byNumber && each.attnum !== null ? each.attnum === column.attnum : each.name === column.name));
}

const integers: readonly number[] = [20, 21, 23];
const texts: readonly number[] = [25, 1043];

/**
 * Whether values written under the one type are those that the other has. A change of type that rewrites the rows at the
 * source sends none of them, so only changes that leave every text as it is may pass.
 */
function sameValues(before: RecordedColumn, now: Column): boolean {
  if (before.typeOid === now.typeOid && before.typmod === now.typmod && before.baseTypeOid === now.baseTypeOid) return true;
  return [integers, texts].some((family) => family.includes(before.typeOid) && family.includes(now.typeOid));
}

export function recordOf(table: TableSchema, replica: ReplicaTable): TableRecord {
  const columns = table.columns.map(({ name, attnum, typeOid, typmod, type, baseTypeOid }, i) => ({
    name, attnum, typeOid, typmod, type, baseTypeOid, replica: replica.columns[replica.index[i] as number]?.name ?? null,
  }));
  return { name: replica.name, relid: table.relid, columns, key: table.key.map((i) => (table.columns[i] as Column).name) };
}

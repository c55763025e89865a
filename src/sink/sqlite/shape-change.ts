import { type Column, type TableSchema, tableName } from '../../event/table.ts';
import type { RecordedColumn, TableRecord } from './bookkeeping.ts';
import type { ExistingTable } from './existing-table.ts';
import { quote } from './quote.ts';
import { fold, type Placement, placeTable, replicaName, type ReplicaTable } from './replica-table.ts';

/** What it takes to bring a replica table to a new shape of its source. */
export interface ShapeChange {
  readonly table: ReplicaTable;
  /** Names at the replica, dropped before anything is added. */
  readonly drop: readonly string[];
  /** Names at the replica. */
  readonly add: readonly string[];
  /** Why it cannot be done by itself, with what to do; the first of them if there are several. */
  readonly problem: ShapeProblem | undefined;
}

export interface ShapeProblem {
  readonly message: string;
  readonly remedy: string;
}

/**
 * Compares what stands in the file with a table's schema. Columns are known by their attnum, which a rename keeps and a
 * column dropped and added again does not. Added and dropped columns are followed; what an operator has done by hand at the
 * replica is accepted; everything else is a problem.
 */
export function shapeChange(record: TableRecord, existing: ExistingTable, table: TableSchema, placement: Placement): ShapeChange {
  const source = tableName(table);
  const problems: ShapeProblem[] = [];
  const matches = table.columns.map((column) => match(record, table, column));
  const leftOut = new Set(placement.leaveOut[source] ?? []);
  const stands = (name: string): boolean => existing.columns.some((column) => fold(column.name) === fold(name));

  const known = table.columns.map((column, i) => {
    const recorded = matches[i];
    if (recorded === undefined || recorded.replica === null) return undefined;
    const renamed = recorded.name !== column.name;
    return renamed && stands(column.name) && !stands(recorded.replica) ? column.name : recorded.replica;
  });
  const placed = placeTable(table, placement, known);
  const at = quote(existing.name);

  for (const [i, column] of table.columns.entries()) {
    const recorded = matches[i];
    const name = known[i];
    if (recorded === undefined) continue;
    if (leftOut.has(column.name)) {
      if (name !== undefined && stands(name))
        problems.push({ message: `column ${column.name} of ${source} is to be left out and stands at the replica`, remedy: `Run at the replica: ALTER TABLE ${at} DROP COLUMN ${quote(name)}` });
    } else if (name === undefined)
      problems.push({ message: `column ${column.name} of ${source} was left out so far, so the rows at the replica lack it`, remedy: refill });
    else if (!sameValues(recorded, column))
      problems.push({ message: `column ${column.name} of ${source} changed its type from ${recorded.type} to ${column.type}`, remedy: refill });
    else if (recorded.name !== column.name && fold(name) === fold(recorded.replica ?? '') && fold(name) !== fold(column.name))
      problems.push({ message: `column ${recorded.name} of ${source} is called ${column.name} now`, remedy: `Run at the replica: ALTER TABLE ${at} RENAME COLUMN ${quote(name)} TO ${quote(column.name)}` });
  }

  const key = table.key.map((i) => matches[i]?.name);
  if (key.length !== record.key.length || key.some((name, i) => name !== record.key[i]))
    problems.push({ message: `the key of ${source} was (${record.key.join(', ')}) and is (${table.key.map((i) => table.columns[i]?.name).join(', ')}) now`, remedy: refill });
  const target = replicaName(table, placement);
  if (fold(target) !== fold(existing.name))
    problems.push({ message: `${source} stands at the replica as ${existing.name} and is to be ${target}`, remedy: `Run at the replica: ALTER TABLE ${at} RENAME TO ${quote(target)}` });

  const drop = record.columns.flatMap((column) => (column.replica !== null && !matches.includes(column) && stands(column.replica) ? [column.replica] : []));
  const add = placed.columns.flatMap(({ source: column, name }) => (matches[table.columns.indexOf(column)] === undefined ? [name] : []));
  for (const name of add)
    if (stands(name) && !drop.some((dropped) => fold(dropped) === fold(name)))
      problems.push({ message: `${source} has a new column ${name}, and the replica has one of its own of that name`, remedy: `Run at the replica: ALTER TABLE ${at} RENAME COLUMN ${quote(name)} TO …, or drop it` });
  return { table: { ...placed, name: existing.name }, drop, add, problem: problems[0] };
}

const refill =
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

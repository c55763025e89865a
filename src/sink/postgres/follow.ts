import { tableName, type TableSchema } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { failpoint } from '../../runtime/failpoint.ts';
import type { Logger } from '../../runtime/logger.ts';
import { quoteIdentifier as quote, quoteQualified } from '../../runtime/postgres/quote.ts';
import type { DdlPolicy, TableChanges } from '../sink.ts';
import { isEmpty, readTable, type Query } from './catalog.ts';
import { codeFor } from './errors.ts';
import type { WantedTable } from './fit.ts';
import { moveOwned, readMoved, type OwnedTable, type SinkName } from './own-tables.ts';
import { incomplete, unfollowed } from './shape-errors.ts';
import { isOlder, recordOf, shapeChange, type RecordedTable } from './shape-change.ts';
import { planOf, type Place, type Step } from './shape-plan.ts';
import type { QualifiedName } from './target.ts';

export interface FollowOptions {
  readonly query: Query;
  readonly owner: SinkName;
  readonly ddl: DdlPolicy;
  readonly logger: Logger;
}

const savepoint = 'tailrace_ddl';

/** A table that the sink owns, and the shape that its source has now. */
export interface Followed extends Place {
  readonly owned: OwnedTable;
  readonly leftOut: Uint8Array | null;
}

/** Brings an owned table to the shape of its source (docs/adr/0035). */
export async function follow(options: FollowOptions, what: Followed, coverage: TableChanges['coverage']): Promise<void> {
  const { table, owned, leftOut } = what;
  const change = shapeChange(owned.source, recordOf(table, leftOut));
  const isEmptied = change.otherTable && (await isEmpty(options.query, what.name));
  const { steps, undone } = planOf({ ...change, otherTable: change.otherTable && !isEmptied }, { ...what, accept: options.ddl === 'pause' });
  if (undone.length > 0) throw incomplete(table, undone);
  // Without a copy to come nothing brings the values that ALTER TABLE has written anew.
  const byHand = steps.filter((step) => step.byHand === true || (step.retyped === true && coverage === 'partial'));
  if (byHand.length > 0) throw unfollowed(table, byHand.map((step) => step.what).join('; '), byHand);
  if (steps.length > 0 && options.ddl === 'pause') throw unfollowed(table, `${steps.map((step) => step.what).join('; ')}; with ddl: pause that is for somebody to do`, steps);
  for (const step of steps) {
    await run(options.query, step.sql, step.anew ?? (coverage === 'copying' ? step.emptied : undefined)).catch((error: unknown) => {
      if (codeFor(error) !== 'sink-conflict' && codeFor(error) !== 'sink-data') throw error;
      throw unfollowed(table, `${step.what}, and the replica cannot follow (${(error as Error).message})`, steps);
    });
    failpoint('ddl.mid.postgres');
  }
  if (steps.length > 0) options.logger.info({ table: tableName(table), changes: steps.map((step) => step.what) }, 'a table at the replica followed its source');
}

/** A version that comes after a later one would take columns away again. */
export function mustBeNewer(table: TableSchema, { source }: OwnedTable): void {
  if (isOlder(table.version, source.version)) throw new TailraceError('internal', `a change of ${tableName(table)} came in an older version than the replica's table has`);
}

async function run(query: Query, sql: string, otherwise: string | undefined): Promise<void> {
  if (otherwise === undefined) return void (await query(sql));
  await query(`SAVEPOINT ${savepoint}`);
  try {
    await query(sql);
  } catch (error) {
    if (codeFor(error) !== 'sink-data') throw error;
    await query(`ROLLBACK TO SAVEPOINT ${savepoint}`);
    await query(otherwise);
  }
  await query(`RELEASE SAVEPOINT ${savepoint}`);
}

/**
 * The replica's table goes with a source table that has another name now, unless its new place is taken. An operator may have moved
 * it there already.
 */
export async function moved({ query, owner, ddl, logger }: FollowOptions, table: TableSchema, to: QualifiedName): Promise<OwnedTable | undefined> {
  const from = await readMoved(query, owner, table.relid);
  if (from === undefined) return undefined;
  const [old, taken] = [await readTable(query, from.target), await readTable(query, to)];
  if ((old === undefined) === (taken === undefined)) return undefined;
  const steps = old === undefined ? [] : moves(from.target, to, `${tableName(from.source)} is ${tableName(table)} now`);
  if (ddl === 'pause' && steps.length > 0) throw unfollowed(table, `${steps[0]?.what}; with ddl: pause that is for somebody to do`, steps);
  for (const step of steps) await query(step.sql);
  const source = { ...from.source, schema: table.schema, name: table.name };
  await moveOwned(query, from.target, { to, source });
  logger.info({ table: tableName(table), before: tableName(from.source) }, 'a table at the replica was renamed with its source');
  return { ...owner, source };
}

function moves(from: QualifiedName, to: QualifiedName, what: string): readonly Step[] {
  const steps: Step[] = [];
  if (from.schema !== to.schema) {
    steps.push({ what, sql: `CREATE SCHEMA IF NOT EXISTS ${quote(to.schema)}` });
    steps.push({ what, sql: `ALTER TABLE ${quoteQualified(from.schema, from.name)} SET SCHEMA ${quote(to.schema)}` });
  }
  if (from.name !== to.name) steps.push({ what, sql: `ALTER TABLE ${quoteQualified(to.schema, from.name)} RENAME TO ${quote(to.name)}` });
  return steps;
}

/** What a replica's table is to a source whose changes of shape are ignored: the columns that it had, under the names that it had. */
export interface Kept {
  readonly wanted: WantedTable;
  readonly leftOut: Uint8Array | null;
  readonly source: RecordedTable;
}

export function kept({ table, wanted, found, owned, leftOut, name }: Followed): Kept {
  const before = owned.source;
  const now = recordOf(table, leftOut);
  const change = shapeChange(before, now);
  if (change.keyChanged || change.otherTable) {
    const { steps } = planOf(change, { table, wanted, found, name });
    throw unfollowed(table, 'its key is another one, or it is another table, which ddl: ignore cannot leave as it was', steps);
  }
  const matches = table.columns.map((column) => before.columns.find((one) => (one.attnum !== null && column.attnum !== null ? one.attnum === column.attnum : one.name === column.name)));
  const mask = Uint8Array.from(matches, (one) => (one === undefined || one.leftOut ? 1 : 0));
  const columns = matches.flatMap((one, index) => {
    if (one === undefined || one.leftOut) return [];
    const stands = found.columns.find((column) => column.name === one.name);
    return [{ index, name: one.name, type: { type: stands?.type ?? one.type, bare: stands?.bare ?? one.type }, nullable: table.columns[index]?.notNull !== true }];
  });
  const key = table.key.map((index) => matches[index]?.name as string);
  return { wanted: { columns, key }, leftOut: mask.includes(1) ? mask : null, source: { ...before, version: now.version } };
}

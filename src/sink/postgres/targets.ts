import { isDeepStrictEqual } from 'node:util';
import { tableName, type TableSchema } from '../../event/table.ts';
import type { TailraceError } from '../../runtime/errors.ts';
import { quoteIdentifier as quote, quoteQualified } from '../../runtime/postgres/quote.ts';
import type { TableChanges } from '../sink.ts';
import { isEmpty, readTable, readTypes, type Query, type ReplicaTable } from './catalog.ts';
import { keyIndex, mismatches, type WantedColumn, type WantedTable } from './fit.ts';
import { follow, kept, moved, mustBeNewer, type Followed, type FollowOptions } from './follow.ts';
import { readOwned, writeOwned, type OwnedTable, type SinkName } from './own-tables.ts';
import { conflict, gone } from './shape-errors.ts';
import { recordOf } from './shape-change.ts';
import { leftOutColumns, targetName, type NamingConfig } from './target-name.ts';
import type { QualifiedName, Target } from './target.ts';

export interface TargetsOptions extends FollowOptions {
  readonly config: NamingConfig;
  /** Whether triggers and foreign keys of the replica stay quiet. */
  readonly quiet: boolean;
}

let lastId = 0;

/**
 * The replica's tables of one session. A table is looked at when it is met for the first time, and again when its version
 * changes: then it is made, or brought to the new shape, inside the open transaction and before the first row that needs it (PROTOCOL, Applying).
 */
export class Targets {
  readonly #options: TargetsOptions;
  readonly #known = new Map<number, Target>();
  /** Met or changed in the open transaction: an abort takes them back. */
  readonly #fresh = new Set<number>();

  constructor(options: TargetsOptions) {
    this.#options = options;
  }

  /** The target when it is ready, without a question to the replica. */
  ready(table: TableSchema): Target | undefined {
    const target = this.#known.get(table.relid);
    if (target === undefined) return undefined;
    const { version } = target.table;
    const same = target.table === table || (version.epoch === table.version.epoch && version.number === table.version.number);
    return same ? target : undefined;
  }

  /** Makes the target ready. Whatever was collected for the replica must have been sent. */
  async prepare(table: TableSchema, coverage: TableChanges['coverage']): Promise<Target> {
    const { config, owner, query } = this.#options;
    const name = targetName(config, table);
    const leftOut = leftOutColumns(config, table);
    const wanted = await wantedTable(query, table, leftOut);
    const owned = (await readOwned(query, name)) ?? (await moved(this.#options, table, name));
    const found = await readTable(query, name);
    if (owned !== undefined && found !== undefined) return this.#owned({ table, name, wanted, found, owned, leftOut }, coverage);
    if (owned !== undefined) throw gone(table, name);
    if (found === undefined) await create(query, name, wanted);
    else await takeOver(query, { table, name, wanted, found });
    const now = await this.#read(name);
    await writeOwned(query, name, { ...owner, source: recordOf(table, leftOut, now) });
    return this.#keep({ table, name, wanted, leftOut, found: now });
  }

  async #owned(what: Followed, coverage: TableChanges['coverage']): Promise<Target> {
    const { owner, query, ddl } = this.#options;
    const { table, name, owned } = what;
    checkOwner(owned, { owner, table, name });
    mustBeNewer(table, owned);
    if (ddl !== 'ignore') await follow(this.#options, what, coverage);
    const found = await this.#read(name);
    const { wanted, leftOut, source } = ddl === 'ignore' ? kept(what) : { ...what, source: recordOf(table, what.leftOut, found) };
    if (!isDeepStrictEqual(owned.source, source)) await writeOwned(query, name, { ...owner, source });
    return this.#keep({ table, name, wanted, leftOut, found });
  }

  async #read(name: QualifiedName): Promise<ReplicaTable> {
    return (await readTable(this.#options.query, name)) as ReplicaTable;
  }

  /** The transaction is over. */
  settle(committed: boolean): void {
    if (!committed) for (const relid of this.#fresh) this.#known.delete(relid);
    this.#fresh.clear();
    for (const target of this.#known.values()) {
      if (target.stage === 'open') target.stage = committed ? 'kept' : 'none';
      target.dirty = false;
    }
  }

  #keep(what: Known & { readonly leftOut: Uint8Array | null }): Target {
    const { table, name, wanted, found, leftOut } = what;
    const problems = mismatches(wanted, found);
    if (problems.length > 0) throw conflict(table, name, `does not fit: ${problems.join('; ')}`);
    if (!this.#options.quiet && (found.triggers || found.foreignKeys)) throw noisy(table, name);
    const index = keyIndex(wanted.key, found);
    const target: Target = {
      table,
      name,
      id: ++lastId,
      columns: wanted.columns.map((column) => ({
        index: column.index,
        name: column.name,
        type: found.columns.find((one) => one.name === column.name)?.bare as string,
        equals: index?.equals[index.columns.indexOf(column.name)],
      })),
      leftOut,
      key: table.key.toSorted((a, b) => a - b),
      referenced: found.referenced,
      copyReads: true,
      copyRests: 0,
      stage: 'none',
      dirty: false,
    };
    this.#known.set(table.relid, target);
    this.#fresh.add(table.relid);
    return target;
  }
}

interface Known {
  readonly table: TableSchema;
  readonly name: QualifiedName;
  readonly wanted: WantedTable;
  readonly found: ReplicaTable;
}

export async function wantedTable(query: Query, table: TableSchema, leftOut: Uint8Array | null): Promise<WantedTable> {
  const types = await readTypes(query, table.columns);
  const columns = table.columns.map((column, index): WantedColumn => ({
    index,
    name: column.name,
    type: types[index] ?? { type: 'text', bare: 'text' },
    nullable: !column.notNull,
  }));
  return {
    columns: columns.filter((column) => leftOut?.[column.index] !== 1),
    key: table.key.map((index) => table.columns[index]?.name as string),
  };
}

async function makeSchema(query: Query, schema: string): Promise<void> {
  const schemas = await query('SELECT FROM pg_namespace WHERE nspname = $1', [schema]);
  // Not IF NOT EXISTS alone: that asks for the right to create schemas even where the schema is there.
  if (schemas.length === 0) await query(`CREATE SCHEMA IF NOT EXISTS ${quote(schema)}`);
}

async function create(query: Query, name: QualifiedName, wanted: WantedTable): Promise<void> {
  await makeSchema(query, name.schema);
  const parts = wanted.columns.map((column) => `${quote(column.name)} ${column.type.type}`);
  if (wanted.key.length > 0) parts.push(`PRIMARY KEY (${wanted.key.map(quote).join(', ')})`);
  await query(`CREATE TABLE ${quoteQualified(name.schema, name.name)} (${parts.join(', ')})`);
}

/** A table that somebody else made is ours if nothing is in it and it fits. */
async function takeOver(query: Query, { table, name, wanted, found }: Known): Promise<void> {
  const problems = mismatches(wanted, found);
  if (problems.length > 0) throw conflict(table, name, `does not fit: ${problems.join('; ')}`);
  if (!(await isEmpty(query, name))) throw conflict(table, name, 'holds rows that Tailrace did not write');
}

export function checkOwner(owned: OwnedTable, what: { readonly owner: SinkName; readonly table: TableSchema; readonly name: QualifiedName }): void {
  const { owner, table, name } = what;
  if (owned.pipeline !== owner.pipeline || owned.sink !== owner.sink) {
    throw conflict(table, name, `is written by the sink ${owned.sink} of the pipeline ${owned.pipeline}`);
  }
  if (owned.source.schema !== table.schema || owned.source.name !== table.name) {
    throw conflict(table, name, `is written with the rows of ${tableName(owned.source)}`);
  }
}

export function noisy(table: TableSchema, name: QualifiedName): TailraceError {
  return conflict(
    table,
    name,
    'has triggers or foreign keys, which would act on rows that the source has dealt with already',
    'GRANT SET ON PARAMETER session_replication_role TO the sink\'s role (PostgreSQL 15 and later; before, it takes a superuser), or drop them.',
  );
}

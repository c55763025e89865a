import type { Position } from '../../src/event/position.ts';
import type { ReplicaIdentity, TableSchema } from '../../src/event/table.ts';
import type { SinkSession, TableChanges, TableOperation } from '../../src/sink/sink.ts';
import { changeOf, type Texts } from './change-samples.ts';

/** Builders of tables, changes and positions for the sinks' contract suite. */

export interface TableSpec {
  /** `name type`, as in `id integer`; a name may hold blanks, its type may not unless it stands in `types`. */
  readonly columns: readonly (readonly [name: string, type: string])[];
  readonly name?: string;
  readonly schema?: string;
  readonly relid?: number;
  readonly key?: readonly number[];
  readonly identity?: ReplicaIdentity;
  readonly version?: number;
  /** 1, 2, 3, … unless told. */
  readonly attnums?: readonly number[];
}

const oids: Partial<Record<string, number>> = {
  boolean: 16, bytea: 17, bigint: 20, smallint: 21, integer: 23, text: 25, json: 114, real: 700, 'double precision': 701,
  date: 1082, 'timestamp without time zone': 1114, 'timestamp with time zone': 1184, numeric: 1700, uuid: 2950, jsonb: 3802,
};

let relids = 20_000;

export function tableOf(spec: TableSpec): TableSchema {
  const key = spec.key ?? [0];
  const columns = spec.columns.map(([name, type], i) => {
    const oid = oids[type] ?? 90_000;
    const attnum = spec.attnums?.[i] ?? i + 1;
    return { name, attnum, typeOid: oid, typmod: -1, type, baseTypeOid: oid, notNull: key.includes(i) };
  });
  return {
    relid: spec.relid ?? relids++,
    schema: spec.schema ?? 'public',
    name: spec.name ?? 'people',
    columns,
    key,
    replicaIdentity: spec.identity ?? (key.length === 0 ? 'full' : 'default'),
    version: { epoch: 1, number: spec.version ?? 1 },
  };
}

/** The same table in a later version. */
export function altered(table: TableSchema, spec: Omit<TableSpec, 'name' | 'schema' | 'relid'>): TableSchema {
  const version = spec.version ?? table.version.number + 1;
  return tableOf({ key: table.key, identity: table.replicaIdentity, ...spec, version, name: table.name, schema: table.schema, relid: table.relid });
}

export const insert = (table: TableSchema, row: Texts): TableOperation => changeOf(table, { op: 'c', new: row });
export const read = (table: TableSchema, row: Texts): TableOperation => changeOf(table, { op: 'r', new: row });
/** The key did not change, and the old row is not sent. `undefined` in `row` is unchanged TOAST. */
export const update = (table: TableSchema, row: Texts): TableOperation => changeOf(table, { op: 'u', new: row });
export const truncate: TableOperation = { op: 't' };

/** The key changed: `old` is a row, of which only the key is sent. */
export function rekey(table: TableSchema, old: Texts, row: Texts): TableOperation {
  return changeOf(table, { op: 'u', old: keyOnly(table, old), oldKind: 'key', new: row });
}

/** Replica identity full: the whole old row is sent. */
export function updateFull(table: TableSchema, old: Texts, row: Texts): TableOperation {
  return changeOf(table, { op: 'u', old, oldKind: 'full', new: row });
}

/** Sends of the old row what the table's replica identity says. */
export function remove(table: TableSchema, old: Texts): TableOperation {
  if (table.replicaIdentity === 'full') return changeOf(table, { op: 'd', old, oldKind: 'full' });
  return changeOf(table, { op: 'd', old: keyOnly(table, old), oldKind: 'key' });
}

function keyOnly(table: TableSchema, row: Texts): Texts {
  return table.columns.map((_, i) => (table.key.includes(i) ? row[i] : null));
}

export function positionAt(n: number, more: Partial<Position> = {}): Position {
  return { logId: 'log-1', systemIdentifier: '7412345678901234567', startId: '00112233445566aa', epoch: 1, commitLsn: BigInt(n), offset: n, ...more };
}

/** One transaction at the replica, from begin to commit. */
export async function apply(session: SinkSession, to: Position, ...writes: readonly TableChanges[]): Promise<void> {
  const state = await session.begin(to);
  if (state !== 'open') throw new Error(`begin said ${state}`);
  for (const write of writes) await session.write(write);
  await session.commit();
}

export function changes(
  table: TableSchema,
  list: readonly TableOperation[],
  coverage: TableChanges['coverage'] = 'complete',
): TableChanges {
  return { table, changes: list, coverage };
}

import { noTable, sameShape, tableName, type RegisteredSchema, type SchemaVersion, type TableSchema, type TableShape, type TableState } from '../event/table.ts';
import type { LookRecord, PartitionRecord, VersionRecord } from './control-records.ts';

/** The schema versions that the log holds, and the numbers of new ones (PROTOCOL, Identity: epoch and number). */
export class SchemaVersions {
  readonly #byVersion = new Map<string, TableSchema>();
  /** By relid. */
  readonly #current = new Map<number, TableSchema>();
  /** The table that a name was last given to. */
  readonly #named = new Map<string, TableSchema>();
  readonly #looks = new Map<number, Look>();
  readonly #gone = new Set<number>();
  /** By relid, the partitions that events have rows of and no look has settled. */
  readonly #partitions = new Map<number, Set<string>>();
  #epoch = 0;
  #next = 1;

  constructor(records: readonly (VersionRecord | LookRecord | PartitionRecord)[] = []) {
    for (const record of records) {
      if (record.type === 'version') this.add(record);
      else if (record.type === 'look') this.look(record);
      else this.meet(record);
    }
  }

  add(record: VersionRecord): TableSchema {
    const schema: TableSchema = { ...record.shape, version: record.version, registered: record.registered };
    this.#byVersion.set(versionText(record.version), schema);
    this.#current.set(schema.relid, schema);
    this.#named.set(tableName(schema), schema);
    const look = this.#looks.get(schema.relid);
    if (look !== undefined && schema.columns.some((column) => column.attnum === null)) look.uncertain = true;
    return schema;
  }

  look({ relid, version, state, settled = [] }: LookRecord): void {
    for (const partition of settled) this.#partitions.get(relid)?.delete(String(partition));
    const schema = this.get(version);
    if (state === null) this.#gone.add(relid);
    else if (schema !== undefined) this.#looks.set(relid, { schema, state, uncertain: false });
  }

  meet({ relid, partition }: PartitionRecord): void {
    this.#partitions.set(relid, (this.#partitions.get(relid) ?? new Set()).add(String(partition)));
  }

  /** Partitions that events have rows of and no look has settled. */
  unsettled(relid: number): ReadonlySet<string> {
    return this.#partitions.get(relid) ?? none;
  }

  /** The last look at a table; undefined when there was none. */
  looked(relid: number): Readonly<Look> | undefined {
    return this.#looks.get(relid);
  }

  /** Whether a look has found that the table is not there any more. */
  isGone(relid: number): boolean {
    return this.#gone.has(relid);
  }

  /** New versions are numbered from 1 in each epoch, so that two publishers never give one number to two shapes. */
  enterEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#next = 1;
  }

  /**
   * The schema for a shape, under the format's own schemas if it has such; `record` is set when it is new and must be durable
   * before the first event that names it. `before` is what the table was until then. A name that went to another table and comes
   * back begins a new version, whatever it looks like.
   */
  of(shape: TableShape, registered?: readonly RegisteredSchema[]): { readonly schema: TableSchema; readonly record: VersionRecord | null; readonly before: TableSchema | undefined } {
    const current = this.#current.get(shape.relid);
    if (current !== undefined && sameShape(current, shape) && this.named(shape)?.relid === shape.relid && sameIds(current.registered, registered)) return { schema: current, record: null, before: current };
    const { relid, schema, name, columns, key, replicaIdentity } = shape;
    const record: VersionRecord = {
      type: 'version',
      version: { epoch: this.#epoch, number: this.#next++ },
      shape: { relid, schema, name, columns, key, replicaIdentity },
      registered,
    };
    return { schema: this.add(record), record, before: current };
  }

  get(version: SchemaVersion): TableSchema | undefined {
    return this.#byVersion.get(versionText(version));
  }

  /** The table that was the last one of this name. */
  named(table: { readonly schema: string; readonly name: string }): TableSchema | undefined {
    return this.#named.get(tableName(table));
  }

  /** For each name that a table ever had, the last one that had it. */
  byNames(): readonly TableSchema[] {
    return [...this.#named.values()].filter(({ relid }) => relid !== noTable.relid);
  }

  currentOf(relid: number): TableSchema | undefined {
    return this.#current.get(relid);
  }

  /** What the format had registered for any version so far. */
  registered(): readonly RegisteredSchema[] {
    return [...this.#byVersion.values()].flatMap((schema) => schema.registered ?? []);
  }

  /** The newest schema of each table. */
  current(): readonly TableSchema[] {
    return [...this.#current.values()].filter(({ relid }) => relid !== noTable.relid);
  }
}

const none: ReadonlySet<string> = new Set();

interface Look {
  readonly schema: TableSchema;
  readonly state: TableState;
  /** A version came since whose columns could not all be told. */
  uncertain: boolean;
}

function sameIds(a: readonly RegisteredSchema[] = [], b: readonly RegisteredSchema[] = []): boolean {
  return a.length === b.length && a.every(({ registry, subject, id }, i) => registry === b[i]?.registry && subject === b[i].subject && id === b[i].id);
}

export function versionText(version: SchemaVersion): string {
  return `${version.epoch}.${version.number}`;
}

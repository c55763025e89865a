import { noTable, sameShape, type RegisteredSchema, type SchemaVersion, type TableSchema, type TableShape } from '../event/table.ts';
import type { VersionRecord } from './control-records.ts';

/** The schema versions that the log holds, and the numbers of new ones (PROTOCOL, Identity: epoch and number). */
export class SchemaVersions {
  readonly #byVersion = new Map<string, TableSchema>();
  readonly #current = new Map<number, TableSchema>();
  #epoch = 0;
  #next = 1;

  constructor(records: readonly VersionRecord[] = []) {
    for (const record of records) this.add(record);
  }

  add(record: VersionRecord): TableSchema {
    const schema: TableSchema = { ...record.shape, version: record.version, registered: record.registered };
    this.#byVersion.set(versionText(record.version), schema);
    this.#current.set(schema.relid, schema);
    return schema;
  }

  /** New versions are numbered from 1 in each epoch, so that two publishers never give one number to two shapes. */
  enterEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#next = 1;
  }

  /**
   * The schema for a shape, under the format's own schemas if it has such; `record` is set when it is new and must be durable
   * before the first event that names it. `before` is what the table was until then.
   */
  of(shape: TableShape, registered?: readonly RegisteredSchema[]): { readonly schema: TableSchema; readonly record: VersionRecord | null; readonly before: TableSchema | undefined } {
    const current = this.#current.get(shape.relid);
    if (current !== undefined && sameShape(current, shape) && sameIds(current.registered, registered)) return { schema: current, record: null, before: current };
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

  /** What the format had registered for any version so far. */
  registered(): readonly RegisteredSchema[] {
    return [...this.#byVersion.values()].flatMap((schema) => schema.registered ?? []);
  }

  /** The newest schema of each table. */
  current(): readonly TableSchema[] {
    return [...this.#current.values()].filter(({ relid }) => relid !== noTable.relid);
  }
}

function sameIds(a: readonly RegisteredSchema[] = [], b: readonly RegisteredSchema[] = []): boolean {
  return a.length === b.length && a.every(({ registry, subject, id }, i) => registry === b[i]?.registry && subject === b[i].subject && id === b[i].id);
}

export function versionText(version: SchemaVersion): string {
  return `${version.epoch}.${version.number}`;
}

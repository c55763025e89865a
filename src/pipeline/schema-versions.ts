import { sameShape, type SchemaVersion, type TableSchema, type TableShape } from '../event/table.ts';
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
    const schema: TableSchema = { ...record.shape, version: record.version };
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
   * The schema for a shape; `record` is set when it is new and must be durable before the first event that names it. `before`
   * is what the table was until then.
   */
  of(shape: TableShape): { readonly schema: TableSchema; readonly record: VersionRecord | null; readonly before: TableSchema | undefined } {
    const current = this.#current.get(shape.relid);
    if (current !== undefined && sameShape(current, shape)) return { schema: current, record: null, before: current };
    const { relid, schema, name, columns, key, replicaIdentity } = shape;
    const record: VersionRecord = {
      type: 'version',
      version: { epoch: this.#epoch, number: this.#next++ },
      shape: { relid, schema, name, columns, key, replicaIdentity },
    };
    return { schema: this.add(record), record, before: current };
  }

  get(version: SchemaVersion): TableSchema | undefined {
    return this.#byVersion.get(versionText(version));
  }

  /** The newest schema of each table. */
  current(): readonly TableSchema[] {
    return [...this.#current.values()];
  }
}

export function versionText(version: SchemaVersion): string {
  return `${version.epoch}.${version.number}`;
}

import type { ReplicaIdentity } from '../../event/table.ts';
import { FieldReader } from './bytes.ts';

/** pgoutput's Relation message: what a table was when the rows behind it were written. */
export interface Relation {
  readonly relid: number;
  readonly schema: string;
  readonly name: string;
  readonly replicaIdentity: ReplicaIdentity;
  readonly columns: readonly RelationColumn[];
}

export interface RelationColumn {
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
  /** Part of the replica identity; with identity full every column is. */
  readonly identity: boolean;
}

/** `pg_class.relreplident`. */
export const replicaIdentities: Readonly<Record<string, ReplicaIdentity>> = { d: 'default', n: 'nothing', f: 'full', i: 'index' };

/** Parses the body behind the type byte `R`. */
export function parseRelation(bytes: Uint8Array, at: number, end: number): Relation {
  const fields = new FieldReader(bytes, at, end);
  const relid = fields.uint32();
  // The system's own schema is sent as an empty string.
  const schema = fields.string() || 'pg_catalog';
  const name = fields.string();
  const letter = String.fromCharCode(fields.uint8());
  const replicaIdentity = replicaIdentities[letter];
  if (replicaIdentity === undefined) throw new RangeError(`a Relation with replica identity ${JSON.stringify(letter)}`);
  const columns: RelationColumn[] = [];
  for (let left = fields.uint16(); left > 0; left--) {
    const identity = (fields.uint8() & 1) !== 0;
    columns.push({ identity, name: fields.string(), typeOid: fields.uint32(), typmod: fields.int32() });
  }
  return { relid, schema, name, replicaIdentity, columns };
}

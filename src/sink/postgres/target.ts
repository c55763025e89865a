import type { TableSchema } from '../../event/table.ts';
import { TupleReader } from '../../event/tuple.ts';
import type { Image } from './images.ts';

/** A table's place at the replica. */
export interface QualifiedName {
  readonly schema: string;
  readonly name: string;
}

/** A column that the replica has, of a source table. */
export interface TargetColumn {
  /** Its index in the source table's tuples. */
  readonly index: number;
  readonly name: string;
  /** The replica's type without a modifier (`numeric`, `bpchar`): what a parameter is cast to. */
  readonly type: string;
  /** For a column of the key, the equality that its index knows: `OPERATOR(pg_catalog.=)`. */
  readonly equals: string | undefined;
}

/** A table at the replica that is ready to be written, for one version of the source's table. */
export interface Target {
  readonly table: TableSchema;
  readonly name: QualifiedName;
  /** Unique over the life of a connection: prepared statements and the staging table carry it. */
  readonly id: number;
  readonly columns: readonly TargetColumn[];
  /** Of each column of a tuple, 1 when the replica does not have it; null when it has them all. */
  readonly leftOut: Uint8Array | null;
  /** Indexes into tuples, ascending. Empty: no key. */
  readonly key: readonly number[];
  /** TRUNCATE refuses a table that foreign keys refer to, even empty ones: its rows are deleted instead. */
  readonly referenced: boolean;
  /** Whether rows read from the source still go in by COPY: until one of them is found to be there already. */
  copyReads: boolean;
  /** So many batches still to come whose inserts do not go in by COPY where they are few, or come with other changes: a row was there that should not. */
  copyRests: number;
  /** Whether its staging table is there: not, since this transaction began, or for good; `dirty` says that it holds rows. */
  stage: 'none' | 'open' | 'kept';
  dirty: boolean;
}

const reader = new TupleReader();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** The key of a row for messages, as blocked keys are written too: `(7)`, `(eu, 12)`. Other values never stand in messages. */
export function keyText(table: TableSchema, image: Image): string {
  const texts: string[] = [];
  reader.reset(image.bytes, image.at);
  while (reader.next()) {
    if (table.key.includes(reader.index)) texts.push(decoder.decode(reader.bytes.subarray(reader.start, Math.min(reader.end, reader.start + 200))));
  }
  return `(${texts.join(', ')})`;
}

import type { TableShape } from '../event/table.ts';
import type { Place, SnapshotRecord } from './control-records.ts';
import type { RowRef } from './copy-rows.ts';

/**
 * Writes a copy's rows as events of the transaction whose commit is being held (the publisher implements it). `rows` are op
 * `r`; `truncate` comes first where the copy replaces an older one; `record` is confirmed by that transaction's END.
 */
export interface CopyWriter {
  writeCopy(piece: CopyPiece): Promise<void>;
  /** What has been written of the piece belongs to nobody: the transaction has no END. */
  discardCopy(): void;
}

export interface CopyPiece {
  /** As the rows were read. Without rows, where a copy begins: the table, which may have another shape by now. */
  readonly shape: TableShape;
  readonly begins?: true;
  readonly truncate: boolean;
  /** By blocks, so that no promise is made a row. */
  readonly blocks: AsyncIterable<Iterable<RowRef>> | Iterable<Iterable<RowRef>>;
  /** The source's partitions that the rows may be of. */
  readonly partitions: readonly string[];
  /** Called with the transaction's place once all rows are written, because only then their number is known. */
  readonly record: (place: Place) => SnapshotRecord;
}

/** What is done at the commit of a watermark's transaction, while that commit is held. */
export type Held = (writer: CopyWriter) => Promise<void>;

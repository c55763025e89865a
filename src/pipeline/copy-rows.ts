import type { RowBlock, WholeTable } from '../source/source.ts';
import type { SnapshotWindow } from './snapshot-window.ts';

/** One row of a copy: a tuple in a block. */
export interface RowRef {
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly end: number;
}

/** The chunk's rows as they have to be written: those that the stream has newer are left out, partial changes laid over. */
export function* resolved(rows: RowBlock, window: SnapshotWindow, count: (rows: number) => void): Generator<RowRef> {
  for (let i = 0; i < rows.count; i++) {
    const at = rows.starts[i] as number;
    const row = window.resolve(rows.bytes, at);
    if (row === null) continue;
    yield { bytes: row.bytes, at: row.at, end: row.bytes === rows.bytes ? rowEnd(rows, i) : row.bytes.length };
  }
  count(rows.count);
}

function rowEnd(rows: RowBlock, i: number): number {
  return i + 1 < rows.count ? (rows.starts[i + 1] as number) : rows.length;
}

/** Every row of a copy in one piece, by blocks. */
export async function* every(whole: WholeTable, count: (rows: number) => void): AsyncGenerator<Iterable<RowRef>> {
  for await (const block of whole.blocks()) {
    yield rowsOf(block);
    count(block.count);
  }
}

function* rowsOf(block: RowBlock): Generator<RowRef> {
  for (let i = 0; i < block.count; i++) yield { bytes: block.bytes, at: block.starts[i] as number, end: rowEnd(block, i) };
}

import type { TableShape } from '../event/table.ts';
import type { Chunk, RowMemory, SnapshotReader, Visibility, WholeTable } from '../source/source.ts';
import { TailraceError } from '../runtime/errors.ts';
import { failpoint } from '../runtime/failpoint.ts';
import { every, resolved } from './copy-rows.ts';
import type { CopyPiece, CopyWriter } from './copy-writer.ts';
import type { Copy, Piece } from './copy.ts';
import { SnapshotWindow } from './snapshot-window.ts';
import type { StreamedTransactions } from './visibility.ts';
import type { Watermarks } from './watermarks.ts';

/** A chunk whose low watermark the stream has brought and whose high one it has not. */
export interface ChunkWindow {
  readonly relid: number;
  readonly changes: SnapshotWindow;
  /** Transactions streamed before the low watermark. */
  readonly mark: number;
}

export interface CopyTools {
  readonly reader: SnapshotReader;
  /** Of who reads: one chunk at a time lies in it, until it is written. */
  readonly memory: RowMemory;
  readonly streamed: StreamedTransactions;
  readonly signal: AbortSignal;
  /** Whether WAL at the source runs short. */
  readonly givesWay: () => boolean;
  readonly windows: Set<ChunkWindow>;
  readonly watermarks: Watermarks;
  /** Called when the stream ends. */
  readonly waiting: Set<(error: Error) => void>;
  readonly newMark: () => string;
}

export type Outcome =
  /** `dropped`: the copy wants it no more; `gone`: the table is not there any more. */
  | { readonly kind: 'written' | 'dropped' | 'gone' }
  | { readonly kind: 'again'; readonly why: string }
  /** The table is told by another key than its copy began with: what is left of the order of that means nothing. */
  | { readonly kind: 'rekeyed'; readonly shape: TableShape };

/** The stream waits for as long as these take to be written: a tenth of a second or so. */
const chunkBytes = 4 << 20;

/** Reads one chunk; resolves when the stream has come to its high watermark and the rows are written, or not. */
export async function copyChunk(copy: Copy, piece: Piece, tools: CopyTools): Promise<Outcome> {
  const { reader, memory, streamed, signal, windows, watermarks } = tools;
  const { table } = copy.job;
  const mark = tools.newMark();
  const [low, high] = [`${mark}:low`, `${mark}:high`];
  let window: ChunkWindow | null = null;
  const written = promised<Outcome>();
  const of = 'range' in piece
    ? { after: piece.range.after, until: piece.range.until, keys: null, maxRows: copy.rowsOf(piece.range, chunkBytes * 0.9) }
    : { after: null, keys: piece.keys.map(({ key }) => key), maxRows: Infinity };
  const read = reader.chunk({ table, low, high, ...of, where: copy.job.where ?? null, maxBytes: chunkBytes, memory, signal });
  watermarks.set(low, () => {
    // This watermark's own transaction has been counted by now and is no one's concern.
    window = { relid: table.relid, changes: new SnapshotWindow(table), mark: streamed.count - 1 };
    windows.add(window);
    return null;
  });
  watermarks.set(high, () => async (writer) => {
    // Its failure is the reader's to tell, not the stream's.
    const chunk = await read.catch(() => null);
    if (chunk === null) return;
    failpoint('snapshot.chunk_read');
    written.resolve(await writeChunk(copy, piece, { chunk, window, streamed, writer }));
  });
  tools.waiting.add(written.reject);
  try {
    const chunk = await read;
    if (chunk === null) return { kind: 'gone' };
    (window as ChunkWindow | null)?.changes.arrived(chunk.rows);
    return await written.promise;
  } finally {
    tools.waiting.delete(written.reject);
    watermarks.delete(low);
    watermarks.delete(high);
    if (window !== null) windows.delete(window);
  }
}

async function writeChunk(
  copy: Copy,
  piece: Piece,
  { chunk, window, streamed, writer }: { readonly chunk: Chunk; readonly window: ChunkWindow | null; readonly streamed: StreamedTransactions; readonly writer: CopyWriter },
): Promise<Outcome> {
  if (!copy.holds(piece)) return { kind: 'dropped' };
  if (window === null) return { kind: 'again', why: 'the low watermark did not come' };
  const why = unusable(window, chunk, streamed);
  if (why !== null) return { kind: 'again', why };
  if (isRekeyed(copy.job.table, chunk.shape)) return { kind: 'rekeyed', shape: chunk.shape };
  await writer.writeCopy({
    shape: chunk.shape,
    truncate: false,
    partitions: chunk.rows.count === 0 ? [] : chunk.partitions,
    blocks: [resolved(chunk.rows, window.changes, (rows) => { copy.progress.rows += rows; })],
    record: (place) => copy.advance(piece, chunk, place),
  });
  return { kind: 'written' };
}

function isRekeyed(before: TableShape, now: TableShape): boolean {
  const keyOf = ({ key, columns }: TableShape): string => key.map((i) => columns[i]?.attnum ?? '').join();
  // Where the stream could not tell the columns apart a look follows, and a copy after it.
  return !before.columns.some(({ attnum }) => attnum === null) && keyOf(before) !== keyOf(now);
}

function unusable(window: ChunkWindow, chunk: Chunk, streamed: StreamedTransactions): string | null {
  if (window.changes.spoiled !== null) return window.changes.spoiled;
  if (!chunk.stable) return 'the table changed its shape meanwhile';
  if (!streamed.allVisible(window.mark, chunk.visibility)) return 'a delivered transaction was not visible yet';
  return null;
}

/** Copies a table without a key, in one snapshot; publishing is held meanwhile. */
export async function copyWhole(copy: Copy, tools: CopyTools): Promise<Outcome> {
  const { reader, streamed, signal, watermarks, waiting } = tools;
  // The stream may have ended while the copy was being opened: then it brings no watermark, nor tells anybody who waits from now on.
  signal.throwIfAborted();
  const low = `${tools.newMark()}:low`;
  const written = promised<Outcome>();
  watermarks.set(low, () => {
    const mark = streamed.count - 1;
    return async (writer) => {
      const whole = await visibleWhole(copy, mark, tools).catch((error: unknown) => {
        written.reject(error);
        return null;
      });
      // Where it failed nobody hears this.
      if (whole === null) return written.resolve({ kind: 'gone' });
      if (copy.phase === 'over') {
        await whole.close();
        return written.resolve({ kind: 'dropped' });
      }
      failpoint('snapshot.whole_read');
      copy.progress.holdsPublishing = true;
      try {
        await writer.writeCopy(wholePiece(copy, whole, tools.givesWay));
        written.resolve({ kind: 'written' });
      } catch (error) {
        const given = error === gaveWay || error === altered;
        if (!given && !(error instanceof TailraceError && error.code.startsWith('source-'))) throw error;
        writer.discardCopy();
        copy.progress.rows = 0;
        copy.progress.retries++;
        if (given) written.resolve({ kind: 'again', why: (error as Error).message });
        else written.reject(error);
      } finally {
        copy.progress.holdsPublishing = false;
        await whole.close();
      }
    };
  });
  waiting.add(written.reject);
  try {
    await reader.watermark(low);
    return await written.promise;
  } finally {
    waiting.delete(written.reject);
    watermarks.delete(low);
  }
}

/** Thrown out of the reading of a copy in one piece, which holds up the stream: so that the stream can catch up, and where what was read counts for nothing. */
const gaveWay = new Error('WAL at the source ran short');
const altered = new Error('the table, or what is a partition of it, changed while it was read');

function wholePiece(copy: Copy, whole: WholeTable, givesWay: () => boolean): CopyPiece {
  const { shape, visibility, lsn } = whole;
  return {
    shape,
    // Rows of this table may have been streamed before: without a key only emptying makes the copy exact.
    truncate: true,
    partitions: whole.partitions,
    blocks: stable(whole, (rows) => {
      copy.progress.rows += rows;
      if (givesWay()) throw gaveWay;
    }),
    record: (place) => copy.inOnePiece(place, { ...textsOf(visibility), lsn }),
  };
}

async function* stable(whole: WholeTable, count: (rows: number) => void): ReturnType<typeof every> {
  yield* every(whole, count);
  if (!(await whole.isStable())) throw altered;
}

/** It may be rejected, by the end of the stream, before anybody awaits it. */
function promised<T>(): PromiseWithResolvers<T> {
  const promise = Promise.withResolvers<T>();
  promise.promise.catch(() => undefined);
  return promise;
}

function textsOf({ xmin, xmax, running }: Visibility): { readonly xmin: string; readonly xmax: string; readonly running: readonly string[] } {
  return { xmin: xmin.toString(), xmax: xmax.toString(), running: running.map(String) };
}

/** A snapshot of the whole table in which everything streamed so far is visible; null when the table is gone. */
async function visibleWhole(copy: Copy, mark: number, { reader, signal, streamed }: CopyTools): Promise<WholeTable | null> {
  for (;;) {
    const whole = await reader.whole(copy.job.table, signal);
    if (whole === null || streamed.allVisible(mark, whole.visibility)) return whole;
    await whole.close();
  }
}

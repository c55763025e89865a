import type { MessageChange, RowChange, TruncateChange } from '../event/change.ts';
import { tableName, type TableShape } from '../event/table.ts';
import { watermarkPrefix, type Chunk, type SnapshotReader, type WholeTable } from '../source/source.ts';
import { failpoint } from '../runtime/failpoint.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Place, SnapshotRecord } from './control-records.ts';
import { every, resolved, type RowRef } from './copy-rows.ts';
import { keyTexts } from './row-key.ts';
import { SnapshotWindow } from './snapshot-window.ts';
import type { StreamedTransactions } from './visibility.ts';

/** One table to be copied, for everybody or for the sink that asked. */
export interface CopyJob {
  readonly table: TableShape;
  readonly sink: string | null;
  /** The id of the ask that it answers; null when it is for everybody. */
  readonly ask: string | null;
  /** How far it came before; null begins anew. */
  readonly resume: SnapshotRecord | null;
  /** Whether readers may hold rows of an earlier copy: then this one begins with a truncate event. */
  readonly replaces: boolean;
}

/** What is shown of a copy. */
export interface CopyProgress {
  readonly table: string;
  readonly sink: string | null;
  state: 'waiting' | 'copying' | 'done';
  rows: number;
  estimate: number | undefined;
  retries: number;
  /** The session whose transaction must end before the copy can begin. */
  waitingFor: string | null;
}

/**
 * Writes a copy's rows as events of the transaction whose commit is being held (the publisher implements it). `rows` are op
 * `r`; `truncate` comes first where the copy replaces an older one; `record` is confirmed by that transaction's END.
 */
export interface CopyWriter {
  writeCopy(piece: CopyPiece): Promise<void>;
}

export interface CopyPiece {
  readonly shape: TableShape;
  readonly truncate: boolean;
  /** By blocks, so that no promise is made a row. */
  readonly blocks: AsyncIterable<Iterable<RowRef>> | Iterable<Iterable<RowRef>>;
  /** Called with the transaction's place once all rows are written, because only then their number is known. */
  readonly record: (place: Place) => SnapshotRecord;
}

const firstChunkRows = 50_000;
const smallestChunkRows = 16;
const chunkBytes = 8 << 20;

type Outcome = { readonly kind: 'written' } | { readonly kind: 'again'; readonly why: string };

/** The chunk under way, from the writing of its low watermark to the commit of its high one in the stream. */
interface Current {
  readonly job: CopyJob;
  readonly low: string;
  readonly high: string;
  window: SnapshotWindow | null;
  /** Transactions streamed before the low watermark. */
  mark: number;
  /** Set once the low watermark's message was seen while the copy has not begun: its commit is held. */
  beginning: boolean;
  /** Set once the high watermark's message was seen: its commit is held. */
  due: boolean;
  /** Writes that the copy begins; null when it has begun before. */
  readonly begin: ((writer: CopyWriter) => Promise<void>) | null;
  readonly close: (writer: CopyWriter) => Promise<Outcome>;
  readonly settle: (outcome: Outcome) => void;
  readonly fail: (error: unknown) => void;
}

export interface SnapshotterOptions {
  readonly reader: SnapshotReader;
  readonly streamed: StreamedTransactions;
  /** Names the watermarks of this START, so that those of an earlier life are not taken for ours. */
  readonly startId: string;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** The transaction topic's end offset: the END that confirms a record lies behind it. */
  readonly transactionOffset: () => number;
}

/**
 * Copies tables while their changes stream (PROTOCOL, Snapshots). It runs beside the stream: `run` asks the source for one
 * chunk after the other; the publisher tells it what the stream brings (`row`, `truncate`, `message`) and asks at each
 * commit whether it must be held (`held`), because a chunk's rows are events of the transaction of its high watermark.
 */
export class Snapshotter {
  readonly #options: SnapshotterOptions;
  readonly #jobs: CopyJob[] = [];
  readonly progress: CopyProgress[] = [];
  #current: Current | null = null;
  #watermarks = 0;
  #records = 0;
  #wake: () => void = () => {};

  constructor(options: SnapshotterOptions) {
    this.#options = options;
  }

  add(job: CopyJob): void {
    this.#jobs.push(job);
    this.progress.push({
      table: tableName(job.table), sink: job.sink, state: 'waiting', rows: job.resume?.rows ?? 0,
      estimate: undefined, retries: 0, waitingFor: null,
    });
    this.#wake();
  }

  /** Copies whatever is added until the signal aborts. */
  async run(): Promise<void> {
    const { signal } = this.#options;
    for (let next = 0; !signal.aborted; ) {
      const job = this.#jobs[next];
      if (job !== undefined) {
        await this.#copy(job, this.progress[next] as CopyProgress);
        next++;
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  /** A row of the stream; cheap when it is of no table that is being copied. */
  row(change: RowChange): void {
    const current = this.#current;
    if (current === null || current.window === null || change.table.relid !== current.job.table.relid) return;
    current.window.changed(change);
  }

  truncate(change: TruncateChange): void {
    const current = this.#current;
    if (current?.window && change.tables.some((table) => table.relid === current.job.table.relid)) current.window.truncated();
  }

  message(change: MessageChange): void {
    const current = this.#current;
    if (current === null || change.prefix !== watermarkPrefix) return;
    const content = Buffer.from(change.content).toString();
    if (content === current.low && current.window === null) {
      current.window = new SnapshotWindow(current.job.table);
      // This watermark's own transaction has been counted by now and is no one's concern.
      current.mark = this.#options.streamed.count - 1;
      current.beginning = current.begin !== null;
      if (current.high === current.low) current.due = true;
    } else if (content === current.high) {
      current.due = true;
    }
  }

  /** At a commit: null, or what must be awaited before the transaction is ended. */
  held(writer: CopyWriter): Promise<void> | null {
    const current = this.#current;
    if (current === null || !(current.due || current.beginning)) return null;
    const fail = (error: unknown): never => {
      current.fail(error);
      throw error;
    };
    if (current.beginning && current.begin !== null) {
      current.beginning = false;
      return current.begin(writer).catch(fail);
    }
    this.#current = null;
    return current.close(writer).then(current.settle, fail);
  }

  async #copy(job: CopyJob, progress: CopyProgress): Promise<void> {
    const { reader, signal, logger } = this.#options;
    progress.estimate = await reader.estimate(job.table);
    if (job.resume === null) {
      await reader.entered(job.table, { signal, onWait: (session) => { progress.waitingFor = session; } });
      progress.waitingFor = null;
    }
    progress.state = 'copying';
    logger.info({ table: progress.table, sink: job.sink ?? undefined, rows: progress.rows }, 'copying a table');
    if (job.table.key.length === 0) await this.#copyWhole(job, progress);
    else await this.#copyChunks(job, progress);
    progress.state = 'done';
    logger.info({ table: progress.table, sink: job.sink ?? undefined, rows: progress.rows }, 'a table is copied');
  }

  async #copyChunks(job: CopyJob, progress: CopyProgress): Promise<void> {
    const done: { record: SnapshotRecord | null } = { record: job.resume };
    let maxRows = firstChunkRows;
    // The copy begins with the low watermark of its first chunk: what was there goes before the first change is applied
    // that the chunk's rows leave to the stream, and readers know from where on the stream concerns them.
    const begin = async (writer: CopyWriter): Promise<void> => {
      const piece = { shape: job.table, truncate: job.replaces, blocks: [] };
      await writer.writeCopy({ ...piece, record: (place) => (done.record = this.#record(job, null, { place, chunk: null, last: false, rereads: [], rows: 0 })) });
    };
    while (!isComplete(done.record)) {
      const before = done.record;
      const outcome = await this.#window(job, { begin: before === null ? begin : null }, (low, high, current) => {
        const read = this.#options.reader.chunk({
          table: job.table, low, high, after: before?.after ?? null,
          keys: before?.last === true ? before.rereads : null,
          maxRows, maxBytes: chunkBytes, signal: this.#options.signal,
        });
        const close = async (writer: CopyWriter): Promise<Outcome> => {
          const chunk = await read;
          failpoint('snapshot.chunk_read');
          const window = current().window;
          const why = window === null ? 'the low watermark did not come' : this.#unusable(current(), window, chunk);
          if (window === null || why !== null) return { kind: 'again', why: why ?? '' };
          const blocks = [resolved(chunk.rows, window, (rows) => { progress.rows += rows; })];
          await writer.writeCopy({
            shape: chunk.shape, truncate: false, blocks,
            record: (place) => (done.record = this.#record(job, done.record, { place, chunk, last: chunk.last, rereads: window.rereads, rows: progress.rows })),
          });
          return { kind: 'written' };
        };
        return { read, close };
      });
      if (outcome.kind === 'written') {
        maxRows = Math.min(firstChunkRows, maxRows * 2);
        continue;
      }
      progress.retries++;
      maxRows = Math.max(smallestChunkRows, maxRows >> 1);
      this.#options.logger.debug({ table: progress.table, why: outcome.why }, 'a chunk is read again');
    }
  }

  async #copyWhole(job: CopyJob, progress: CopyProgress): Promise<void> {
    const outcome = await this.#window(job, { begin: null, single: true }, (low, _high, current) => ({
      read: this.#options.reader.watermark(low),
      close: async (writer) => {
        const whole = await this.#visibleWhole(job, current());
        failpoint('snapshot.whole_read');
        await writer.writeCopy({
          shape: whole.shape,
          // Rows of this table may have been streamed before: without a key only emptying makes the copy exact.
          truncate: true,
          blocks: every(whole, (rows) => { progress.rows += rows; }),
          record: (place) => ({
            ...this.#record(job, null, { place, chunk: null, last: true, rereads: [], rows: progress.rows }),
            visibility: {
              xmin: whole.visibility.xmin.toString(), xmax: whole.visibility.xmax.toString(),
              running: whole.visibility.running.map(String), lsn: whole.lsn,
            },
          }),
        });
        return { kind: 'written' };
      },
    }));
    if (outcome.kind === 'again') throw new Error(`unreachable: ${outcome.why}`);
  }

  /** A snapshot of the whole table in which everything streamed so far is visible; publishing is held meanwhile. */
  async #visibleWhole(job: CopyJob, current: Current): Promise<WholeTable> {
    const { reader, signal, streamed } = this.#options;
    for (;;) {
      const whole = await reader.whole(job.table, signal);
      if (streamed.allVisible(current.mark, whole.visibility)) return whole;
      await whole.close();
    }
  }

  /** Opens a window, starts reading, and resolves when the stream has come to its end and the rows are written, or not. */
  async #window(
    job: CopyJob,
    options: { readonly begin: Current['begin']; readonly single?: boolean },
    open: (low: string, high: string, current: () => Current) => { read: Promise<unknown>; close: Current['close'] },
  ): Promise<Outcome> {
    const number = ++this.#watermarks;
    const low = `${this.#options.startId}:${number}:low`;
    const high = options.single === true ? low : `${this.#options.startId}:${number}:high`;
    return new Promise<Outcome>((resolve, reject) => {
      let current: Current | null = null;
      const { read, close } = open(low, high, () => current as Current);
      current = { job, low, high, window: null, mark: 0, beginning: false, due: false, begin: options.begin, close, settle: resolve, fail: reject };
      this.#current = current;
      read.catch(reject);
      this.#options.signal.addEventListener('abort', () => reject(this.#options.signal.reason as Error), { once: true });
    });
  }

  #unusable(current: Current, window: SnapshotWindow, chunk: Chunk): string | null {
    if (window.spoiled !== null) return window.spoiled;
    if (!chunk.stable) return 'the table changed its shape meanwhile';
    if (!this.#options.streamed.allVisible(current.mark, chunk.visibility)) return 'a delivered transaction was not visible yet';
    return null;
  }

  #record(
    job: CopyJob,
    before: SnapshotRecord | null,
    piece: { readonly place: Place; readonly chunk: Chunk | null; readonly last: boolean; readonly rereads: readonly (readonly string[])[]; readonly rows: number },
  ): SnapshotRecord {
    const { chunk } = piece;
    // A chunk of keys that are read again moves nothing but the list of such keys.
    const rereading = before?.last === true;
    const lastRow = chunk === null || chunk.rows.count === 0 ? null : keyTexts(chunk.shape, chunk.rows.bytes, chunk.rows.starts[chunk.rows.count - 1] as number);
    return {
      type: 'snapshot',
      id: `${this.#options.startId}:${++this.#records}`,
      confirmed: false,
      table: tableName(job.table),
      relid: job.table.relid,
      key: keyNames(job.table),
      sink: job.sink,
      ask: job.ask,
      first: before === null,
      last: rereading || piece.last,
      after: rereading ? before.after : (lastRow ?? before?.after ?? null),
      rows: piece.rows,
      rereads: [...(rereading ? [] : (before?.rereads ?? [])), ...piece.rereads],
      from: this.#options.transactionOffset(),
      place: piece.place,
      begin: before?.begin ?? piece.place,
      visibility: null,
    };
  }
}

/** As it stands in a copy's record. */
export function keyNames(table: TableShape): string[] {
  return table.key.map((index) => table.columns[index]?.name ?? '');
}

function isComplete(record: SnapshotRecord | null): boolean {
  return record !== null && record.last && record.rereads.length === 0;
}

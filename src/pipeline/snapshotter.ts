import { setTimeout as delay } from 'node:timers/promises';
import type { MessageChange, RowChange, TruncateChange } from '../event/change.ts';
import type { TableShape } from '../event/table.ts';
import type { RowMemory, SnapshotReader, SourceHealth } from '../source/source.ts';
import { actionFor } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import type { CopyOrderRecord, RereadRecord } from './control-records.ts';
import { isSameCopy } from './copy-jobs.ts';
import { copyChunk, copyWhole, type ChunkWindow, type Outcome } from './copy-pieces.ts';
import type { CopyWriter } from './copy-writer.ts';
import { Copy, type CopyJob, type CopyProgress, type Piece } from './copy.ts';
import { statusError } from './supervision.ts';
import type { StreamedTransactions } from './visibility.ts';
import { WalBudget } from './wal-budget.ts';
import { Watermarks } from './watermarks.ts';

export interface SnapshotterOptions {
  readonly reader: SnapshotReader;
  /** How the slot stands: copies give way where WAL runs short. */
  readonly health: () => Promise<SourceHealth>;
  readonly streamed: StreamedTransactions;
  /** Names the watermarks of this START, so that those of an earlier life are not taken for ours. */
  readonly startId: string;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** How many chunks are read at a time. */
  readonly parallel: number;
  /** Whether a command has paused the copies of the table. */
  readonly isPaused: (table: string) => boolean;
  /** The transaction topic's end offset: the END that confirms a record lies behind it. */
  readonly transactionOffset: () => number;
}

/** A table whose copy failed by itself (rights, a policy) is tried again after this. */
const retryDelay = 10_000;
/** Stretches that a table is cut into for each worker: one that ends early then finds another. */
const stretches = 4;
const none = new Uint8Array(0);

/**
 * Copies tables while their changes stream (PROTOCOL, Snapshots). It runs beside the stream: some workers each ask the source for
 * one chunk after the other, of the first table that has one; the publisher tells what the stream brings (`row`, `truncate`,
 * `message`) and asks at each commit whether it must be held (`held`), because a chunk's rows are events of the
 * transaction of its high watermark.
 */
export class Snapshotter {
  readonly #options: SnapshotterOptions;
  /** In the order in which they are worked on, with those that are done. */
  readonly #copies: Copy[] = [];
  /** Those that are not over, by table: asked for each row of the stream. */
  readonly #active = new Map<number, Copy[]>();
  #hasNotes = false;
  /** Of the chunks that are being read, while the stream is between their watermarks. */
  readonly #windows = new Set<ChunkWindow>();
  readonly #watermarks = new Watermarks();
  /** Those whose promise the stream settles. */
  readonly #waiting = new Set<(error: Error) => void>();
  readonly #failed = Promise.withResolvers<never>();
  readonly #budget: WalBudget;
  #count = 0;
  #wake = Promise.withResolvers<void>();

  constructor(options: SnapshotterOptions) {
    this.#options = options;
    this.#budget = new WalBudget(options.health);
    this.#failed.promise.catch(() => undefined);
  }

  get progress(): readonly CopyProgress[] {
    return this.#copies.map(({ phase, progress }) => {
      if (phase === 'over') return progress;
      if (this.#options.isPaused(progress.table)) return { ...progress, state: 'paused' };
      return this.#budget.isShort ? { ...progress, waitingFor: `WAL at the source, of which ${this.#budget.leftBytes ?? 0} bytes are left for the slot` } : progress;
    });
  }

  /** Begins beside the copies that run; one of the whole table for the same addressee gives way to it. */
  add(job: CopyJob): void {
    const { startId, transactionOffset } = this.#options;
    const others = this.#copies.filter((other) => isSameCopy(other.job, job));
    for (const other of others) this.#copies.splice(this.#copies.indexOf(other), 1);
    this.#end(...others);
    // What one that has not begun was to take away is still there.
    const replaces = job.replaces || others.some((other) => other.job.replaces && !other.hasBegun);
    const copy = new Copy({ ...job, replaces }, { newId: () => `${startId}:${++this.#count}`, transactionOffset });
    this.#copies.push(copy);
    if (copy.phase === 'over') return;
    this.#active.set(job.table.relid, [...(this.#active.get(job.table.relid) ?? []), copy]);
    void this.#enter(copy);
  }

  /** The table is not there any more. */
  left(relid: number): void {
    for (const copy of this.#active.get(relid) ?? []) this.#gone(copy);
  }

  /** Copies whatever is added until the signal aborts, or the source or the log fails. */
  async run(): Promise<void> {
    const { signal, parallel } = this.#options;
    const stop = (): void => {
      for (const reject of this.#waiting) reject(signal.reason as Error);
      this.#changed();
    };
    signal.addEventListener('abort', stop, { once: true });
    void this.#budget.watch(signal, { isCopying: () => this.#active.size > 0, changed: () => this.#walChanged() });
    await Promise.race([Promise.all(Array.from({ length: parallel }, () => this.#work())), this.#failed.promise]);
  }

  /** A row of the stream; cheap when it is of no table that is being copied. */
  row(change: RowChange): void {
    if (this.#active.size === 0) return;
    const { relid } = change.table;
    for (const copy of this.#active.get(relid) ?? []) if (copy.changed(change)) this.#hasNotes = true;
    for (const window of this.#windows) if (window.relid === relid) window.changes.changed(change);
  }

  truncate(change: TruncateChange): void {
    for (const window of this.#windows) if (change.tables.some((table) => table.relid === window.relid)) window.changes.truncated();
  }

  message(change: MessageChange): void {
    this.#watermarks.message(change);
  }

  /** At a commit: null, or what must be awaited before the transaction is ended. */
  held(writer: CopyWriter): Promise<void> | null {
    return this.#watermarks.held(writer);
  }

  /** What the transaction adds to the keys that are to be read again: to be written before its END. */
  takeNotes(): readonly RereadRecord[] {
    if (!this.#hasNotes) return [];
    this.#hasNotes = false;
    return [...this.#active.values()].flat().map((copy) => copy.takeNotes()).filter((note) => note !== null);
  }

  async #work(): Promise<void> {
    const { signal } = this.#options;
    const memory: RowMemory = { bytes: none };
    while (!signal.aborted) {
      const task = this.#next(memory);
      if (task !== null) await task();
      else {
        memory.bytes = none;
        await this.#wake.promise;
      }
    }
  }

  /** An order has come: what is stopped is given up where it is, what has been paused or has failed goes on at once. */
  obey(order: CopyOrderRecord): void {
    if (order.action === 'resume') for (const copy of this.#copies) if (order.table === null || order.table === copy.progress.table) copy.retry();
    if (order.action === 'stop' || order.action === 'stop-rows') {
      const stopped = this.#copies.filter(({ phase, progress }) => progress.table === order.table && phase !== 'over');
      this.#end(...stopped);
      for (const { progress } of stopped) progress.state = 'stopped';
    }
    this.#changed();
  }

  #walChanged(): void {
    const { logger } = this.#options;
    if (this.#budget.isShort) logger.warn({ leftBytes: this.#budget.leftBytes }, 'the source is short of WAL for the slot: tables are copied on when the stream has caught up');
    else logger.info('there is WAL again: tables are copied on');
    this.#changed();
  }

  #changed(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** The first thing there is to do, in the order in which the copies were added. */
  #next(memory: RowMemory): (() => Promise<void>) | null {
    if (this.#budget.isShort) return null;
    for (const copy of this.#copies) {
      if (this.#options.isPaused(copy.progress.table)) continue;
      if (copy.phase === 'ready') {
        copy.phase = 'opening';
        return () => this.#guarded(copy, () => this.#open(copy, memory));
      }
      const piece = copy.phase === 'open' ? copy.take() : null;
      if (piece !== null) return () => this.#guarded(copy, () => this.#read(copy, piece, memory));
    }
    return null;
  }

  /** What goes wrong with one table is that table's; what goes wrong with the source or the log ends everything. */
  async #guarded(copy: Copy, work: () => Promise<void>): Promise<void> {
    const { signal, logger } = this.#options;
    try {
      await work();
    } catch (error) {
      signal.throwIfAborted();
      if (actionFor(error) === 'retry') throw error;
      copy.fail(statusError(error));
      logger.error({ err: error, table: copy.progress.table }, 'a table cannot be copied; it is tried again');
      // Not awaited: the worker has other tables.
      void delay(retryDelay, undefined, { signal }).then(() => copy.retry()).then(() => this.#changed(), () => undefined);
    }
    this.#changed();
  }

  /** Whoever changed the table before it entered the publication, and was not through with it, is waited for. */
  async #enter(copy: Copy): Promise<void> {
    const { reader, signal } = this.#options;
    const { job, progress } = copy;
    try {
      if (job.resume === null) await reader.entered(job.table, { signal, onWait: (session) => { progress.waitingFor = session; } });
    } catch (error) {
      return this.#failed.reject(error);
    }
    progress.waitingFor = null;
    if (copy.phase === 'waiting') copy.phase = 'ready';
    this.#changed();
  }

  async #open(copy: Copy, memory: RowMemory): Promise<void> {
    const { reader, logger, parallel } = this.#options;
    const { job, progress } = copy;
    progress.estimate = (await reader.estimate(job.table)) ?? null;
    // While the source is asked it may give way to another copy, or its table go.
    if (!copy.isOpening) return;
    progress.state = 'copying';
    logger.info({ table: progress.table, sink: job.sink ?? undefined, rows: progress.rows }, 'copying a table');
    if (job.table.key.length === 0) return this.#came(copy, await copyWhole(copy, this.#tools(memory)), () => copy.opened('ready'));
    if (!copy.hasBegun) {
      const boundaries = parallel > 1 ? await reader.boundaries(job.table, parallel * stretches) : [];
      if (!copy.isOpening) return;
      if (parallel > 1) copy.split(boundaries);
      await this.#begin(copy);
    }
    copy.opened('open');
  }

  /**
   * The copy begins with the END of a watermark of its own: what was there goes before the first change is applied that a chunk
   * leaves to the stream, and readers know from where on the stream concerns them. Its chunks may be read at once: their
   * watermarks come later in the stream.
   */
  async #begin(copy: Copy): Promise<void> {
    const content = `${this.#options.startId}:${++this.#count}:begin`;
    const { table, replaces } = copy.job;
    this.#watermarks.set(content, () => async (writer) => {
      if (copy.phase === 'over') return;
      await writer.writeCopy({ shape: table, begins: true, truncate: replaces, partitions: [], blocks: [], record: (place) => copy.begin(place) });
    });
    await this.#options.reader.watermark(content);
  }

  async #read(copy: Copy, piece: Piece, memory: RowMemory): Promise<void> {
    try {
      this.#came(copy, await copyChunk(copy, piece, this.#tools(memory)), () => copy.again(piece));
    } finally {
      copy.release(piece);
    }
  }

  /** What a piece has come to. */
  #came(copy: Copy, outcome: Outcome, again: () => void): void {
    if (outcome.kind === 'again') {
      again();
      this.#options.logger.debug({ table: copy.progress.table, why: outcome.why }, 'rows are read again');
    } else if (outcome.kind === 'rekeyed') this.#rekeyed(copy, outcome.shape);
    else if (outcome.kind === 'gone') this.#gone(copy);
    else if (copy.isComplete) this.#finish(copy);
  }

  /** What the copy has of the old key's order means nothing: it begins anew; one of some rows alone, which takes nothing away, ends. */
  #rekeyed(copy: Copy, table: TableShape): void {
    const isOfSome = (copy.job.where ?? null) !== null;
    this.#options.logger.warn({ table: copy.progress.table }, `a table has another key than its copy began with: the copy ${isOfSome ? 'is given up, and can be asked for again' : 'begins anew'}`);
    if (!isOfSome) return this.add({ ...copy.job, table, resume: null, replaces: true });
    this.#end(copy);
    copy.progress.state = 'stopped';
  }

  /** Its table was dropped, which ends this copy and no other: replicas keep what they have got of it. What becomes of the table the catalog's watch tells. */
  #gone(copy: Copy): void {
    if (copy.phase === 'over') return;
    this.#end(copy);
    this.#copies.splice(this.#copies.indexOf(copy), 1);
    this.#options.logger.warn({ table: copy.progress.table, sink: copy.job.sink ?? undefined, rows: copy.progress.rows }, 'a table was dropped while it was being copied: its copy ends');
  }

  #finish(copy: Copy): void {
    if (copy.phase === 'over') return;
    this.#end(copy);
    copy.progress.state = 'done';
    this.#options.logger.info({ table: copy.progress.table, sink: copy.job.sink ?? undefined, rows: copy.progress.rows }, 'a table is copied');
  }

  #end(...copies: readonly Copy[]): void {
    for (const copy of copies) {
      copy.phase = 'over';
      const { relid } = copy.job.table;
      const left = (this.#active.get(relid) ?? []).filter((other) => other !== copy);
      if (left.length === 0) this.#active.delete(relid);
      else this.#active.set(relid, left);
    }
  }

  #tools(memory: RowMemory): Parameters<typeof copyChunk>[2] {
    const { reader, streamed, signal, startId } = this.#options;
    return {
      reader, memory, streamed, signal, givesWay: () => this.#budget.isShort, windows: this.#windows, watermarks: this.#watermarks, waiting: this.#waiting,
      newMark: () => `${startId}:${++this.#count}`,
    };
  }
}

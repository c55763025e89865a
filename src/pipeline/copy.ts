import type { RowChange } from '../event/change.ts';
import { tableName, type TableShape } from '../event/table.ts';
import { isPartial } from '../event/tuple.ts';
import type { Chunk } from '../source/source.ts';
import type { Key, KeyRange, Place, RereadRecord, SnapshotRecord } from './control-records.ts';
import { isKeyChange, keyString, keyTexts, newKeyTexts } from './row-key.ts';
import type { StatusError, TableCopyStatus } from './status.ts';

/** One table to be copied, for everybody or for the sink that asked. */
export interface CopyJob {
  readonly table: TableShape;
  readonly sink: string | null;
  /** The id of the ask that it answers; null when it is for everybody. */
  readonly ask: string | null;
  /** How far it came before; null begins anew. */
  readonly resume: SnapshotRecord | null;
  /** Only rows that fulfil this condition, over what readers hold. */
  readonly where?: string | null;
  /** It was stopped by a command: it is shown, and nothing is done. */
  readonly stopped?: boolean;
  /** Whether readers may hold rows of an earlier copy: then this one begins with a truncate event. */
  readonly replaces: boolean;
}

/** What is shown of a copy; it changes as the copy goes on. */
export type CopyProgress = { -readonly [Field in keyof TableCopyStatus]: TableCopyStatus[Field] };

/** What one worker reads at a time: a chunk of a range, or keys whose full image the stream did not bring. */
export type Piece = { readonly range: OpenRange } | { readonly keys: readonly Reread[] };

interface OpenRange {
  after: Key | null;
  readonly until: Key | null;
  /** Rows that the next chunk of it may have at most. */
  rows: number;
  busy: boolean;
}

interface Reread {
  readonly key: Key;
  /** Counts the key changes: one that comes again while it is being read must be read once more. */
  readonly change: number;
}

const mostChunkRows = 50_000;
/** Of the first chunks, while it is not known how wide a row is. */
const firstChunkRows = 4000;
const smallestChunkRows = 16;
/** Keys of one chunk that reads rows again: each is a condition of its own. */
const rereadKeys = 500;
/** With more keys than this to be read again the copy reads all its ranges again: memory and records stay bounded. */
const mostRereads = 10_000;

/**
 * How far the copy of one table is, and what its workers may take next. All that is written of it (`advance`) is written in the
 * order of the stream, so that each record says how far it was at that place.
 */
export class Copy {
  readonly job: CopyJob;
  readonly progress: CopyProgress;
  /** Watermarks and records of one publisher's life are told apart by this. */
  readonly #newId: () => string;
  readonly #transactionOffset: () => number;
  /** Set once its beginning was seen in the stream, or where it goes on from an earlier life. */
  #record: SnapshotRecord | null;
  #ranges: OpenRange[];
  readonly #rereads = new Map<string, Reread>();
  #rereading = false;
  /** Mean bytes of a row in the chunks so far; 0 before the first. */
  #rowBytes = 0;
  #changes = 0;
  /** Of the transaction that is being streamed. */
  #notes: Key[] = [];
  /**
   * `waiting` for the transactions that ran when the table entered; `ready` to be begun, `opening`, `open` for its workers; `failed`
   * until it is tried again; `over` when it is complete or has given way to another.
   */
  phase: 'waiting' | 'ready' | 'opening' | 'open' | 'failed' | 'over' = 'waiting';
  #phaseAfterFailure: 'ready' | 'open' = 'ready';

  constructor(job: CopyJob, options: { readonly newId: () => string; readonly transactionOffset: () => number }) {
    this.job = job;
    this.#newId = options.newId;
    this.#transactionOffset = options.transactionOffset;
    this.#record = job.resume;
    this.#ranges = (job.resume?.ranges ?? [whole]).map(openRange);
    for (const key of job.resume?.rereads ?? []) this.#reread(key);
    if (job.stopped === true) this.phase = 'over';
    this.progress = {
      table: tableName(job.table), sink: job.sink, state: job.stopped === true ? 'stopped' : 'waiting', rows: job.resume?.rows ?? 0, estimate: null, retries: 0,
      waitingFor: null, where: job.where ?? null, holdsPublishing: false, error: null,
    };
  }

  get hasBegun(): boolean {
    return this.#record !== null;
  }

  get isComplete(): boolean {
    return this.#record !== null && this.#record.last;
  }

  get isOpening(): boolean {
    return this.phase === 'opening';
  }

  /** Unless it is over by now. */
  opened(as: 'ready' | 'open'): void {
    if (this.phase === 'opening') this.phase = as;
  }

  fail(error: StatusError): void {
    if (this.phase === 'over') return;
    if (this.phase !== 'failed') this.#phaseAfterFailure = this.phase === 'open' ? 'open' : 'ready';
    this.phase = 'failed';
    this.progress.state = 'failed';
    this.progress.error = error;
  }

  retry(): void {
    if (this.phase !== 'failed') return;
    this.phase = this.#phaseAfterFailure;
    this.progress.state = 'copying';
    this.progress.error = null;
  }

  /** Cuts the whole table into stretches that can be read side by side; before any of it is taken. */
  split(boundaries: readonly Key[]): void {
    const ends: (Key | null)[] = [...boundaries, null];
    this.#ranges = ends.map((until, i) => openRange({ after: boundaries[i - 1] ?? null, until }));
  }

  take(): Piece | null {
    const range = this.#ranges.find((candidate) => !candidate.busy);
    if (range !== undefined) {
      range.busy = true;
      return { range };
    }
    // Only once nothing else is left: a key may have to be read again more than once.
    if (this.#ranges.length > 0 || this.#rereading || this.#rereads.size === 0) return null;
    this.#rereading = true;
    return { keys: [...this.#rereads.values()].slice(0, rereadKeys) };
  }

  /** How many rows the next chunk of the range may have: about `bytes`, as far as it is known, so that no more is read at the source than it takes. */
  rowsOf(range: OpenRange, bytes: number): number {
    const rows = this.#rowBytes === 0 ? firstChunkRows : Math.max(smallestChunkRows, Math.floor(bytes / this.#rowBytes));
    return (range.rows = Math.min(range.rows, rows));
  }

  /** What was taken is free again, read or not. */
  release(piece: Piece): void {
    if ('range' in piece) piece.range.busy = false;
    else this.#rereading = false;
  }

  /** The piece could not be used: the next try is half as large. */
  again(piece: Piece): void {
    this.progress.retries++;
    if ('range' in piece) piece.range.rows = Math.max(smallestChunkRows, piece.range.rows >> 1);
  }

  /** Whether the piece is still part of the copy: its ranges may have been laid out anew meanwhile. */
  holds(piece: Piece): boolean {
    return this.phase !== 'over' && ('keys' in piece || this.#ranges.includes(piece.range));
  }

  /**
   * A row of the stream, of this copy's table: where a partial image gets a new key, the row may come from a stretch that is still
   * to be read into one that was read already, and its full image would be nowhere (PROTOCOL, Snapshots). So may one that a row filter
   * did not let through before, which comes as an insert that lacks columns. Whether it is such a row.
   */
  changed(change: RowChange): boolean {
    const { table } = this.job;
    // Behind its last record readers have every row, and what changes its key takes the rest of it along.
    if (this.#record === null || this.isComplete || table.key.length === 0 || (change.op !== 'u' && change.op !== 'c') || change.oldKind === 'full') return false;
    if (!isPartial(change.bytes, change.newAt) || (change.op === 'u' && !isKeyChange(change.table, change))) return false;
    const key = newKeyTexts(change.table, change);
    this.#reread(key);
    this.#notes.push(key);
    return true;
  }

  /** The keys that the transaction adds to those that are to be read again: to be written before its END. */
  takeNotes(): RereadRecord | null {
    if (this.#notes.length === 0 || this.#record === null) return null;
    const keys = this.#notes;
    this.#notes = [];
    return { type: 'reread', copy: this.#record.copy, keys };
  }

  /** The first record, that of the END which begins the copy. */
  begin(place: Place): SnapshotRecord {
    return this.#next({ place, rows: 0 });
  }

  /** The record of the END that carries the piece's rows. */
  advance(piece: Piece, chunk: Chunk, place: Place): SnapshotRecord {
    if ('keys' in piece) {
      for (const { key, change } of piece.keys) {
        const text = keyString(key);
        if (this.#rereads.get(text)?.change === change) this.#rereads.delete(text);
      }
    } else {
      const { range } = piece;
      range.rows = Math.min(mostChunkRows, range.rows * 2);
      if (chunk.rows.count > 0) this.#rowBytes = chunk.rows.length / chunk.rows.count;
      if (chunk.last) this.#ranges.splice(this.#ranges.indexOf(range), 1);
      else range.after = keyTexts(chunk.shape, chunk.rows.bytes, chunk.rows.starts[chunk.rows.count - 1] as number);
    }
    return this.#next({ place, rows: this.progress.rows });
  }

  /** The only record of a table without a key, which is copied in one piece. */
  inOnePiece(place: Place, visibility: SnapshotRecord['visibility']): SnapshotRecord {
    this.#ranges = [];
    return this.#next({ place, rows: this.progress.rows, visibility });
  }

  #next(of: { readonly place: Place; readonly rows: number; readonly visibility?: SnapshotRecord['visibility'] }): SnapshotRecord {
    const before = this.#record;
    const id = this.#newId();
    const { job } = this;
    const last = this.#ranges.length === 0 && this.#rereads.size === 0;
    this.#record = {
      type: 'snapshot', id, confirmed: false, table: tableName(job.table), relid: job.table.relid, key: keyNames(job.table),
      sink: job.sink, ask: job.ask, where: job.where ?? null, copy: before?.copy ?? id, first: before === null, last,
      ranges: this.#ranges.map(({ after, until }) => ({ after, until })),
      rows: of.rows,
      rereads: [...this.#rereads.values()].map(({ key }) => key),
      from: this.#transactionOffset(), place: of.place, begin: before?.begin ?? of.place, visibility: of.visibility ?? null,
    };
    return this.#record;
  }

  #reread(key: Key): void {
    this.#rereads.set(keyString(key), { key, change: ++this.#changes });
    if (this.#rereads.size <= mostRereads) return;
    // Whatever row has changed its key so far has it when its stretch is read again.
    this.#rereads.clear();
    this.#ranges = [openRange(whole)];
  }
}

const whole: KeyRange = { after: null, until: null };

function openRange({ after, until }: KeyRange): OpenRange {
  return { after, until, rows: mostChunkRows, busy: false };
}

/** As it stands in a copy's record. */
export function keyNames(table: TableShape): string[] {
  return table.key.map((index) => table.columns[index]?.name ?? '');
}

import type { Socket } from 'node:net';
import type pg from 'pg';
import { asConnectionError } from '../../runtime/postgres/client.ts';
import { CopyTextReader } from './copy-text.ts';
import { FrameReader } from './frame-reader.ts';
import type { RowBlock } from '../source.ts';

const COPY_DATA = 0x64;
const ERROR_RESPONSE = 0x45;
/** CopyOutResponse, and what a server may say at any time: NoticeResponse, ParameterStatus, NotificationResponse. */
const passedOver: ReadonlySet<number> = new Set([0x48, 0x4e, 0x53, 0x41]);

type DataListener = (chunk: Buffer) => void;

/** The parts of pg's client that a statement of our own has to do with. */
interface Connection {
  readonly stream: Socket;
  query(text: string): void;
}

export interface CopyOutOptions {
  readonly columns: number;
  /** Rows behind the one that reaches this are read away; undefined for none. */
  readonly maxBytes?: number;
  /** Called once, when that row is reached: what is still to come need not be made. */
  readonly onFull?: () => void;
  /** Reading waits while so many bytes of rows have not been taken. */
  readonly blockBytes?: number;
  /** Where the first block begins. */
  readonly bytes?: Uint8Array;
}

/**
 * `COPY … TO STDOUT` into tuples, straight off the socket: a copied row is looked at once and becomes neither a string, nor an
 * object, nor an event of its own. It is a statement of pg's client (`client.query(copy)`), which has its socket back when the rows
 * have come: the end of the statement, and every error, is the client's own affair again.
 */
export class CopyOut {
  readonly #text: string;
  readonly #options: CopyOutOptions;
  readonly #rows: CopyTextReader;
  readonly #frames = new FrameReader();
  readonly #done = Promise.withResolvers<void>();
  #stream: Socket | null = null;
  #listener: DataListener | null = null;
  #full = false;
  #ended = false;
  #wake: () => void = () => {};

  constructor(text: string, options: CopyOutOptions) {
    this.#text = text;
    this.#options = options;
    this.#rows = new CopyTextReader(options.columns, options);
    // It may fail before anybody asks.
    this.#done.promise.catch(() => undefined);
  }

  /** Whether rows were left out for `maxBytes`. */
  get isCut(): boolean {
    return this.#full;
  }

  /** Every row, once the statement has ended. */
  async all(): Promise<RowBlock> {
    await this.#done.promise;
    return this.#rows.take();
  }

  /** What came before a statement ended in an error. */
  taken(): RowBlock {
    return this.#rows.take();
  }

  /** The rows as they come, in blocks of at least `blockBytes`. */
  async *blocks(): AsyncGenerator<RowBlock> {
    const { blockBytes = 0 } = this.#options;
    while (!this.#ended) {
      if (this.#rows.length >= blockBytes && this.#rows.count > 0) {
        const block = this.#rows.take();
        yield block;
        this.#stream?.resume();
      } else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    await this.#done.promise;
    if (this.#rows.count > 0) yield this.#rows.take();
  }

  // What pg's client calls.

  submit(connection: Connection): void {
    const { stream } = connection;
    const [listener] = stream.listeners('data') as [DataListener];
    stream.removeListener('data', listener);
    this.#stream = stream;
    this.#listener = listener;
    stream.on('data', this.#read);
    connection.query(this.#text);
  }

  handleError(error: Error): void {
    this.#giveBack();
    this.#done.reject(asConnectionError(error));
    this.#end();
  }

  handleReadyForQuery(): void {
    this.#done.resolve();
    this.#end();
  }

  handleCommandComplete(): void {}

  readonly #read = (chunk: Buffer): void => {
    try {
      this.#take(chunk);
    } catch (error) {
      // Nobody knows where the next message begins.
      this.#done.reject(error);
      this.#end();
      this.#stream?.destroy(error as Error);
    }
  };

  #take(chunk: Buffer): void {
    const frames = this.#frames;
    const { maxBytes = Infinity, blockBytes = Infinity, onFull } = this.#options;
    frames.push(chunk);
    while (frames.next()) {
      if (frames.type === COPY_DATA) {
        if (this.#full || this.#rows.push(frames.bytes, maxBytes, frames.start, frames.end)) continue;
        this.#full = true;
        onFull?.();
      } else if (!passedOver.has(frames.type)) {
        // CopyDone, or an error: that and all that follows is for the client.
        const rest = frames.type === ERROR_RESPONSE ? [frames.whole(), frames.rest()] : [frames.rest()];
        this.#giveBack();
        for (const bytes of rest) if (bytes.length > 0) this.#listener?.(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
        return;
      }
    }
    if (this.#rows.length < blockBytes) return;
    this.#stream?.pause();
    this.#wake();
  }

  #giveBack(): void {
    const stream = this.#stream;
    if (stream === null || this.#listener === null) return;
    stream.removeListener('data', this.#read);
    stream.on('data', this.#listener);
    stream.resume();
    this.#stream = null;
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }
}

/** Hands a statement of our own to pg's client. */
export function submit(client: pg.Client, copy: CopyOut): CopyOut {
  client.query(copy as unknown as pg.Submittable);
  return copy;
}

import type { Socket } from 'node:net';
import pg from 'pg';
import type { SourceItem } from '../../event/change.ts';
import type { Lsn } from '../../event/lsn.ts';
import type { TableShape } from '../../event/table.ts';
import { codedError } from '../../runtime/postgres/client.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { databaseError, sourceError } from './errors.ts';
import { GulpingSocket } from './gulping-socket.ts';
import type { Relation } from './relation.ts';
import { copyDone, endsInReplyRequest, queryMessage, statusUpdate, terminate } from './status-update.ts';
import { StreamDecoder, type Stop } from './stream-decoder.ts';
import type { StreamedTransactions } from './transactions.ts';

export interface ReplicationStreamOptions {
  /** Chunks that wait to be pulled; beyond this the socket is not read. */
  readonly maxQueueBytes: number;
  /** A status update at least this often. */
  readonly statusIntervalMs: number;
  /** A server that was asked and said nothing for so long is gone. */
  readonly silenceMs: number;
  /** Which logical messages are yielded, by prefix; all unless told. */
  readonly wantsMessage?: (prefix: string) => boolean;
  /** Called once, when the connection has failed: what waits for the same server elsewhere must not wait for ever. */
  readonly onFailed?: () => void;
}

export type Describe = (relation: Relation, streamed: StreamedTransactions) => Promise<TableShape | null>;

/** What a small chunk costs beside its bytes. */
const chunkOverhead = 512;
/** Chunks that came meanwhile are decoded into one batch up to this size. */
const batchBytes = 256 << 10;
const acknowledgeDelayMs = 100;
const closeDeadlineMs = 1000;

/**
 * A replication connection from START_REPLICATION on. Three things happen beside each other: chunks are queued as they come;
 * `batches` decodes them when they are pulled; status updates go out by a timer, on a request, and soon after `acknowledge`.
 * While nobody pulls, the socket is not read beyond `maxQueueBytes`, and the status updates keep the connection alive.
 */
export class ReplicationStream {
  readonly #socket: Socket;
  readonly #input: GulpingSocket;
  readonly #options: ReplicationStreamOptions;
  readonly #decoder: StreamDecoder;
  readonly #queue: Buffer[] = [];
  #queued = 0;
  #wake: () => void = () => {};
  #state: 'open' | 'stopped' | 'closing' = 'open';
  #failure: TailraceError | null = null;

  #position: Lsn = 0n;
  #statusTimer: NodeJS.Timeout | undefined;
  #acknowledgeTimer: NodeJS.Timeout | undefined;
  #lastHeard = performance.now();
  #asked = false;

  constructor(socket: Socket, options: ReplicationStreamOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#decoder = new StreamDecoder(options.wantsMessage);
    this.#input = new GulpingSocket(socket, (chunk) => this.#received(chunk));
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => this.fail(codedError('ECONNRESET', 'the server closed the replication connection')));
  }

  /** Sends START_REPLICATION and resolves when the server has begun to stream. Throws what the server answered. */
  async start(command: string): Promise<void> {
    this.#socket.write(queryMessage(command));
    for (;;) {
      const stop = this.#decode([]);
      if (stop?.kind === 'started') break;
      if (stop?.kind === 'error') throw databaseError(pg.DatabaseError, stop.fields);
      if (stop !== null) throw new TailraceError('source-unreadable', `START_REPLICATION was answered by ${stop.kind}`);
      const chunk = this.#next();
      if (chunk !== undefined) this.#decoder.push(chunk);
      else if (this.#failure !== null) throw this.#failure;
      else await this.#arrival();
    }
    this.#statusTimer = setInterval(() => this.#tick(), this.#options.statusIntervalMs);
  }

  /** `describe` says what a Relation means, once everything streamed so far is visible; null for a table that is not captured. */
  async *batches(describe: Describe): AsyncGenerator<readonly SourceItem[], void, void> {
    let items: SourceItem[] = [];
    for (let bytes = 0; this.#state !== 'closing'; ) {
      const stop = this.#decode(items);
      if (stop?.kind === 'relation') {
        // What came before is not held up by the look-up.
        if (items.length > 0) yield items;
        items = [];
        this.#decoder.setShape(stop.relation.relid, await describe(stop.relation, this.#decoder.streamed));
        continue;
      }
      const chunk = stop === null && bytes < batchBytes ? this.#next() : undefined;
      if (chunk !== undefined) {
        bytes += chunk.length;
        this.#decoder.push(chunk);
        continue;
      }
      if (items.length > 0) yield items;
      items = [];
      bytes = 0;
      if (stop !== null) throw this.#ended(stop);
      if (this.#queue.length > 0) continue;
      if (this.#state !== 'open') return;
      if (this.#failure !== null) throw this.#failure;
      await this.#arrival();
    }
  }

  /** Everything up to `position` is durable. */
  acknowledge(position: Lsn): void {
    if (position <= this.#position) return;
    this.#position = position;
    this.#acknowledgeTimer ??= setTimeout(() => this.#sendStatus(false), acknowledgeDelayMs);
  }

  /** No more is read; `batches` ends behind what was. */
  stop(): void {
    if (this.#state !== 'open') return;
    this.#state = 'stopped';
    this.#input.hold();
    this.#wake();
  }

  /** The connection is of no use any more: whatever the reason, the server must not wait for us. */
  fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = sourceError(error, 'the replication connection ended');
    this.#end();
    this.#wake();
    if (this.#state !== 'closing') this.#options.onFailed?.();
  }

  /** Sends the last acknowledgement, and sees to it that the server has read it. */
  async close(): Promise<void> {
    if (this.#state === 'closing') return;
    this.#state = 'closing';
    this.#wake();
    if (this.#failure === null) await this.#sayGoodbye();
    this.#failure ??= new TailraceError('source-unreachable', 'the session is closed');
    this.#end();
  }

  /**
   * A socket that is destroyed with unread input resets the connection, and the reset may overtake the status update. So the
   * copy is ended in order, and the rest of the input read away, for as long as that takes little time.
   */
  async #sayGoodbye(): Promise<void> {
    this.#sendStatus(false);
    this.#socket.write(copyDone);
    const timer = setTimeout(() => this.fail(codedError('ETIMEDOUT', 'the server did not end the replication')), closeDeadlineMs);
    this.#input.release();
    await this.#drain();
    clearTimeout(timer);
    if (this.#socket.writable) this.#socket.write(terminate);
  }

  async #drain(): Promise<void> {
    for (;;) {
      try {
        for (const items: SourceItem[] = []; ; ) {
          const stop = this.#decode(items);
          if (stop === null) break;
          if (stop.kind === 'relation') this.#decoder.setShape(stop.relation.relid, null);
          else if (stop.kind !== 'started') return;
        }
      } catch {
        return;
      }
      const chunk = this.#next();
      if (chunk !== undefined) this.#decoder.push(chunk);
      else if (this.#failure !== null) return;
      else await this.#arrival();
    }
  }

  #end(): void {
    clearInterval(this.#statusTimer);
    clearTimeout(this.#acknowledgeTimer);
    this.#socket.destroy();
  }

  #received(chunk: Buffer): void {
    this.#lastHeard = performance.now();
    this.#asked = false;
    this.#queue.push(chunk);
    this.#queued += chunk.length + chunkOverhead;
    if (endsInReplyRequest(chunk)) this.#sendStatus(false);
    if (this.#queued >= this.#options.maxQueueBytes && this.#state === 'open') this.#input.hold();
    this.#wake();
  }

  #next(): Buffer | undefined {
    const chunk = this.#queue.shift();
    if (chunk === undefined) return undefined;
    this.#queued -= chunk.length + chunkOverhead;
    if (this.#queued <= this.#options.maxQueueBytes / 2 && this.#state !== 'stopped') this.#input.release();
    return chunk;
  }

  #arrival(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #decode(items: SourceItem[]): Stop | null {
    try {
      const stop = this.#decoder.decode(items);
      if (this.#decoder.replyRequested) {
        this.#decoder.replyRequested = false;
        this.#sendStatus(false);
      }
      return stop;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new TailraceError('source-unreadable', `the replication stream cannot be decoded: ${error.message}`, { cause: error });
    }
  }

  #ended(stop: Stop): TailraceError {
    if (stop.kind === 'error') return sourceError(databaseError(pg.DatabaseError, stop.fields), 'the server ended the replication');
    return new TailraceError('source-unreachable', 'the server ended the replication');
  }

  #sendStatus(askForReply: boolean): void {
    clearTimeout(this.#acknowledgeTimer);
    this.#acknowledgeTimer = undefined;
    if (!this.#socket.writable || this.#failure !== null) return;
    this.#socket.write(statusUpdate(this.#position, askForReply));
  }

  #tick(): void {
    // What is not read can't be heard: then the server has to notice by itself that we are gone.
    const silence = this.#input.held ? 0 : performance.now() - this.#lastHeard;
    if (silence > this.#options.silenceMs && this.#asked) {
      // A process that was stopped finds both the timer and the input due: the input comes first.
      setImmediate(() => {
        if (this.#asked) this.fail(codedError('ETIMEDOUT', `nothing was heard from the server for ${Math.round(silence / 1000)} s`));
      });
    }
    this.#asked = silence > this.#options.statusIntervalMs / 2;
    this.#sendStatus(this.#asked);
  }
}

import type { Socket } from 'node:net';
import pg from 'pg';
import { asConnectionError } from '../../runtime/postgres/client.ts';
import { OutBuffer } from './out-buffer.ts';

/** A statement with text parameters `$1`, `$2`, …. With a name it is prepared once a connection and kept; `''` is not kept. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** What became of the statements of one flush, in order. `Tag` is what the caller hung on each. */
export interface Outcome<Tag> {
  /** Those that completed; `count` is the rows that the command tag names, `tag` the tag's first word: COPY, UPDATE, COMMIT. */
  readonly done: readonly { readonly tag: Tag; readonly command: string; readonly count: number }[];
  /** The one that failed, after which the server passed over all others; the tag is undefined when the connection did. */
  readonly failed: { readonly tag: Tag | undefined; readonly error: Error } | undefined;
}

interface Waiting<Tag> {
  readonly tag: Tag;
  readonly name: string;
}

/** The part of pg's internal connection that a query of one's own is handed. */
interface PgConnection {
  readonly stream: Socket;
}

const PARSE = 0x50;
const BIND = 0x42;
const EXECUTE = 0x45;
const CLOSE = 0x43;
const SYNC = 0x53;
const COPY_DATA = 0x64;
const COPY_DONE = 0x63;
const STATEMENT = 0x53;

/** Large enough for one write to carry hundreds of rows, small enough to overlap with the server's work on the last one. */
const chunkSize = 256 * 1024;
/** A buffer that one huge row made grow is not kept. */
const keptSize = 4 * 1024 * 1024;

/**
 * Sends any number of statements, and COPY data between them, in one go: the extended query protocol with a single Sync at
 * the end ("Pipelining" in the PostgreSQL manual). Nothing is waited for between two statements; after an error the server
 * passes over everything up to the Sync, a COMMIT too. Parameters and rows are copied as bytes into one buffer: no string, no
 * promise a value. `pg` keeps the connection, the login and TLS; it sees a flush as one query of its queue.
 */
export class Wire<Tag> {
  readonly #client: pg.Client;
  readonly #prepared = new Set<string>();
  /** Parsed in a flush that failed, so that nobody knows whether the server has them. */
  readonly #doubtful = new Set<string>();
  #out = new OutBuffer(chunkSize + 64 * 1024);
  #spare = new OutBuffer(chunkSize + 64 * 1024);
  #waiting: Waiting<Tag>[] = [];
  #flight: Flight | undefined;
  /** What was posted and is not settled. */
  #posted: Waiting<Tag>[] = [];
  /** Resolves when the socket is done with the buffer that was sent last. */
  #writing: Promise<void> = Promise.resolve();
  /** Buffers that the socket is not done with. */
  #unsent = 0;
  /** Whether what was sent ends with a Sync. */
  #asked = false;
  #lost = false;
  #bindAt = 0;
  #copyAt = -1;

  constructor(client: pg.Client) {
    this.#client = client;
  }

  /** How many bytes wait for the next flush. */
  get pending(): number {
    return this.#out.length;
  }

  /** Whether the connection is known to be gone: nothing that is sent will be answered. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Whether the server is waited for: for an answer, or until it takes what is sent. In the middle of a COPY it waits for us. */
  get busy(): boolean {
    return this.#flight?.over === false && (this.#asked || this.#unsent > 0);
  }

  get idle(): boolean {
    return this.#waiting.length === 0;
  }

  /** Begins a statement; exactly `params` calls of `value`, `text` or `null` follow, then `execute`. */
  bind(statement: Statement, params: number, tag: Tag): void {
    const { name } = statement;
    if (name === '' || !this.#prepared.has(name)) this.#parse(statement);
    const out = this.#out;
    this.#bindAt = out.beginMessage(BIND);
    out.cString('');
    out.cString(name);
    out.int16(0);
    out.int16(params);
    this.#waiting.push({ tag, name });
  }

  value(bytes: Uint8Array, start: number, end: number): void {
    this.#out.int32(end - start);
    this.#out.slice(bytes, start, end);
  }

  text(text: string | null): void {
    if (text === null) this.null();
    else this.#out.sizedText(text);
  }

  null(): void {
    this.#out.int32(-1);
  }

  execute(): void {
    const out = this.#out;
    out.int16(0);
    out.endMessage(this.#bindAt);
    const at = out.beginMessage(EXECUTE);
    out.cString('');
    out.int32(0);
    out.endMessage(at);
  }

  /** A statement without parameters. */
  run(statement: Statement, tag: Tag): void {
    this.bind(statement, 0, tag);
    this.execute();
  }

  /**
   * After the `run` of a COPY … FROM STDIN: where rows are appended, in text format. `await copied()` after each row, or
   * every few, sends what has come together; `endCopy` ends the data.
   */
  get copyBuffer(): OutBuffer {
    if (this.#copyAt < 0) this.#copyAt = this.#out.beginMessage(COPY_DATA);
    return this.#out;
  }

  /** Whether `copied` is due: asked a row, so that the promise is only made when there is something to send. */
  get copyFull(): boolean {
    return this.#out.length >= chunkSize;
  }

  /** Sends the rows so far; false when the server has refused something already and more rows would be in vain. */
  async copied(): Promise<boolean> {
    this.#endCopyData();
    await this.#send();
    return this.#flight?.error === undefined;
  }

  endCopy(): void {
    this.#endCopyData();
    this.#out.endMessage(this.#out.beginMessage(COPY_DONE));
  }

  /** Sends everything with a Sync and waits until the server has answered it all. Never rejects. */
  async flush(): Promise<Outcome<Tag>> {
    await this.post();
    return this.answer();
  }

  /** Sends everything with a Sync. `answer` has to follow before anything else is collected. Never rejects. */
  async post(): Promise<void> {
    this.#out.endMessage(this.#out.beginMessage(SYNC));
    this.#posted = this.#waiting;
    this.#waiting = [];
    this.#asked = true;
    await this.#send();
  }

  /** What the server says to what was posted. Never rejects. */
  async answer(): Promise<Outcome<Tag>> {
    const flight = this.#flight as Flight;
    await flight.settled;
    this.#flight = undefined;
    this.#asked = false;
    return this.#outcome(flight, this.#posted);
  }

  /** Forgets what was collected; false when some of it is on its way already, so that only closing the connection helps. */
  discard(): boolean {
    if (this.#flight !== undefined) return false;
    for (const { name } of this.#waiting) if (name !== '' && this.#prepared.delete(name)) this.#doubtful.add(name);
    this.#waiting = [];
    this.#out.length = 0;
    this.#copyAt = -1;
    return true;
  }

  #parse(statement: Statement): void {
    const out = this.#out;
    if (statement.name !== '' && this.#doubtful.delete(statement.name)) {
      const close = out.beginMessage(CLOSE);
      out.reserve(1);
      out.bytes[out.length++] = STATEMENT;
      out.cString(statement.name);
      out.endMessage(close);
    }
    const at = out.beginMessage(PARSE);
    out.cString(statement.name);
    out.cString(statement.text);
    out.int16(0);
    out.endMessage(at);
    if (statement.name !== '') this.#prepared.add(statement.name);
  }

  #endCopyData(): void {
    if (this.#copyAt < 0) return;
    this.#out.endMessage(this.#copyAt);
    this.#copyAt = -1;
  }

  /** Hands the buffer to the socket and goes on in the other one once the socket is done with that. */
  async #send(): Promise<void> {
    if (this.#flight === undefined) {
      this.#flight = new Flight();
      this.#client.query(this.#flight);
    }
    const before = this.#writing;
    const full = this.#out;
    const stream = await this.#flight.started;
    // Without a stream the connection was lost before our turn, and the flight has its error.
    if (stream !== undefined) {
      this.#unsent++;
      this.#writing = writeTo(stream, full.bytes.subarray(0, full.length)).finally(() => this.#unsent--);
    }
    // Two buffers: one fills while the other drains. The write before this one must be over before its buffer is filled again.
    await before;
    this.#out = this.#spare;
    this.#out.length = 0;
    this.#spare = full.bytes.length > keptSize ? new OutBuffer(chunkSize + 64 * 1024) : full;
  }

  /** What the server says before it ends the session, and what the driver says when it has. */
  #endsSession(error: Error): boolean {
    return !(error instanceof pg.DatabaseError) || error.severity === 'FATAL' || error.severity === 'PANIC';
  }

  #outcome(flight: Flight, waiting: readonly Waiting<Tag>[]): Outcome<Tag> {
    const done = flight.commands.map((command, i) => {
      const words = command.split(' ');
      return { tag: (waiting[i] as Waiting<Tag>).tag, command: words[0] as string, count: Number(words.at(-1)) || 0 };
    });
    if (flight.error === undefined) return { done, failed: undefined };
    if (this.#endsSession(flight.error)) this.#lost = true;
    for (const { name } of waiting.slice(done.length)) {
      if (name !== '' && this.#prepared.delete(name)) this.#doubtful.add(name);
    }
    return { done, failed: { tag: waiting[done.length]?.tag, error: flight.error } };
  }
}

/** Resolves when the socket no longer needs the bytes, whether they were sent or it was closed. */
function writeTo(stream: Socket, bytes: Buffer): Promise<void> {
  if (!stream.writable) return Promise.resolve();
  return new Promise((resolve) => stream.write(bytes, () => resolve()));
}

/** One flush as pg's query queue sees it: it is told when its turn is, and hears what the server answers. */
class Flight {
  readonly commands: string[] = [];
  error: Error | undefined;
  over = false;
  /** The server has answered everything, or refused something, or is gone. */
  readonly settled: Promise<void>;
  /** The socket, once it is our turn; undefined when that never came. */
  readonly started: Promise<Socket | undefined>;
  #settle: () => void = () => {};
  #start: (stream: Socket | undefined) => void = () => {};

  constructor() {
    this.settled = new Promise((resolve) => (this.#settle = resolve));
    this.started = new Promise((resolve) => (this.#start = resolve));
  }

  submit(connection: unknown): void {
    this.#start((connection as PgConnection).stream);
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.commands.push(message.text);
  }

  handleError(error: Error): void {
    this.error ??= asConnectionError(error) as Error;
    this.#start(undefined);
    this.handleReadyForQuery();
  }

  handleReadyForQuery(): void {
    this.over = true;
    this.#settle();
  }

  // pg calls these as well; nothing that is sent here asks for rows.
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyInResponse(): void {}
  handleCopyData(): void {}
}

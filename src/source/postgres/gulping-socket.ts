import type { Socket } from 'node:net';

/** A smaller read found the kernel's buffers empty. */
const emptied = 16 << 10;
/** Two reads this close together are a stream that runs. */
const closeTogetherMs = 3;
const shortPauseMs = 1;
/** Where so many bytes come a millisecond, a longer pause is seen by nobody and makes each read and each send larger. */
const longPauseMs = 4;
const longPauseBytesPerMs = 24 << 10;

/**
 * Reads in big gulps. The walsender sends each row by itself, and a read a row costs more than the row (DESIGN, Facts
 * measured): while reads come close together the socket is left alone for a millisecond or some whenever it was read empty, so
 * that the kernel collects. Not before: what the server has queued because the window was closed comes in pieces as large as
 * a read can be, once there is room. The first read after a silence is never held back.
 *
 * `hold` stops reading until `release`: back-pressure by way of TCP.
 */
export class GulpingSocket {
  readonly #socket: Socket;
  readonly #onChunk: (chunk: Buffer) => void;
  #lastRead = 0;
  /** Bytes since the last pause began, and when that was. */
  #gulp = 0;
  #pausedAt = 0;
  #held = false;
  #timer: NodeJS.Timeout | undefined;

  /** Takes the socket over from whoever listened to it before. */
  constructor(socket: Socket, onChunk: (chunk: Buffer) => void) {
    this.#socket = socket;
    this.#onChunk = onChunk;
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.resume();
  }

  hold(): void {
    if (this.#held) return;
    this.#held = true;
    clearTimeout(this.#timer);
    stopReading(this.#socket);
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    startReading(this.#socket);
  }

  get held(): boolean {
    return this.#held;
  }

  #read(chunk: Buffer): void {
    const now = performance.now();
    const runs = now - this.#lastRead < closeTogetherMs;
    this.#lastRead = now;
    this.#gulp += chunk.length;
    this.#onChunk(chunk);
    if (this.#held || !runs || chunk.length >= emptied) return;
    const flood = this.#gulp > longPauseBytesPerMs * (now - this.#pausedAt);
    this.#gulp = 0;
    this.#pausedAt = now;
    stopReading(this.#socket);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#lastRead = performance.now();
      if (!this.#held) startReading(this.#socket);
    }, flood ? longPauseMs : shortPauseMs);
  }
}

interface Handle {
  readStart(): number;
  readStop(): number;
}

/**
 * Stops and starts below Node's stream, at the handle: `pause()` would let Node read on, in the same small pieces, until its
 * own buffer is full, and `resume()` after a `readStop` behind its back need not start again. The stream itself never knows, and
 * flows. Without such a handle it is paused, which costs speed and nothing else.
 */
function stopReading(socket: Socket): void {
  const handle = handleOf(socket);
  if (handle === null) socket.pause();
  else handle.readStop();
}

function startReading(socket: Socket): void {
  const handle = handleOf(socket);
  if (handle === null) socket.resume();
  else handle.readStart();
}

function handleOf(socket: Socket): Handle | null {
  const handle = (socket as unknown as { readonly _handle?: Partial<Handle> | null })._handle;
  return typeof handle?.readStart === 'function' && typeof handle.readStop === 'function' ? (handle as Handle) : null;
}

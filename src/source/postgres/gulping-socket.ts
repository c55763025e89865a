import type { Socket } from 'node:net';

/** A read of this many bytes was cut by the size of Node's buffer, not by the lack of more. */
const fullRead = 60_000;
/** Two reads this close together are a stream that runs. */
const closeTogetherMs = 3;
const gulpMs = 1;

/**
 * Reads in big gulps. The walsender sends each row by itself, and a read a row costs more than the row (DESIGN, Facts
 * measured): while reads come close together the socket is left alone for a millisecond after each small one, so that the
 * kernel collects. The first read after a silence is never held back.
 *
 * `hold` stops reading until `release`: back-pressure by way of TCP.
 */
export class GulpingSocket {
  readonly #socket: Socket;
  readonly #onChunk: (chunk: Buffer) => void;
  #lastRead = 0;
  #held = false;
  #timer: NodeJS.Timeout | undefined;

  /** Takes the socket over from whoever listened to it before. */
  constructor(socket: Socket, onChunk: (chunk: Buffer) => void) {
    this.#socket = socket;
    this.#onChunk = onChunk;
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  hold(): void {
    if (this.#held) return;
    this.#held = true;
    clearTimeout(this.#timer);
    pauseReading(this.#socket);
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#socket.resume();
  }

  get held(): boolean {
    return this.#held;
  }

  #read(chunk: Buffer): void {
    const now = performance.now();
    const runs = now - this.#lastRead < closeTogetherMs;
    this.#lastRead = now;
    this.#onChunk(chunk);
    if (this.#held || !runs || chunk.length >= fullRead) return;
    pauseReading(this.#socket);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#lastRead = performance.now();
      if (!this.#held) this.#socket.resume();
    }, gulpMs);
  }
}

interface Handle {
  reading: boolean;
  readStop(): number;
}

/**
 * `pause()` alone lets Node go on reading until its own buffer is full, in the same small pieces. What is done here to the
 * handle is what net.Socket does itself when that buffer is full; `resume()` starts reading again. Without such a handle the
 * stream is only paused, which costs speed and nothing else.
 */
function pauseReading(socket: Socket): void {
  socket.pause();
  const handle = (socket as unknown as { readonly _handle?: Partial<Handle> | null })._handle;
  if (handle?.reading !== true || typeof handle.readStop !== 'function') return;
  handle.reading = false;
  handle.readStop();
}

const smallest = 4096;

/**
 * Buffers for batches, used over and over: a fresh megabyte an append is what the garbage collector then has to find. Sizes
 * are 4 KiB, 16 KiB and so on to 1 MiB; larger ones, for a large single record, are not kept. Bounded in bytes.
 */
export class BufferPool {
  readonly #free = new Map<number, Buffer[]>();
  readonly #limit: number;
  #held = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** At least `size` bytes, with anything in them. */
  take(size: number): Buffer {
    const rounded = sizeClass(size);
    const buffer = this.#free.get(rounded)?.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(rounded);
    this.#held -= rounded;
    return buffer;
  }

  give(buffer: Buffer): void {
    if (buffer.length > 1024 * 1024 || this.#held + buffer.length > this.#limit) return;
    let free = this.#free.get(buffer.length);
    if (free === undefined) this.#free.set(buffer.length, (free = []));
    free.push(buffer);
    this.#held += buffer.length;
  }
}

function sizeClass(size: number): number {
  let rounded = smallest;
  while (rounded < size && rounded < 1024 * 1024) rounded *= 4;
  return Math.max(rounded, size);
}

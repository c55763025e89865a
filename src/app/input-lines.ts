import { TailraceError } from '../runtime/errors.ts';
import { formatSize } from '../runtime/units.ts';

export interface InputLine {
  readonly text: string;
  /** From 1. */
  readonly number: number;
}

interface Limits {
  readonly mostBytes: number;
  readonly mostRecords: number;
  /** Milliseconds that a line waits for others. */
  readonly patience: number;
  /** Bytes of a line. */
  readonly longest: number;
}

/** Lines of an input in batches: large ones where much comes, and soon ones where somebody types. Memory is bounded by the limits. */
export class InputLines {
  readonly #input: AsyncIterable<Uint8Array>;
  readonly #limits: Limits;
  #number = 0;
  /** The beginning of a line whose end has not come. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  #batch: InputLine[] = [];
  #batchBytes = 0;

  constructor(input: AsyncIterable<Uint8Array>, limits: Limits) {
    this.#input = input;
    this.#limits = limits;
  }

  /** Ends with the input, or after the signal with the lines that were read whole. */
  async *batches(signal: AbortSignal): AsyncGenerator<readonly InputLine[]> {
    const chunks = this.#input[Symbol.asyncIterator]();
    let next = chunks.next();
    for (;;) {
      const got = await soonest(next, signal, this.#batch.length === 0 ? null : this.#limits.patience);
      if (signal.aborted) break;
      if (got === null) {
        yield this.#take();
        continue;
      }
      if (got.done === true) {
        // A last line may lack its end.
        if (this.#restBytes > 0) this.#line(Buffer.alloc(0));
        break;
      }
      yield* this.#split(Buffer.from(got.value));
      next = chunks.next();
    }
    if (this.#batch.length > 0) yield this.#take();
  }

  *#split(chunk: Buffer): Generator<readonly InputLine[]> {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      this.#line(chunk.subarray(from, at));
      from = at + 1;
      if (this.#batchBytes >= this.#limits.mostBytes || this.#batch.length >= this.#limits.mostRecords) yield this.#take();
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from));
  }

  #line(end: Buffer): void {
    this.#keep(end);
    const whole = Buffer.concat(this.#rest);
    this.#rest = [];
    this.#restBytes = 0;
    this.#batchBytes += whole.length;
    this.#batch.push({ text: textOf(whole, this.#number + 1), number: ++this.#number });
  }

  #keep(part: Buffer): void {
    this.#rest.push(part);
    this.#restBytes += part.length;
    if (this.#restBytes > this.#limits.longest) throw new TailraceError('log-record-too-large', `line ${this.#number + 1} is longer than ${formatSize(this.#limits.longest)}`);
  }

  #take(): readonly InputLine[] {
    const batch = this.#batch;
    this.#batch = [];
    this.#batchBytes = 0;
    return batch;
  }
}

/** What comes; null when the signal aborts first, or nothing comes for so many milliseconds. */
function soonest<T>(next: Promise<T>, signal: AbortSignal, patience: number | null): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const settle = (value: T | null): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', nothing);
      resolve(value);
    };
    const nothing = (): void => settle(null);
    const timer = patience === null ? undefined : setTimeout(nothing, patience);
    signal.addEventListener('abort', nothing);
    if (signal.aborted) nothing();
    next.then(settle, reject);
  });
}

function textOf(line: Buffer, number: number): string {
  const bytes = line.at(-1) === 13 ? line.subarray(0, -1) : line;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TailraceError('usage', `line ${number} is not UTF-8`, { cause });
  }
}

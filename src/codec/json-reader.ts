import { numberEnd } from './json-text.ts';

export type TokenType = 'string' | 'number' | 'true' | 'false' | 'null';

/**
 * Walks JSON in a buffer without building objects: numbers keep their digits, no value passes through a string or a
 * double, and no name can touch a prototype. Strict about structure, iterative at any depth; throws a `SyntaxError`.
 */
export class JsonReader {
  bytes: Uint8Array = new Uint8Array(0);
  at = 0;
  #limit = 0;
  /** The token read last: for a string what stands between its quotes, still escaped. */
  type: TokenType = 'null';
  start = 0;
  end = 0;

  reset(bytes: Uint8Array, start: number, end: number): this {
    this.bytes = bytes;
    this.at = start;
    this.#limit = end;
    return this;
  }

  /** The next byte that is no white space, not consumed; -1 at the end. */
  peek(): number {
    while (this.at < this.#limit) {
      const byte = this.bytes[this.at] as number;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte;
      this.at++;
    }
    return -1;
  }

  take(byte: number): void {
    if (this.peek() !== byte) throw new SyntaxError(`no ${JSON.stringify(String.fromCharCode(byte))} at byte ${this.at}`);
    this.at++;
  }

  /** At the next member of the object that was opened: reads its name as a token. False, and past the brace, at the end. */
  member(first: boolean): boolean {
    if (!this.#more(first, 0x7d)) return false;
    this.string();
    this.take(0x3a);
    return true;
  }

  /** As `member`, for an array. */
  element(first: boolean): boolean {
    return this.#more(first, 0x5d);
  }

  #more(first: boolean, close: number): boolean {
    if (this.peek() === close) {
      this.at++;
      return false;
    }
    if (!first) this.take(0x2c);
    return true;
  }

  string(): void {
    this.take(0x22);
    const { bytes } = this;
    this.type = 'string';
    this.start = this.at;
    let i = this.at;
    for (; i < this.#limit; i++) {
      const byte = bytes[i] as number;
      if (byte === 0x22) break;
      if (byte < 0x20) throw new SyntaxError(`a control character at byte ${i}`);
      if (byte === 0x5c) i++;
    }
    if (i >= this.#limit) throw new SyntaxError('a string without its end');
    this.end = i;
    this.at = i + 1;
  }

  /** A string, a number, true, false or null. */
  scalar(): void {
    switch (this.peek()) {
      case 0x22:
        return this.string();
      case 0x74:
        return this.#word('true');
      case 0x66:
        return this.#word('false');
      case 0x6e:
        return this.#word('null');
      default: {
        const end = numberEnd(this.bytes, this.at, this.#limit);
        if (end < 0) throw new SyntaxError(`no value at byte ${this.at}`);
        this.type = 'number';
        this.start = this.at;
        this.end = this.at = end;
      }
    }
  }

  #word(word: 'true' | 'false' | 'null'): void {
    for (let i = 0; i < word.length; i++)
      if (this.at + i >= this.#limit || this.bytes[this.at + i] !== word.charCodeAt(i)) throw new SyntaxError(`no value at byte ${this.at}`);
    this.type = word;
    this.start = this.at;
    this.end = this.at += word.length;
  }

  /** Passes over one value of any kind and depth; what is inside is only looked at for where it ends. */
  skip(): void {
    let depth = 0;
    do {
      const byte = this.peek();
      if (byte === 0x7b || byte === 0x5b) {
        depth++;
        this.at++;
      } else if (byte === 0x7d || byte === 0x5d) {
        depth--;
        this.at++;
      } else if (depth > 0 && (byte === 0x2c || byte === 0x3a)) this.at++;
      else this.scalar();
    } while (depth > 0);
    if (depth < 0) throw new SyntaxError(`no value at byte ${this.at}`);
  }

  /** Whether the last token is exactly these bytes, as they stand. */
  is(expected: Uint8Array): boolean {
    if (this.end - this.start !== expected.length) return false;
    for (let i = 0; i < expected.length; i++) if (this.bytes[this.start + i] !== expected[i]) return false;
    return true;
  }

  /** Nothing but white space may follow. */
  finish(): void {
    if (this.peek() !== -1) throw new SyntaxError(`more at byte ${this.at}`);
  }
}

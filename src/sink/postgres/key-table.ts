import { KIND_TEXT, TupleReader } from '../../event/tuple.ts';
import { TailraceError } from '../../runtime/errors.ts';

const reader = new TupleReader();

/**
 * Numbers distinct keys 0, 1, 2, … in the order in which they first come. A key is what some columns of a tuple hold, compared
 * byte by byte: two texts of one value (`1.0` and `1.00`) are two keys, as they are to Postgres's stream. A hash table over
 * bytes, because a string a row is what a JavaScript Map would cost.
 */
export class KeyTable {
  /** Of each column of a tuple, whether it is part of the key. */
  readonly #part: Uint8Array;
  readonly #columns: number;
  readonly #nullable: boolean;
  /** Key i is `#arena[#ends[i - 1], #ends[i])`. */
  #arena = new Uint8Array(4096);
  #ends = new Int32Array(64);
  #hashes = new Int32Array(64);
  /** Open addressing; holds a key's number + 1, 0 for free. Twice as many slots as keys at least. */
  #slots = new Int32Array(256);
  #size = 0;
  /** Where the tuple ended that was looked up last, or the last column of its key. */
  #length = 0;

  /** `nullable`: NULL is a value like others, for whole rows. */
  constructor(columns: readonly number[], options: { readonly nullable: boolean }) {
    this.#columns = columns.length;
    this.#part = new Uint8Array(Math.max(-1, ...columns) + 1);
    for (const column of columns) this.#part[column] = 1;
    this.#nullable = options.nullable;
  }

  get size(): number {
    return this.#size;
  }

  /** The number of the tuple's key; it is new when it equals the `size` before. */
  number(bytes: Uint8Array, at: number): number {
    const hash = this.#append(bytes, at);
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const found = (this.#slots[slot] as number) - 1;
      if (found === -1) return this.#keep(hash, slot);
      if (this.#hashes[found] === hash && this.#equals(found)) return found;
    }
  }

  /** Copies the key behind the arena's last one, where `#keep` leaves it, and returns its hash (FNV-1a). */
  #append(bytes: Uint8Array, at: number): number {
    const from = this.#size === 0 ? 0 : (this.#ends[this.#size - 1] as number);
    const part = this.#part;
    let to = from;
    let hash = 0x811c9dc5;
    let left = this.#columns;
    reader.reset(bytes, at);
    let columnAt = reader.end;
    while (left > 0 && reader.next()) {
      if (part[reader.index] === 1) {
        left--;
        if (reader.kind !== KIND_TEXT && !this.#nullable) throw new TailraceError('internal', 'a column of a row\'s key did not come');
        // Kind and length are part of the key: without them ('a', 'bc') and ('ab', 'c') would be one.
        const end = reader.end;
        if (to + end - columnAt > this.#arena.length) this.#grow(to, end - columnAt);
        const arena = this.#arena;
        for (let i = columnAt; i < end; i++) {
          const byte = bytes[i] as number;
          arena[to++] = byte;
          hash = Math.imul(hash ^ byte, 0x01000193);
        }
      }
      columnAt = reader.end;
    }
    this.#length = to - from;
    return hash ^ (hash >>> 15);
  }

  #equals(number: number): boolean {
    const start = number === 0 ? 0 : (this.#ends[number - 1] as number);
    const length = this.#length;
    if ((this.#ends[number] as number) - start !== length) return false;
    const own = this.#size === 0 ? 0 : (this.#ends[this.#size - 1] as number);
    const arena = this.#arena;
    for (let i = 0; i < length; i++) if (arena[start + i] !== arena[own + i]) return false;
    return true;
  }

  #keep(hash: number, slot: number): number {
    const number = this.#size++;
    if (number === this.#ends.length) {
      this.#ends = doubled(this.#ends);
      this.#hashes = doubled(this.#hashes);
    }
    this.#ends[number] = (number === 0 ? 0 : (this.#ends[number - 1] as number)) + this.#length;
    this.#hashes[number] = hash;
    this.#slots[slot] = this.#size;
    if (this.#size * 2 > this.#slots.length) this.#rehash();
    return number;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let number = 0; number < this.#size; number++) {
      let slot = (this.#hashes[number] as number) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = number + 1;
    }
    this.#slots = slots;
  }

  #grow(used: number, more: number): void {
    const grown = new Uint8Array(Math.max(used + more, this.#arena.length * 2));
    grown.set(this.#arena.subarray(0, used));
    this.#arena = grown;
  }
}

function doubled(from: Int32Array): Int32Array<ArrayBuffer> {
  const to = new Int32Array(from.length * 2);
  to.set(from);
  return to;
}

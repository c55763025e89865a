import { hash } from 'node:crypto';
import type { Slice } from '../../runtime/slice.ts';

/** Two keys with one hash would be taken for one: 16 bytes of SHA-256, which nobody can make collide on purpose. */
const hashWords = 4;
const bytesPerSlot = 4 * hashWords + 8;
const fullest = 0.75;

/** The newest offset of each key, in memory that is fixed beforehand: 32 bytes a key, whatever its length. */
export class KeyOffsets {
  readonly #slots: number;
  readonly #hashes: Uint32Array;
  readonly #offsets: Float64Array;
  #left: number;
  /** Of the newest record that says that every key before it is gone. */
  clearedAt = -1;

  /** For `keys` of them, or for as many as `maxBytes` of memory hold. */
  constructor(keys: number, maxBytes: number) {
    // One is always free: a search ends there.
    this.#slots = Math.max(2, Math.min(Math.ceil((keys + 1) / fullest), Math.floor(maxBytes / bytesPerSlot)));
    this.#hashes = new Uint32Array(this.#slots * hashWords);
    this.#offsets = new Float64Array(this.#slots).fill(-1);
    this.#left = Math.floor(this.#slots * fullest);
  }

  /** False when there is no room for another key. */
  put(key: Slice, offset: number): boolean {
    const words = wordsOf(key);
    const slot = this.#find(words);
    if (this.#offsets[slot] === -1) {
      if (this.#left === 0) return false;
      this.#left--;
      this.#hashes.set(words, slot * hashWords);
    }
    this.#offsets[slot] = offset;
    return true;
  }

  /** -1 for a key that is not there. */
  get(key: Slice): number {
    return this.#offsets[this.#find(wordsOf(key))] as number;
  }

  /** Where the key is, or the free slot where it would be. */
  #find(words: Uint32Array): number {
    const hashes = this.#hashes;
    for (let slot = (words[0] as number) % this.#slots; ; slot = (slot + 1) % this.#slots) {
      if (this.#offsets[slot] === -1) return slot;
      const at = slot * hashWords;
      if (hashes[at] === words[0] && hashes[at + 1] === words[1] && hashes[at + 2] === words[2] && hashes[at + 3] === words[3]) return slot;
    }
  }
}

const found = new Uint32Array(hashWords);

/** Good until the next call. */
function wordsOf({ bytes, start, end }: Slice): Uint32Array {
  const digest = hash('sha256', bytes.subarray(start, end), 'buffer');
  for (let i = 0; i < hashWords; i++) found[i] = digest.readUInt32LE(4 * i);
  return found;
}

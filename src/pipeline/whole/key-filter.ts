import type { Slice } from '../../runtime/slice.ts';

const bitsPerKey = 16;
const probes = 8;

/** FNV-1a over a record's key. */
export function keyHash({ bytes, start, end }: Slice): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  return hash >>> 0;
}

/** A Bloom filter: says for certain that a key is not among those it was made of, and is wrong about one in 1,700 that it is. */
export class KeyFilter {
  readonly #bits: Uint32Array;

  constructor(hashes: readonly number[]) {
    this.#bits = new Uint32Array(Math.max(1, Math.ceil((hashes.length * bitsPerKey) / 32)));
    for (const hash of hashes) this.#each(hash, (word, bit) => {
      this.#bits[word] = (this.#bits[word] as number) | bit;
      return true;
    });
  }

  get bytes(): number {
    return this.#bits.byteLength;
  }

  mayHave(hash: number): boolean {
    return this.#each(hash, (word, bit) => ((this.#bits[word] as number) & bit) !== 0);
  }

  /** Double hashing (Kirsch and Mitzenmacher): two hashes give any number of them. Ends at the first `false`. */
  #each(hash: number, visit: (word: number, bit: number) => boolean): boolean {
    const bits = this.#bits.length * 32;
    const step = mixed(hash) | 1;
    for (let i = 0, at = hash; i < probes; i++, at = (at + step) >>> 0) {
      const bit = at % bits;
      if (!visit(bit >>> 5, (1 << (bit & 31)) >>> 0)) return false;
    }
    return true;
  }
}

/** murmur3's finalizer. */
function mixed(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

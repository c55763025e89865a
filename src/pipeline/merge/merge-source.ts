import type { SourceMark, SourceName } from './mark.ts';

/** A record as it goes into the merged topic. Bytes are views that stay good. */
export interface MergedRecord {
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly (readonly [name: string, value: Uint8Array | null])[];
  /** Of an event; null for a record that is none. */
  readonly codec: number | null;
  readonly topic: string;
}

/** What records are merged from: something with an order of its own, which is kept. */
export interface MergeSource {
  readonly name: SourceName;
  /**
   * When the next records came about, which orders them among those of other sources: microseconds since 1970. A clock may have been put
   * back: the source's own order is kept all the same. A transaction that was begun before comes first of all. Null: all that was there
   * when the source was opened is merged.
   */
  next(): Promise<bigint | null>;
  /** The records of what `next` has told of. `mark` goes along with them. */
  take(): AsyncGenerator<MergedRecord>;
  mark(): SourceMark;
  /** From 0 to 1, for people. */
  readonly progress: number;
}

/** In front of every time. */
export const atOnce = -(2n ** 63n);

import type { RowImage } from './images.ts';
import { keyName } from './key-ranges.ts';
import type { RecordCopy } from './record-copy.ts';

const overhead = 128;

/** The rows of one partition that passed by last, as they stand now; as many as fit. */
export class RecentRows {
  readonly #limit: number;
  readonly #rows = new Map<string, RowImage>();
  #bytes = 0;
  #last: RecordCopy | null = null;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The next record to pass. One that comes again is older than what passed by, and so is what another START sends again. */
  reach(record: RecordCopy): void {
    const last = this.#last;
    this.#last = record;
    if (last === null) return;
    const isAgain = record.offset <= last.offset || (record.startId !== last.startId && record.commitLsn <= last.commitLsn);
    if (isAgain) this.clear();
  }

  get(key: RecordCopy['key']): RowImage | null {
    return this.#rows.get(keyName(key)) ?? null;
  }

  /** What the key's row is from here on; null: not known, or gone. A table without a key has rows that nobody looks for. */
  note(key: RecordCopy['key'], image: RowImage | null): void {
    if (key.start < 0) return;
    const name = keyName(key);
    this.#remove(name);
    if (image === null) return;
    this.#rows.set(name, image);
    this.#bytes += sizeOf(name, image);
    for (const oldest of this.#rows.keys()) {
      if (this.#bytes <= this.#limit) break;
      this.#remove(oldest);
    }
  }

  clear(): void {
    this.#rows.clear();
    this.#bytes = 0;
  }

  #remove(name: string): void {
    const image = this.#rows.get(name);
    if (image === undefined) return;
    this.#rows.delete(name);
    this.#bytes -= sizeOf(name, image);
  }
}

function sizeOf(name: string, image: RowImage): number {
  return name.length + image.tuple.length + overhead;
}

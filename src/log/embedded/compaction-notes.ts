import { readFileSync } from 'node:fs';
import { writeFileDurably } from './durable-files.ts';
import { compactionPath } from './layout.ts';

/** Since when everything below an offset has been compacted. */
interface Note {
  readonly below: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** More are not needed: between two of them a tombstone stays a little longer. */
const most = 32;

/**
 * How far a partition has been compacted, and when: a tombstone may go only when readers have had time to meet it since the values that it
 * buries went. A hint: without it everything is compacted again, and tombstones stay as long as if they were new.
 */
export class CompactionNotes {
  readonly #path: string;
  #notes: readonly Note[];

  constructor(partitionDirectory: string) {
    this.#path = compactionPath(partitionDirectory);
    this.#notes = read(this.#path);
  }

  /** Up to where it has been compacted. */
  get cleaned(): number {
    return this.#notes.at(-1)?.below ?? 0;
  }

  /** Up to where that was done at `time` or before. */
  cleanedBefore(time: number): number {
    return this.#notes.findLast(({ at }) => at <= time)?.below ?? 0;
  }

  /** `keep`: milliseconds for which it matters when that was. */
  async add(below: number, keep: number): Promise<void> {
    if (below <= this.cleaned) return;
    const now = Date.now();
    // A clock that was set back must not make what was done look older than it is.
    const known = this.#notes.map((note) => ({ ...note, at: Math.min(note.at, now) }));
    const old = known.findLastIndex(({ at }) => at <= now - keep);
    const notes = [...known.slice(Math.max(old, 0)), { below, at: now }];
    this.#notes = notes.length > most ? notes.filter((_, i) => i === 0 || i % 2 === notes.length % 2 || i === notes.length - 1) : notes;
    await writeFileDurably(this.#path, Buffer.from(`${JSON.stringify({ cleaned: this.#notes })}\n`));
  }
}

function read(path: string): readonly Note[] {
  try {
    const { cleaned } = JSON.parse(readFileSync(path, 'utf8')) as { cleaned: unknown };
    return Array.isArray(cleaned) && cleaned.every(isNote) ? cleaned : [];
  } catch {
    return [];
  }
}

function isNote(value: unknown): value is Note {
  const { below, at } = (value ?? {}) as { below?: unknown; at?: unknown };
  return Number.isSafeInteger(below) && Number.isSafeInteger(at);
}

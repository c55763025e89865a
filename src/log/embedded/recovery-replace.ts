import { existsSync, statSync } from 'node:fs';
import type { FileCache } from './file-cache.ts';
import { damaged } from './fs-errors.ts';
import type { Replacement } from './journal-format.ts';
import { partitionPath, rewrittenPath, segmentPath } from './layout.ts';
import { putInPlace } from './partition-writer.ts';

/**
 * The segments that took the place of others since the journal was begun. Such a file was durable before the journal said so, so that
 * nothing is written to it again: it is only given its name.
 */
export class Replacements {
  readonly #directory: string;
  /** Where each partition begins once all trims are done. */
  readonly #startOf: (topic: string, partition: number) => number;
  readonly #expected: Replacement[] = [];

  constructor(directory: string, startOf: (topic: string, partition: number) => number) {
    this.#directory = directory;
    this.#startOf = startOf;
  }

  /** To be called with each before anything is done. */
  expect(of: Replacement): void {
    this.#expected.push(of);
  }

  /** Whether what the journal says of the segment at `base` went into one of them. */
  covers(topic: string, partition: number, base: number): boolean {
    return this.#expected.some((of) => isIn(of, topic, partition) && of.base <= base && base < of.end);
  }

  /** Throws `log-damaged` where one is missing or has another size. */
  check(): void {
    for (const [i, of] of this.#expected.entries()) {
      const isLast = !this.#expected.slice(i + 1).some((later) => isIn(later, of.topic, of.partition) && later.base <= of.base && of.base < later.end);
      if (!isLast || of.base < this.#startOf(of.topic, of.partition)) continue;
      const [made, placed] = this.#paths(of);
      const path = existsSync(made) ? made : placed;
      const size = statSync(path, { throwIfNoEntry: false })?.size;
      if (size === undefined) throw damaged(placed, 0, 'the segment is missing');
      if (size !== of.size) throw damaged(path, Math.min(size, of.size), `the file has ${size} bytes, but it was synced with ${of.size}`);
    }
  }

  /** Gives it its name, unless it has that or went since. False for one that went. */
  redo(of: Replacement, files: FileCache): boolean {
    if (of.base < this.#startOf(of.topic, of.partition)) return false;
    const [made] = this.#paths(of);
    if (existsSync(made)) putInPlace(partitionPath(this.#directory, of.topic, of.partition), of, files);
    return true;
  }

  #paths({ topic, partition, base, token }: Replacement): readonly [made: string, placed: string] {
    const directory = partitionPath(this.#directory, topic, partition);
    return [rewrittenPath(directory, base, token), segmentPath(directory, base)];
  }
}

function isIn(of: Replacement, topic: string, partition: number): boolean {
  return of.topic === topic && of.partition === partition;
}

import { rmSync } from 'node:fs';
import type { Rewriting } from '../log.ts';
import type { Rewriter } from './compaction.ts';
import { unwritable } from './fs-errors.ts';
import { rewrittenPath } from './layout.ts';
import type { PartitionWriter } from './partition-writer.ts';
import type { Rewritten } from './segment-rewriter.ts';

/** Compactions and merges of a log, one at a time; appends go on meanwhile, and only taking a new segment into use waits for its turn. */
export class Rewrites {
  readonly #directory: string;
  readonly #replace: (writer: PartitionWriter, made: Rewritten) => Promise<boolean>;
  readonly #closed = new AbortController();
  #last: Promise<unknown> = Promise.resolve();

  /** `replace` is false when what a segment was made of has gone. */
  constructor(directory: string, replace: (writer: PartitionWriter, made: Rewritten) => Promise<boolean>) {
    this.#directory = directory;
    this.#replace = replace;
  }

  get settled(): Promise<unknown> {
    return this.#last;
  }

  /** The one that is under way ends soon, with an error. */
  stop(): void {
    this.#closed.abort();
  }

  run(partition: PartitionWriter, work: (rewriter: Rewriter) => Promise<Rewriting>): Promise<Rewriting> {
    const done = this.#last.then(async () => {
      try {
        return await work({ partition, signal: this.#closed.signal, replace: (made) => this.#use(partition, made) });
      } catch (error) {
        throw unwritable(error, this.#directory);
      }
    });
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #use(partition: PartitionWriter, made: Rewritten): Promise<boolean> {
    let used = false;
    try {
      used = await this.#replace(partition, made);
    } catch (error) {
      // Only the journal knows by now whether it is in use: the next opening settles it.
      used = true;
      throw error;
    } finally {
      if (!used) rmSync(rewrittenPath(partition.directory, made.base, made.token), { force: true });
    }
    return used;
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { TailraceError } from '../../runtime/errors.ts';
import type { LogReader, OffsetRange, PartitionSize, RecordCursor, TopicSpec } from '../log.ts';
import { FileCache } from './file-cache.ts';
import { partitionPath } from './layout.ts';
import { readTopics } from './manifest.ts';
import { offsetAt } from './offset-search.ts';
import { PartitionReader } from './partition-reader.ts';
import { stampOf } from './stamp.ts';

const longestWait = 1000;
const pollInterval = 20;

export interface ReaderOptions {
  readonly directory: string;
  readonly logId: string;
  /** The writer's, where it is a thread of this process; without it the files are looked at every 20 ms. */
  readonly published: Int32Array | undefined;
}

export class EmbeddedLogReader implements LogReader {
  readonly logId: string;
  readonly lateAfter = 0;
  readonly #options: ReaderOptions;
  readonly #files = new FileCache('r', 128);
  readonly #partitions = new Map<string, PartitionReader[]>();
  #topics: ReadonlyMap<string, TopicSpec> = new Map();
  #closed = false;

  constructor(options: ReaderOptions) {
    this.logId = options.logId;
    this.#options = options;
  }

  async topics(): Promise<readonly TopicSpec[]> {
    this.#topics = readTopics(this.#options.directory, this.#topics);
    return [...this.#topics.values()];
  }

  async range(topic: string, partition: number): Promise<OffsetRange> {
    return this.#partition(topic, partition).range();
  }

  async sizes({ topic, partitions }: TopicSpec): Promise<readonly PartitionSize[]> {
    return Array.from({ length: partitions }, (_, partition) => this.#partition(topic, partition).size());
  }

  async fetch(topic: string, partition: number, offset: number, maxBytes: number): Promise<RecordCursor> {
    return this.#partition(topic, partition).fetch(offset, maxBytes);
  }

  async wait(topic: string, partition: number, offset: number, signal: AbortSignal): Promise<void> {
    const reader = this.#partition(topic, partition);
    const deadline = performance.now() + longestWait;
    const { published } = this.#options;
    while (!signal.aborted && !this.#closed) {
      // Before looking, so that what is published in between ends the wait below at once.
      const seen = published === undefined ? 0 : Atomics.load(published, 0);
      const left = deadline - performance.now();
      if (left <= 0 || reader.has(offset)) return;
      if (published === undefined) await pause(Math.min(pollInterval, left), signal);
      else await nextPublish(published, seen, { left, signal });
    }
  }

  async offsetAt(topic: string, partition: number, timestamp: number): Promise<number> {
    return offsetAt(this.#partition(topic, partition), timestamp);
  }

  /** Waits that are under way end within a second. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#files.close();
  }

  #partition(topic: string, partition: number): PartitionReader {
    // Its files would be opened again, and never closed.
    if (this.#closed) throw new TailraceError('internal', 'the reader was closed before');
    let readers = this.#partitions.get(topic);
    if (readers === undefined) this.#partitions.set(topic, (readers = []));
    return (readers[partition] ??= new PartitionReader(
      partitionPath(this.#options.directory, topic, partition),
      stampOf(this.logId, topic, partition),
      this.#files,
    ));
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

/** Resolves when something is published after `seen` was read, on abort, or when the time is up. */
function nextPublish(published: Int32Array, seen: number, { left, signal }: { left: number; signal: AbortSignal }): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    // The timer also keeps the thread alive, which a waiter of Atomics does not.
    const timer = setTimeout(done, left);
    signal.addEventListener('abort', done);
    const wait = Atomics.waitAsync(published, 0, seen, left);
    if (wait.async) void settled(wait.value, done);
    else done();
  });
}

async function settled(promise: Promise<unknown>, done: () => void): Promise<void> {
  await promise;
  done();
}

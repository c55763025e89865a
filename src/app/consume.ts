import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { LogReader } from '../log/log.ts';
import { writerOf } from '../pipeline/topics.ts';
import { EventView, type RecordView } from './event-view.ts';
import { findTopic, withLogReader } from './topics.ts';

export interface ConsumeOptions {
  readonly topic: string;
  /** Undefined: all of them. */
  readonly partition: number | undefined;
  readonly from: 'beginning' | 'end' | number;
  /** Records at most. */
  readonly max: number;
  /** Stop at the first record of this time or later; milliseconds since 1970. */
  readonly until: number;
  /** Complete updates that lack columns from what the log holds. */
  readonly whole?: boolean;
  /** Wait for more at the end. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
  readonly onRecord: (record: RecordView) => void;
}

const fetchBytes = 1 << 20;

/** Hands out the records of a topic, partition by partition, each in order; resolves with how many there were. */
export async function consume(configs: readonly PipelineConfig[], options: ConsumeOptions): Promise<number> {
  const { config, topic, partitions } = await findTopic(configs, options.topic);
  return withLogReader(config, async (reader) => {
    const wanted = options.partition === undefined ? Array.from({ length: partitions }, (_, i) => i) : [options.partition];
    const walks = await Promise.all(wanted.map((partition) => PartitionWalk.start(reader, topic, partition, options)));
    const view = new EventView(reader, writerOf(config.name, topic), { whole: options.whole === true });
    let count = 0;
    while (!options.signal.aborted && count < options.max && walks.some((walk) => !walk.finished)) {
      let found = 0;
      for (const walk of walks) {
        const taken = await walk.take(view, options.max - count);
        found += taken;
        count += taken;
      }
      if (found === 0 && !options.follow) break;
      if (found === 0) await anyOf(walks, options.signal);
    }
    return count;
  });
}

class PartitionWalk {
  readonly #reader: LogReader;
  readonly #topic: string;
  readonly #partition: number;
  readonly #options: ConsumeOptions;
  #offset: number;
  finished = false;

  private constructor(reader: LogReader, { topic, partition, offset, options }: { topic: string; partition: number; offset: number; options: ConsumeOptions }) {
    this.#reader = reader;
    this.#topic = topic;
    this.#partition = partition;
    this.#offset = offset;
    this.#options = options;
  }

  static async start(reader: LogReader, topic: string, partition: number, options: ConsumeOptions): Promise<PartitionWalk> {
    const { start, end } = await reader.range(topic, partition);
    const offset = options.from === 'beginning' ? start : options.from === 'end' ? end : options.from;
    return new PartitionWalk(reader, { topic, partition, offset, options });
  }

  /** What is there now, up to one fetch and `most` records; how many that were. */
  async take(view: EventView, most: number): Promise<number> {
    if (this.finished || most <= 0) return 0;
    const { signal, until, onRecord } = this.#options;
    const cursor = await this.#reader.fetch(this.#topic, this.#partition, this.#offset, fetchBytes);
    let count = 0;
    while (count < most && !signal.aborted && cursor.next()) {
      if (cursor.offset < this.#offset) continue;
      if (cursor.timestamp >= until) {
        this.finished = true;
        break;
      }
      onRecord(await view.view(this.#topic, this.#partition, cursor));
      this.#offset = cursor.offset + 1;
      count++;
    }
    return count;
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#reader.wait(this.#topic, this.#partition, this.#offset, signal);
  }
}

async function anyOf(walks: readonly PartitionWalk[], signal: AbortSignal): Promise<void> {
  const enough = new AbortController();
  const waiting = walks.filter((walk) => !walk.finished).map((walk) => walk.wait(AbortSignal.any([signal, enough.signal])));
  await Promise.race(waiting);
  enough.abort();
  await Promise.all(waiting);
}

import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { LogReader } from '../log/log.ts';
import { writerOf } from '../pipeline/topics.ts';
import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import { beginningOf, type Beginning, type ConsumeFrom } from './consume-from.ts';
import { ConsumingGroup } from './consuming-group.ts';
import { EventView, type RecordView } from './event-view.ts';
import type { RecordFilter } from './record-filter.ts';
import { kindOf } from './topic-kind.ts';
import { findTopic, withLogReader } from './topics.ts';

export interface ConsumeOptions {
  readonly topic: string;
  /** Undefined: all of them. */
  readonly partition: number | undefined;
  readonly from: ConsumeFrom;
  /** Records at most, of those that pass the filter. */
  readonly max: number;
  /** Stop at the first record of this time or later; milliseconds since 1970. */
  readonly until: number;
  /** Complete updates that lack columns from what the log holds. */
  readonly whole?: boolean;
  readonly filter?: RecordFilter | undefined;
  /** Wait for more at the end; else it ends where the topic does when it begins. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
  readonly onRecord: (record: RecordView) => void;
  /** Resolves when what was handed to `onRecord` has left the process: only then a group moves on. */
  readonly written?: () => Promise<void>;
  /** Another consumer has had the group for some seconds. */
  readonly onWaiting?: () => void;
}

const fetchBytes = 1 << 20;

/** Hands out the records of a topic, partition by partition, each in order; resolves with how many there were. */
export async function consume(configs: readonly PipelineConfig[], options: ConsumeOptions): Promise<number> {
  const { config, topic, partitions } = await findTopic(configs, options.topic);
  const { partition } = options;
  if (partition !== undefined && partition >= partitions) throw new TailraceError('usage', `${topic} has no partition ${partition}`, { remedy: partitions === 1 ? 'It has partition 0 alone.' : `It has 0 to ${partitions - 1}.` });
  if (options.whole === true && kindOf(config.name, topic) === 'produced') throw new TailraceError('usage', `the rows of ${shortened(topic, 80)} cannot be completed`, { remedy: 'Read the topic of the table with --whole, or leave it out.' });
  const wanted = partition === undefined ? Array.from({ length: partitions }, (_, i) => i) : [partition];
  const { from } = options;
  if (!('group' in from)) return withLogReader(config, (reader) => walkAll(reader, { config, topic, wanted, group: null }, options));
  const group = await ConsumingGroup.join(config, from.group, options).catch((error: unknown) => {
    if (options.signal.aborted) return null;
    throw error;
  });
  if (group === null) return 0;
  try {
    const signal = AbortSignal.any([options.signal, group.lost]);
    const count = await withLogReader(config, (reader) => walkAll(reader, { config, topic, wanted, group }, { ...options, signal }));
    if (group.lost.aborted) throw group.lost.reason;
    return count;
  } finally {
    await group.leave();
  }
}

interface Walked {
  readonly config: PipelineConfig;
  readonly topic: string;
  readonly wanted: readonly number[];
  readonly group: ConsumingGroup | null;
}

async function walkAll(reader: LogReader, { config, topic, wanted, group }: Walked, options: ConsumeOptions): Promise<number> {
  const walks: PartitionWalk[] = [];
  for (const partition of wanted) walks.push(await PartitionWalk.start(reader, { config, topic, partition, group }, options));
  // From where it begins it goes on the next time, even if nothing comes now.
  await group?.commit(topic, walks);
  const view = await EventView.of(reader, writerOf(config.name, topic), { whole: options.whole === true });
  let count = 0;
  while (!options.signal.aborted && count < options.max && walks.some((walk) => !walk.finished)) {
    let read = 0;
    for (const walk of walks) {
      const taken = await walk.take(view, options.max - count);
      read += taken.read;
      count += taken.shown;
    }
    if (read > 0) {
      await options.written?.();
      await group?.commit(topic, walks);
    } else if (!options.follow) break;
    else await more(reader, topic, walks, options.signal);
  }
  return count;
}

async function more(reader: LogReader, topic: string, walks: readonly PartitionWalk[], signal: AbortSignal): Promise<void> {
  await anyOf(walks, signal);
  if (signal.aborted || (await reader.topics()).some((spec) => spec.topic === topic)) return;
  throw new TailraceError('offset-out-of-range', `the topic ${topic} was deleted`, { remedy: 'See tailrace topics list.' });
}

/** A walk through one partition. */
export class PartitionWalk {
  readonly partition: number;
  readonly #reader: LogReader;
  readonly #topic: string;
  readonly #options: ConsumeOptions;
  readonly #beginning: Beginning;
  readonly #end: number;
  /** Of the next record. */
  offset: number;
  finished = false;

  private constructor(reader: LogReader, of: { topic: string; partition: number; beginning: Beginning; end: number }, options: ConsumeOptions) {
    this.#reader = reader;
    this.#topic = of.topic;
    this.partition = of.partition;
    this.#beginning = of.beginning;
    this.offset = of.beginning.offset;
    this.#end = of.end;
    this.#options = options;
    this.finished = this.offset >= this.#end;
  }

  static async start(reader: LogReader, of: { config: PipelineConfig; topic: string; partition: number; group: ConsumingGroup | null }, options: ConsumeOptions): Promise<PartitionWalk> {
    const { topic, partition, group } = of;
    const beginning = await beginningOf(reader, { pipeline: of.config.name, topic, partition, committed: group?.committed(topic, partition) }, options.from);
    const end = options.follow ? Number.POSITIVE_INFINITY : (await reader.range(topic, partition)).end;
    return new PartitionWalk(reader, { topic, partition, beginning, end }, options);
  }

  /** What is there now, up to one fetch: how many records were read (or passed over, where none are left), and how many of them, at most `most`, were handed out. */
  async take(view: EventView, most: number): Promise<{ readonly read: number; readonly shown: number }> {
    if (this.finished || most <= 0) return { read: 0, shown: 0 };
    const { signal, until, onRecord, filter } = this.#options;
    const cursor = await this.#reader.fetch(this.#topic, this.partition, this.offset, fetchBytes);
    let [read, shown, left] = [0, 0, true];
    while (shown < most && !signal.aborted && !this.finished && (left = cursor.next())) {
      if (cursor.offset < this.offset) continue;
      if (cursor.timestamp >= until || cursor.offset >= this.#end) {
        this.finished = true;
        break;
      }
      read++;
      if (this.#beginning.passes(cursor)) {
        const record = await view.view(this.#topic, this.partition, cursor);
        if (filter?.(record) ?? true) {
          onRecord(record);
          shown++;
        }
      }
      this.#moveTo(cursor.offset + 1);
    }
    if (!left && cursor.nextOffset > this.offset) {
      // Behind the last record others may have been, which compaction has removed.
      this.#moveTo(cursor.nextOffset);
      read++;
    }
    return { read, shown };
  }

  #moveTo(offset: number): void {
    this.offset = offset;
    this.finished = offset >= this.#end;
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#reader.wait(this.#topic, this.partition, this.offset, signal);
  }
}

async function anyOf(walks: readonly PartitionWalk[], signal: AbortSignal): Promise<void> {
  const enough = new AbortController();
  const waiting = walks.filter((walk) => !walk.finished).map((walk) => walk.wait(AbortSignal.any([signal, enough.signal])));
  await Promise.race(waiting);
  enough.abort();
  await Promise.all(waiting);
}

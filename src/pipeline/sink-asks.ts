import { setTimeout as delay } from 'node:timers/promises';
import type { LogReader } from '../log/log.ts';
import { decodeControl } from './control-json.ts';
import type { SinkRecord } from './control-records.ts';
import type { CopyAsk } from './copy-jobs.ts';
import { copyKey, records } from './log-state.ts';
import type { TopicNames } from './topics.ts';

const interval = 1000;

/** What sinks ask for in their topics (PROTOCOL, Latecomers). */
export class SinkAsks {
  readonly #reader: LogReader;
  readonly #topics: TopicNames;
  readonly #sinks: readonly string[];
  readonly #offsets = new Map<string, number>();

  constructor(reader: LogReader, topics: TopicNames, sinks: readonly string[]) {
    this.#reader = reader;
    this.#topics = topics;
    this.#sinks = sinks;
  }

  /** What has come since the last call, and is not of a past that was forgotten; of several asks of a sink for one table the newest. */
  async next(): Promise<readonly CopyAsk[]> {
    const asks = new Map<string, CopyAsk>();
    for (const sink of this.#sinks) {
      const topic = this.#topics.sink(sink);
      for await (const cursor of records(this.#reader, topic, this.#offsets.get(sink))) {
        this.#offsets.set(sink, cursor.offset + 1);
        const record = decodeControl<SinkRecord>(cursor.value, `${topic} at offset ${cursor.offset}`);
        if (record.type === 'forgotten') for (const [key, ask] of asks) if (ask.sink === sink) asks.delete(key);
        if (record.type === 'ask') asks.set(copyKey(record.table, sink), { sink, table: record.table, id: record.id });
      }
    }
    return [...asks.values()];
  }

  /** Hands on what comes until the signal aborts. */
  async follow(signal: AbortSignal, asked: (ask: CopyAsk) => void): Promise<void> {
    while (!signal.aborted) {
      for (const ask of await this.next()) asked(ask);
      await delay(interval, undefined, { signal }).catch(() => undefined);
    }
  }
}

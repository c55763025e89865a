import type { Log, LogWriter } from '../log/log.ts';
import { appendRecord } from './group.ts';
import type { SinkReporter } from './sink-start.ts';
import type { TopicNames } from './topics.ts';
import { Turnstile } from './turnstile.ts';

/** The topics of a sink's own that it writes itself, where the log takes many writers (PROTOCOL, Topics). */
export class SinkTopicWriter implements SinkReporter {
  readonly #writer: LogWriter;
  readonly #topics: TopicNames;
  readonly #sink: string;
  readonly #turns = new Turnstile();

  private constructor(writer: LogWriter, topics: TopicNames, sink: string) {
    this.#writer = writer;
    this.#topics = topics;
    this.#sink = sink;
  }

  static async open(log: Log, topics: TopicNames, sink: string): Promise<SinkTopicWriter> {
    const writer = await log.openWriter();
    try {
      await Promise.all([topics.sink(sink), topics.deadLetter(sink)].map((topic) => writer.createTopic({ topic, partitions: 1 })));
      return new SinkTopicWriter(writer, topics, sink);
    } catch (error) {
      await writer.close();
      throw error;
    }
  }

  async append(kind: 'sink' | 'dead-letter', { key, value }: Parameters<SinkReporter['append']>[1]): Promise<void> {
    const topic = kind === 'sink' ? this.#topics.sink(this.#sink) : this.#topics.deadLetter(this.#sink);
    await this.#turns.take(() => appendRecord(this.#writer, topic, { key, value }));
  }

  close(): Promise<void> {
    return this.#writer.close();
  }
}

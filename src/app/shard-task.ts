import { Replayer } from '../pipeline/replayer.ts';
import { SinkTopicWriter } from '../pipeline/sink-topic-writer.ts';
import type { StateLog } from '../pipeline/state-log.ts';
import { taskTopics, topicNames } from '../pipeline/topics.ts';
import { createCodec } from '../registry.ts';
import { ShardSink } from '../stream/shard-sink.ts';
import { resultsTask, shardName } from './spread-streams.ts';
import { openStateLog, retain, stateShapes, taskPath, type SpreadContext, type SpreadTask } from './spread-task.ts';
import { quotedPattern } from './streams.ts';
import { reportOf, type SinkReport } from './thread-messages.ts';

const lookInterval = 1000;

/** One shard of a stream: it follows the pipeline's log as a sink does, and its replica is its state. */
export class ShardTask implements SpreadTask {
  readonly #context: SpreadContext;
  readonly #index: number;
  #replayer: Replayer | null = null;
  #transactionEnd: number | null = null;

  constructor(context: SpreadContext, index: number) {
    this.#context = context;
    this.#index = index;
  }

  async run(signal: AbortSignal, healthy: () => void): Promise<void> {
    const { config, own, spread, tables, log, logger } = this.#context;
    const name = shardName(own.name, this.#index);
    const topics = topicNames(config.name);
    const reader = await log.openReader();
    const looking = setInterval(() => void reader.range(topics.transaction, 0).then(({ end }) => (this.#transactionEnd = end), () => undefined), lookInterval);
    let reporter: SinkTopicWriter | null = null;
    let endRetention = (): void => {};
    try {
      reporter = await SinkTopicWriter.open(log, topics, name);
      const openLog = async (): Promise<StateLog> => {
        const state = await openStateLog(this.#context, String(this.#index));
        endRetention = await this.#retain(state);
        return state;
      };
      const sink = new ShardSink({ ...spread, index: this.#index, path: taskPath(this.#context, String(this.#index)), shapes: stateShapes, openLog });
      this.#replayer = await Replayer.open({
        sink, sinkName: name, topics, reader, reporter, filter: { include: tables.map(quotedPattern), exclude: [] }, needs: tables, onError: 'stop', snapshot: config.source.snapshot, logger,
        codec: await createCodec(config.format, { pipeline: config.name, logger }),
      }, signal);
      healthy();
      await this.#replayer.run(signal);
    } finally {
      endRetention();
      clearInterval(looking);
      this.#replayer = null;
      await reporter?.close();
      await reader.close();
    }
  }

  report(): Omit<SinkReport, 'state' | 'error'> {
    return { ...reportOf(this.#replayer?.progress), transactionEnd: this.#transactionEnd };
  }

  /** What the results have taken goes; they say so where sinks would. */
  async #retain(state: StateLog): Promise<() => void> {
    const { config, own, logger } = this.#context;
    const topics = taskTopics(config.name, own.name, String(this.#index));
    await state.publisher.writer.createTopic({ topic: topics.sink(resultsTask), partitions: 1 });
    return retain(state, { topics, retention: undefined, sinks: [{ name: resultsTask, hold: true }] }, logger);
  }
}

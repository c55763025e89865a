import { formatLsn } from '../event/lsn.ts';
import type { Position } from '../event/position.ts';
import type { LogReader, LogWriter } from '../log/log.ts';
import { encodeControl } from '../pipeline/control-json.ts';
import { appendRecord } from '../pipeline/group.ts';
import { readProgress } from '../pipeline/log-state.ts';
import { Retention } from '../pipeline/retention.ts';
import { ShardFeed } from '../pipeline/shard-feed.ts';
import { SinkAsks } from '../pipeline/sink-asks.ts';
import type { StateLog } from '../pipeline/state-log.ts';
import { StreamPublisher } from '../pipeline/stream-publisher.ts';
import { streamTopics, taskTopics, topicNames } from '../pipeline/topics.ts';
import { Turnstile } from '../pipeline/turnstile.ts';
import { createCodec } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { StreamOutputs } from '../stream/outputs.ts';
import { Results } from '../stream/results.ts';
import { followersOf } from './followers.ts';
import { resultsTask } from './spread-streams.ts';
import { everySoOften, openStateLog, retain, stateShapes, taskPath, type SpreadContext, type SpreadTask } from './spread-task.ts';
import { emptyReport, type SinkReport } from './thread-messages.ts';

/** How often the shards hear what was taken of theirs. */
const tellInterval = 5000;

/** What lies behind the shards of a stream: it writes the outputs. */
export class ResultsTask implements SpreadTask {
  readonly #context: SpreadContext;
  #results: Results | null = null;

  constructor(context: SpreadContext) {
    this.#context = context;
  }

  async run(signal: AbortSignal, healthy: () => void): Promise<void> {
    const { config, own, spread, log, codec, logger } = this.#context;
    const stop = new AbortController();
    const until = AbortSignal.any([signal, stop.signal]);
    const [writer, reader] = [await log.openWriter(), await log.openReader()];
    const ends: (() => void)[] = [];
    const topics = (index: number): ReturnType<typeof taskTopics> => taskTopics(config.name, own.name, String(index));
    const told = new Told(writer, Array.from({ length: own.shards }, (_, index) => topics(index).sink(resultsTask)));
    let results: Results | null = null;
    try {
      // A shard that nobody has begun has nothing yet, and no topics.
      for (let index = 0; index < own.shards; index++) for (const topic of [topics(index).transaction, topics(index).schema, topics(index).sink(resultsTask)]) await writer.createTopic({ topic, partitions: 1 });
      const openLog = async (): Promise<StateLog> => {
        const state = await openStateLog(this.#context, resultsTask);
        ends.push(retain(state, { topics: taskTopics(config.name, own.name, resultsTask), retention: undefined, sinks: [] }, logger));
        return state;
      };
      results = this.#results = await Results.open({
        ...spread, path: taskPath(this.#context, resultsTask), shapes: stateShapes, openLog,
        outputs: this.#outputs({ writer, reader, until, ends, turns: told.turns }),
        openShard: (index, from) => ShardFeed.open({ reader, topics: topics(index), codec, ...from }),
        input: () => this.#input(reader),
        onTaken: (shards) => told.tell(shards),
      });
      healthy();
      await results.run(signal);
    } finally {
      stop.abort();
      for (const end of ends) end();
      this.#results = null;
      await results?.close();
      await told.ended();
      await reader.close();
      await writer.close();
    }
  }

  report(): Omit<SinkReport, 'state' | 'error'> {
    const progress = this.#results?.progress;
    if (progress === undefined) return emptyReport;
    const position = progress.place === null ? null : formatLsn(progress.place.commitLsn);
    return {
      ...emptyReport, position, endLsn: position ?? '0/0', applied: progress.applied, commitAt: Number(progress.commitTime / 1000n),
      // Its place is one of the shards': where it stands in the pipeline's own log, they say.
      transactionEnd: progress.waits ? 0 : 1, offset: 0,
    };
  }

  async #input(reader: LogReader): Promise<Pick<Position, 'logId' | 'systemIdentifier'>> {
    const { start } = await readProgress(reader, topicNames(this.#context.config.name));
    if (start === null) throw new TailraceError('internal', 'shards have given rows of a log without a START');
    return start;
  }

  /** Over a writer of its own: nobody else writes what the stream gives. */
  #outputs(of: { readonly writer: LogWriter; readonly reader: LogReader; readonly until: AbortSignal; readonly ends: (() => void)[]; readonly turns: Turnstile }): StreamOutputs {
    const { config, own, log, logger } = this.#context;
    const { writer, reader, until, ends, turns } = of;
    const sinks = followersOf(config, own.name);
    const topics = streamTopics(config.name, own.name);
    let publisher: StreamPublisher | null = null;
    let heard: Parameters<StreamOutputs['onAsk']>[0] = () => {};
    const asks = new SinkAsks(reader, topics, sinks.map(({ name }) => name));
    return {
      open: async (opening) => {
        for (const { name } of sinks) await writer.createTopic({ topic: topics.sink(name), partitions: 1 });
        const retention = { topics, retention: config.log.retention, sinks };
        // What was asked before is found when the topics are taken.
        await asks.next();
        publisher = await StreamPublisher.open({
          pipeline: config.name, stream: own.name, topics, writer, reader, turns, codec: await createCodec(config.format, { pipeline: config.name, logger }),
          sinks: sinks.map(({ name }) => name), isOnlyWriter: log.writers === 'one',
        }, opening);
        ends.push(everySoOften(new Retention(publisher, retention, logger), logger));
        void asks.follow(until, (ask) => heard(ask)).catch((error: unknown) => { if (!until.aborted) logger.warn({ err: error }, 'what sinks ask the stream for is no longer heard'); });
        return { input: publisher.input, asks: publisher.asks };
      },
      onAsk: (listener) => void (heard = listener),
      publish: async (changes, step, last) => publisher?.publish(changes, step, last),
      publishCopy: async (ask, piece) => publisher?.publishCopy(ask, piece),
      close: async () => {},
    };
  }
}

/** Says in the shards' topics, now and then, how far the results are with them. */
class Told {
  readonly turns = new Turnstile();
  readonly #writer: LogWriter;
  readonly #topics: readonly string[];
  #at = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(writer: LogWriter, topics: readonly string[]) {
    this.#writer = writer;
    this.#topics = topics;
  }

  tell(shards: readonly (Position | null)[]): void {
    if (Date.now() - this.#at < tellInterval) return;
    this.#at = Date.now();
    this.#last = this.turns.take(async () => {
      for (const [index, position] of shards.entries()) {
        if (position === null) continue;
        const { startId, epoch, commitLsn, offset } = position;
        await appendRecord(this.#writer, this.#topics[index] as string, { key: null, value: encodeControl({ type: 'position', startId, epoch, commitLsn, endLsn: commitLsn, offset }) });
      }
    }).catch(() => undefined);
  }

  async ended(): Promise<void> {
    await this.#last;
  }
}

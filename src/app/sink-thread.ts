import { workerData } from 'node:worker_threads';
import { streamTopics, topicNames } from '../pipeline/topics.ts';
import { createSink } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import { runFollower } from './replay-thread.ts';
import type { SinkThreadData } from './thread-messages.ts';

const data = workerData as SinkThreadData;

/** The thread of one sink: it reads the log and writes its replica. */
await runFollower(data, ({ config, logger }) => {
  const own = config.sinks.find((sink) => sink.name === data.sink);
  if (own === undefined) throw new TailraceError('internal', `there is no sink ${data.sink}`);
  const topics = own.from === undefined ? topicNames(config.name) : streamTopics(config.name, own.from);
  return { sink: createSink(own, { pipeline: config.name, sink: own.name, ddl: config.ddl, logger }), topics, filter: own.tables, onError: own.on_error };
});

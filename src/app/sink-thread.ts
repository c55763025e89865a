import { workerData } from 'node:worker_threads';
import { createSink } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import { inputTopics } from './followers.ts';
import { runFollower } from './replay-thread.ts';
import type { SinkThreadData } from './thread-messages.ts';

const data = workerData as SinkThreadData;

/** The thread of one sink: it reads the log and writes its replica. */
await runFollower(data, async ({ config, logger }) => {
  const own = config.sinks.find((sink) => sink.name === data.sink);
  if (own === undefined) throw new TailraceError('internal', `there is no sink ${data.sink}`);
  return { sink: await createSink(own, { pipeline: config.name, sink: own.name, ddl: config.ddl, logger }), topics: inputTopics(config.name, own), filter: own.tables, onError: own.on_error };
});

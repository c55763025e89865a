import { workerData, type MessagePort } from 'node:worker_threads';
import { TailraceError } from '../runtime/errors.ts';
import { inputTopics } from './followers.ts';
import { runFollower } from './replay-thread.ts';
import { outputsOver } from './stream-port.ts';
import { loadStream, outputsOf, quotedPattern } from './streams.ts';
import type { SinkThreadData } from './thread-messages.ts';

const data = workerData as SinkThreadData;

/** The thread of one stream: it reads the log, computes, and publishes through the thread that has the log's writer. */
await runFollower(data, async ({ config }) => {
  const own = config.streams.find((stream) => stream.name === data.sink);
  if (own === undefined) throw new TailraceError('internal', `there is no stream ${data.sink}`);
  const { sink, tables } = await loadStream(config, own, outputsOver(data.outputs as MessagePort));
  if (own.from !== undefined) {
    const [missing] = await sink.check(await outputsOf(config, own.from));
    if (missing !== undefined) throw new TailraceError('stream-module', missing.message, { remedy: missing.remedy });
  }
  return { sink, topics: inputTopics(config.name, own), filter: { include: tables.map(quotedPattern), exclude: [] }, needs: tables, onError: own.on_error };
});

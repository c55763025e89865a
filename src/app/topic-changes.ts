import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { TailraceError } from '../runtime/errors.ts';
import { printable, shortened } from '../runtime/printable.ts';
import { askDaemon } from './control/ask-daemon.ts';
import { LogDoor, withWriter } from './log-door.ts';
import type { LogRequest } from './control/log-request.ts';
import { performOnLog } from './log-requests.ts';
import { kindOf, lossOf } from './topic-kind.ts';
import { topicOwner } from './topics.ts';

export type TopicOrder = LogRequest & { readonly do: 'create' | 'alter' | 'delete' };

export interface OrderOptions {
  /** Also one that the pipeline writes. */
  readonly force: boolean;
  readonly runtimeFolder: string | undefined;
}

/**
 * Makes, changes or deletes a topic; false where it was there already, or is not there. One that the pipeline writes is left alone
 * unless it is forced, and then its daemon must not run, because it would go on with what is gone.
 */
export async function changeTopic(configs: readonly PipelineConfig[], order: TopicOrder, { force, runtimeFolder }: OrderOptions): Promise<{ readonly topic: string; readonly done: boolean }> {
  const { config, topic } = topicOwner(configs, order.topic);
  const request = { ...order, topic };
  if (kindOf(config.name, topic) === 'produced') {
    if (order.do === 'create') requireName(topic);
    const door = new LogDoor(config, runtimeFolder);
    try {
      return { topic, ...(await door.ask(request)) };
    } finally {
      await door.close();
    }
  }
  if (order.do === 'create') throw ownName(config, topic);
  if (!force) {
    throw new TailraceError('usage', `${shortened(topic, 80)} is a topic that the pipeline ${config.name} writes. If it is ${order.do === 'delete' ? 'deleted' : 'changed'}, ${stake(config, request)}`, { remedy: 'To do it all the same, stop the daemon and add --force.' });
  }
  if (order.do === 'delete' || order.partitions !== null) await refuseWhileRunning(config, runtimeFolder);
  return { topic, ...(await withWriter(config, (writer) => performOnLog(writer, request))) };
}

function stake(config: PipelineConfig, order: TopicOrder): string {
  if (order.do === 'delete') return lossOf(config.name, order.topic);
  return order.do === 'alter' && order.partitions !== null ? 'its keys are spread anew, and the order of their changes is lost: the pipeline then needs a new name' : 'what the pipeline relies on may not hold any more (see docs/kafka.md)';
}

/** What Kafka takes, whatever the log: a pipeline may move from one to the other. */
export function requireName(topic: string): void {
  if (/^[a-zA-Z0-9._-]{1,249}$/.test(topic)) return;
  throw new TailraceError('usage', `${shortened(topic, 80)} is no name for a topic`, { remedy: 'Letters, digits, _ and - are taken, 249 characters at most.' });
}

function ownName(config: PipelineConfig, topic: string): TailraceError {
  const partitioned = config.log.type === 'kafka' ? '; log.tables says with how many partitions' : '';
  return new TailraceError('usage', `${shortened(topic, 80)} is a name for a topic that the pipeline writes itself: it makes it when it has something for it${partitioned}`, {
    remedy: `Choose a name without a dot behind the pipeline's, for example ${config.name}.${printable(topic.slice(config.name.length + 1).split('.').at(-1) || 'clicks')}.`,
  });
}

async function refuseWhileRunning(config: PipelineConfig, runtimeFolder: string | undefined): Promise<void> {
  const runs = await askDaemon(config, 'status', {}, { runtimeFolder }).then(() => true, (error: unknown) => {
    if (error instanceof TailraceError && error.code === 'daemon-missing') return false;
    throw error;
  });
  if (runs) throw new TailraceError('log-locked', `the daemon of ${config.name} runs, and writes this topic`, { remedy: 'Stop it first, on Kafka on every machine.' });
}

import { TailraceError } from '../../runtime/errors.ts';
import type { TopicSpec } from '../log.ts';
import { Again, againOrThrow, type Cluster } from './cluster.ts';
import { errorCode, isPassing, kafkaError } from './kafka-errors.ts';
import { neededSettings } from './needed-settings.ts';
import { alterConfigsApi, createPartitionsApi, createTopicsApi, deleteTopicsApi, describeConfigsApi, type DescribedConfig } from './protocol/cluster-apis.ts';

/** How topics are made. */
export interface TopicRules {
  /** Copies of each partition; undefined: three, or as many as there are brokers. */
  readonly replication: number | undefined;
  /** Copies that a record must be on before it counts; undefined: one less than there are, at least one. */
  readonly minInSync: number | undefined;
  /** `max.message.bytes` */
  readonly maxRecordSize: number;
  /** What the configuration says beyond. */
  readonly settings: Readonly<Record<string, string>>;
}

const never = '9223372036854775807';
const timeout = 15_000;

/** Brokers before 3.6 do not know it, and take any time. */
const futureTimes = { 'message.timestamp.after.max.ms': never };

export function settingsFor(rules: TopicRules, brokers: number): { readonly replication: number; readonly settings: Readonly<Record<string, string>> } {
  const replication = rules.replication ?? Math.min(3, brokers);
  return {
    replication,
    settings: {
      ...neededSettings,
      'min.insync.replicas': String(rules.minInSync ?? Math.max(1, replication - 1)),
      'max.message.bytes': String(rules.maxRecordSize),
      ...rules.settings,
    },
  };
}

/** Makes a topic, or finds the one that is there; resolves when every partition has a leader. */
export async function makeTopic(cluster: Cluster, spec: TopicSpec, rules: TopicRules): Promise<void> {
  const { topic, partitions } = spec;
  const { brokers } = await cluster.patiently(() => cluster.describe([]));
  const { replication, settings } = settingsFor(rules, brokers.length);
  let extra: Readonly<Record<string, string>> = futureTimes;
  await cluster.patiently(async () => {
    const answer = await (await cluster.controller()).call(createTopicsApi, { topic, partitions, replication, settings: { ...settings, ...extra }, timeout, validateOnly: false });
    if (answer.error === errorCode.none || answer.error === errorCode.topicExists) return true;
    if (answer.error === errorCode.invalidConfig && extra === futureTimes) {
      extra = {};
      return new Again(kafkaError(answer.error, `the topic ${topic}`, answer.message));
    }
    cluster.controllerMoved();
    return againOrThrow(answer.error, `the topic ${topic} cannot be made with ${partitions} partitions and ${replication} copies of each`, answer.message);
  });
  const found = await led(cluster, topic);
  if (found !== partitions) throw otherPartitions({ topic, partitions: found }, partitions);
}

export function otherPartitions({ topic, partitions }: TopicSpec, wanted: number): TailraceError {
  return new TailraceError('log-settings', `the topic ${topic} has ${partitions} partitions, and is to have ${wanted}`, {
    remedy:
      'If somebody has added partitions, the keys are spread anew, and the order of their changes is lost: the pipeline needs a new name. ' +
      'If the configuration was changed, set log.partitions (or log.tables) back; topics keep the number that they were made with.',
  });
}

/** How many partitions it has, once there are at least so many and each is led by somebody. */
export function led(cluster: Cluster, topic: string, least = 1): Promise<number> {
  return cluster.patiently(async (): Promise<number | Again> => {
    cluster.forget(topic);
    const partitions = await cluster.partitions(topic);
    if (partitions === undefined || partitions.length < least) return new Again(new TailraceError('log-unreachable', `the topic ${topic} was made and is not to be seen yet`));
    const without = partitions.find(({ leader, error }) => leader < 0 || isPassing(error));
    return without === undefined ? partitions.length : new Again(new TailraceError('log-unreachable', `partition ${without.partition} of ${topic} has no leader yet`));
  });
}

/** Keys are spread anew from then on. */
export async function addPartitions(cluster: Cluster, { topic, partitions }: TopicSpec): Promise<void> {
  await cluster.patiently(async () => {
    const answer = await (await cluster.controller()).call(createPartitionsApi, { topic, partitions, timeout });
    if (answer.error === errorCode.none) return true;
    cluster.controllerMoved();
    return againOrThrow(answer.error, `the topic ${topic} cannot have ${partitions} partitions`, answer.message);
  });
}

/** Only these; null takes one back. */
export async function alterSettings(cluster: Cluster, topic: string, settings: Readonly<Record<string, string | null>>): Promise<void> {
  await cluster.patiently(async () => {
    const answer = await (await cluster.controller()).call(alterConfigsApi, { topic, settings });
    return answer.error === errorCode.none ? true : againOrThrow(answer.error, `the settings of ${topic}`, answer.message);
  });
}

/** Resolves when no broker that is asked shows it any more: deleting goes on behind the answer. */
export async function untilGone(cluster: Cluster, topic: string): Promise<void> {
  await cluster.patiently(async () => {
    cluster.forget(topic);
    return (await cluster.partitions(topic)) === undefined ? true : new Again(new TailraceError('log-unreachable', `the topic ${topic} was deleted and is still to be seen`));
  });
}

/** What a record of each topic may have at most; nothing for topics whose settings may not be looked at. */
export async function recordLimits(cluster: Cluster, topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const limits = new Map<string, number>();
  for (const { name, settings } of await describeTopics(cluster, topics)) {
    const limit = settings.get('max.message.bytes');
    if (limit !== undefined && limit !== null) limits.set(name, Number(limit));
  }
  return limits;
}

export interface TopicSettings {
  readonly name: string;
  readonly error: number;
  readonly settings: ReadonlyMap<string, string | null>;
}

export async function describeTopics(cluster: Cluster, names: readonly string[]): Promise<readonly TopicSettings[]> {
  if (names.length === 0) return [];
  return cluster.patiently(async () => (await cluster.any()).call(describeConfigsApi, { kind: 'topic', names }));
}

/** What the brokers take of one request (`socket.request.max.bytes`), the least of theirs; undefined where they do not let us know. */
export async function requestLimit(cluster: Cluster): Promise<number | undefined> {
  const { brokers } = await cluster.patiently(() => cluster.describe([]));
  const limits = await Promise.all(brokers.map(async ({ id }) => {
    const ask = async (): Promise<readonly DescribedConfig[]> => (await cluster.broker(id)).call(describeConfigsApi, { kind: 'broker', names: [String(id)] });
    // One that is down does not keep the others from working.
    const [described] = await ask().catch(() => []);
    return Number(described?.settings.get('socket.request.max.bytes') ?? Infinity);
  }));
  const least = Math.min(...limits);
  return Number.isFinite(least) ? least : undefined;
}

export async function deleteTopics(cluster: Cluster, topics: readonly string[]): Promise<void> {
  if (topics.length === 0) return;
  let left = topics;
  await cluster.patiently(async () => {
    const answers = await (await cluster.controller()).call(deleteTopicsApi, { topics: left, timeout });
    const refused = answers.filter(({ error }) => error !== errorCode.none && error !== errorCode.unknownTopic);
    left = refused.map(({ topic }) => topic);
    if (refused[0] === undefined) return true;
    cluster.controllerMoved();
    return againOrThrow(refused[0].error, `the topic ${refused[0].topic} cannot be deleted`);
  });
}

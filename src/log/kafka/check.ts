import { TailraceError } from '../../runtime/errors.ts';
import type { Finding } from '../../runtime/finding.ts';
import { formatSize } from '../../runtime/units.ts';
import { Cluster, type ClusterOptions } from './cluster.ts';
import { compressionBits } from './compression.ts';
import type { KafkaLogConfig } from './config.ts';
import { errorCode, errorName } from './kafka-errors.ts';
import { createTopicsApi, type Metadata, type TopicMetadata } from './protocol/cluster-apis.ts';
import { describeTopics, settingsFor, type TopicRules } from './topics.ts';

/** Bits of what brokers say that the user may do: 1 << the operation's number in Kafka. */
const rights = { read: 1 << 3, write: 1 << 4, create: 1 << 5, delete: 1 << 6, describe: 1 << 8, describeConfigs: 1 << 10 } as const;

interface CheckOptions {
  readonly cluster: ClusterOptions;
  readonly pipeline: string;
  readonly rules: TopicRules;
  readonly partitionsFor: (topic: string) => number;
}

/** What would be in the way of the pipeline's topics, all at once; makes and changes nothing. */
export async function checkKafkaLog(config: KafkaLogConfig, options: CheckOptions): Promise<readonly Finding[]> {
  const cluster = new Cluster({ ...options.cluster, patience: 0 });
  try {
    const seeds = await checkSeeds(config, options.cluster);
    if (seeds.length === config.brokers.length) return seeds;
    const metadata = await cluster.describe(null, true);
    const own = metadata.topics.filter(({ topic }) => topic.startsWith(`${options.pipeline}.`) && !isProduced(topic, options.pipeline));
    return [
      ...seeds.map((finding) => ({ ...finding, severity: 'warning' as const })),
      ...checkReplication(config, metadata),
      ...own.flatMap((topic) => checkTopic(topic, options)),
      ...(await checkSettings(cluster, own.map(({ topic }) => topic), config)),
      ...(own.length === 0 ? await checkMaking(cluster, metadata, options) : []),
    ];
  } finally {
    cluster.close();
  }
}

/** Each configured address by itself: one that works hides the others until it is the one that is down. */
async function checkSeeds(config: KafkaLogConfig, options: ClusterOptions): Promise<readonly Finding[]> {
  const findings = await Promise.all(config.brokers.map(async (broker): Promise<readonly Finding[]> => {
    const cluster = new Cluster({ ...options, brokers: [broker], patience: 0 });
    try {
      await cluster.any();
      return [];
    } catch (error) {
      if (!(error instanceof TailraceError)) throw error;
      return [{ severity: 'error', check: 'log-broker', message: error.message, remedy: error.remedy }];
    } finally {
      cluster.close();
    }
  }));
  return findings.flat();
}

function checkReplication(config: KafkaLogConfig, { brokers }: Metadata): readonly Finding[] {
  const replication = config.replication ?? Math.min(3, brokers.length);
  const inSync = config.min_insync_replicas ?? Math.max(1, replication - 1);
  const findings: Finding[] = [];
  const add = (severity: Finding['severity'], check: string, message: string, remedy: string): void => void findings.push({ severity, check, message, remedy });
  if (replication > brokers.length) add('error', 'log-replication', `log.replication is ${replication}, and the cluster has ${brokers.length} broker${brokers.length === 1 ? '' : 's'}`, `set log.replication to ${brokers.length}, or add brokers`);
  if (inSync > replication) add('error', 'log-insync', `log.min_insync_replicas is ${inSync} of ${replication} copies: nothing could ever be written`, 'set it to one less than log.replication');
  else if (inSync === replication && replication > 1) add('warning', 'log-insync', `every record has to be on all ${replication} copies: one broker that is down stops the capture`, 'set log.min_insync_replicas to one less than log.replication');
  if (replication === 1) add('warning', 'log-replication', 'each partition is on one broker only: if its disk is lost the log is, and every table has to be copied anew', 'use three brokers and log.replication: 3');
  return findings;
}

function checkTopic({ topic, partitions, rights: mine }: TopicMetadata, { pipeline, partitionsFor }: CheckOptions): readonly Finding[] {
  const findings: Finding[] = [];
  const add = (severity: Finding['severity'], check: string, message: string, remedy: string): void => void findings.push({ severity, check, message, remedy });
  const without = partitions.filter(({ leader }) => leader < 0);
  if (without.length > 0) add('error', 'log-leader', `${without.length} of ${partitions.length} partitions of ${topic} have no leader`, 'see which brokers are down');
  const behind = partitions.filter(({ replicas, inSync }) => inSync.length < replicas.length);
  if (behind.length > 0) add('warning', 'log-insync', `${behind.length} of ${partitions.length} partitions of ${topic} are on fewer brokers than they should be`, 'see which brokers are down or lag');
  const wanted = isOwn(topic, pipeline) ? 1 : partitionsFor(topic);
  if (partitions.length !== wanted) add('error', 'log-partitions', `${topic} has ${partitions.length} partitions, and is to have ${wanted}`, 'set log.partitions or log.tables to what the topic was made with; if partitions were added, the pipeline needs a new name');
  if (mine !== undefined) {
    const missing = (['read', 'write', 'delete', 'describe', 'describeConfigs'] as const).filter((right) => (mine & rights[right]) === 0);
    if (missing.length > 0) add('error', 'log-rights', `the user may not ${missing.join(', ')} ${topic}`, `allow it: kafka-acls --add --allow-principal User:… --operation All --resource-pattern-type prefixed --topic ${pipeline}.`);
  }
  return findings;
}

async function checkSettings(cluster: Cluster, topics: readonly string[], config: KafkaLogConfig): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const { name, error, settings } of await describeTopics(cluster, topics)) {
    const add = (severity: Finding['severity'], check: string, message: string, setting: string): void =>
      void findings.push({ severity, check, message, remedy: `kafka-configs --alter --entity-type topics --entity-name ${name} --add-config ${setting}` });
    if (error !== errorCode.none) continue;
    const policy = settings.get('cleanup.policy') ?? '';
    if (policy.includes('compact')) add('error', 'log-cleanup', `${name} is compacted: records that ENDs name would go`, 'cleanup.policy=delete');
    for (const limit of ['retention.ms', 'retention.bytes']) {
      const value = settings.get(limit) ?? '-1';
      if (value !== '-1') add('error', 'log-retention', `${name} has ${limit}=${value}: Kafka would let go of records that sinks still need`, `${limit}=-1`);
    }
    if (settings.get('unclean.leader.election.enable') === 'true') add('warning', 'log-election', `a broker that lags may take the lead of ${name}, and what others had confirmed is lost`, 'unclean.leader.election.enable=false');
    const largest = Number(settings.get('max.message.bytes') ?? config.max_record_size);
    if (largest < config.max_record_size) add('warning', 'log-record-size', `${name} takes records of ${formatSize(largest)}, and log.max_record_size is ${formatSize(config.max_record_size)}`, `max.message.bytes=${config.max_record_size}`);
    const compression = settings.get('compression.type') ?? 'producer';
    if (!['producer', 'uncompressed'].includes(compression) && !Object.hasOwn(compressionBits, compression)) add('error', 'log-compression', `the broker compresses ${name} with ${compression}, which Tailrace does not read`, 'compression.type=producer');
  }
  return findings;
}

/** Asks for a topic to be made, but only whether it could be. */
async function checkMaking(cluster: Cluster, { brokers, rights: mine }: Metadata, { pipeline, rules }: CheckOptions): Promise<readonly Finding[]> {
  const request = { topic: `${pipeline}.transaction`, partitions: 1, ...settingsFor(rules, brokers.length), timeout: 10_000, validateOnly: true };
  const answer = await (await cluster.controller()).call(createTopicsApi, request);
  if (answer.error === errorCode.none || answer.error === errorCode.invalidConfig) return [];
  const may = mine === undefined || (mine & rights.create) !== 0 ? '' : '; the user may not create topics';
  return [{ severity: 'error', check: 'log-topics', message: `the topic ${request.topic} could not be made: ${errorName(answer.error)}${answer.message === null ? '' : `, ${answer.message}`}${may}`, remedy: `change the configuration, or allow it: kafka-acls --add --allow-principal User:… --operation All --resource-pattern-type prefixed --topic ${pipeline}.` }];
}

function isOwn(topic: string, pipeline: string): boolean {
  const rest = topic.slice(pipeline.length + 1);
  return /^(transaction|schema|message)$|^(sink|dead-letter|stream|job)\./.test(rest);
}

/** Made by people for what they produce: their partitions and settings are theirs. A table's topic has a dot more. */
function isProduced(topic: string, pipeline: string): boolean {
  return !isOwn(topic, pipeline) && !topic.slice(pipeline.length + 1).includes('.');
}

import { readFileSync } from 'node:fs';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { TailraceError } from '../../runtime/errors.ts';
import type { Finding } from '../../runtime/finding.ts';
import type { Log } from '../log.ts';
import { checkKafkaLog } from './check.ts';
import { Cluster, type ClusterOptions } from './cluster.ts';
import type { KafkaLogConfig } from './config.ts';
import { KafkaGroups } from './groups.ts';
import { GroupLead } from './lead.ts';
import { KafkaLogReader } from './reader.ts';
import { GroupShare } from './share.ts';
import type { TopicRules } from './topics.ts';
import { KafkaLogWriter } from './writer.ts';

export { kafkaLogConfig, type KafkaLogConfig } from './config.ts';

const connectTimeout = 10_000;
const requestTimeout = 30_000;

/** The log of a pipeline in Kafka: the topics whose names begin with the pipeline's. */
export function createKafkaLog(config: KafkaLogConfig, { pipeline }: { readonly pipeline: string }): Log {
  const prefix = `${pipeline}.`;
  return {
    writers: 'many',
    lead: (task, signal) => GroupLead.take(new Cluster(clusterOptions(config)), `${prefix}${task}`, signal),
    share: (group, tasks, run, signal) => GroupShare.take(new Cluster(clusterOptions(config)), { group: `${prefix}${group}`, tasks, run }, signal),
    async openWriter() {
      const cluster = new Cluster(clusterOptions(config));
      try {
        return await KafkaLogWriter.open({ cluster, prefix, compression: config.compression, oversize: config.oversize, ...topicRules(config, prefix) });
      } catch (error) {
        cluster.close();
        throw error;
      }
    },
    async openGroups() {
      return new KafkaGroups(clusterOptions(config), prefix);
    },
    async openReader() {
      return new KafkaLogReader(new Cluster(clusterOptions(config)), { prefix, lateAfter: config.late_after });
    },
  };
}

/** What `tailrace check` looks at. */
export function checkKafka(config: KafkaLogConfig, { pipeline }: { readonly pipeline: string }): Promise<readonly Finding[]> {
  return checkKafkaLog(config, { cluster: clusterOptions(config), pipeline, ...topicRules(config, `${pipeline}.`) });
}

function topicRules(config: KafkaLogConfig, prefix: string): { readonly rules: TopicRules; readonly partitionsFor: (topic: string) => number } {
  return {
    rules: { replication: config.replication, minInSync: config.min_insync_replicas, maxRecordSize: config.max_record_size, settings: config.topic_settings },
    partitionsFor: (topic) => config.tables[topic.slice(prefix.length)]?.partitions ?? config.partitions,
  };
}

export function clusterOptions(config: KafkaLogConfig): ClusterOptions {
  const { brokers, sasl, client_id: clientId, delivery_timeout: patience } = config;
  return { brokers, clientId, sasl, tls: tlsOptions(config.tls), connectTimeout, requestTimeout, patience };
}

function tlsOptions(tls: KafkaLogConfig['tls']): TlsOptions | undefined {
  if (tls === undefined) return undefined;
  const { ca, cert, key, server_name: servername } = tls;
  return {
    ...(ca === undefined ? {} : { ca: read(ca, 'ca') }),
    ...(cert === undefined ? {} : { cert: read(cert, 'cert') }),
    ...(key === undefined ? {} : { key: read(key, 'key') }),
    ...(servername === undefined ? {} : { servername }),
  };
}

function read(path: string, key: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new TailraceError('log-refused', `the file of log.tls.${key} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

import { readFileSync } from 'node:fs';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { TailraceError } from '../../runtime/errors.ts';
import type { Finding } from '../../runtime/finding.ts';
import type { Logger } from '../../runtime/logger.ts';
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

const connectTimeout = 10_000;
const requestTimeout = 30_000;

/** The log of a pipeline in Kafka: the topics whose names begin with the pipeline's. */
export function createKafkaLog(config: KafkaLogConfig, { pipeline, logger }: { readonly pipeline: string; readonly logger: Logger }): Log {
  const prefix = `${pipeline}.`;
  const options = { ...clusterOptions(config), onWaiting: (err: TailraceError) => logger.warn({ err }, 'the brokers are waited for') };
  return {
    writers: 'many',
    lead: (task, signal) => GroupLead.take(new Cluster(options), `${prefix}${task}`, signal),
    share: (group, tasks, run, signal) => GroupShare.take(new Cluster(options), { group: `${prefix}${group}`, tasks, run }, signal),
    async openWriter() {
      const cluster = new Cluster(options);
      try {
        return await KafkaLogWriter.open({ cluster, prefix, compression: config.compression, oversize: config.oversize, ...topicRules(config, prefix) });
      } catch (error) {
        cluster.close();
        throw error;
      }
    },
    async openGroups() {
      return new KafkaGroups(options, prefix);
    },
    async openReader() {
      return new KafkaLogReader(new Cluster(options), { prefix, lateAfter: config.late_after });
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

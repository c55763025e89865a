import { kafkaLogConfig, type KafkaLogConfig } from '../../../src/log/kafka/config.ts';
import { createKafkaLog } from '../../../src/log/kafka/index.ts';
import type { Log, LogReader, LogWriter, TopicSpec } from '../../../src/log/log.ts';
import { silentLogger } from '../../../src/runtime/logger.ts';
import { freshPipelineName } from '../../support/kafka.ts';

/** A log on the shared brokers that nobody else uses, and its pipeline. */
export function freshLog(brokers: readonly string[], config: Partial<KafkaLogConfig> = {}): { readonly log: Log; readonly pipeline: string } {
  const pipeline = freshPipelineName();
  return { pipeline, log: createKafkaLog({ ...kafkaLogConfig.parse({ brokers }), ...config }, { pipeline, logger: silentLogger }) };
}

/** As if the log had nothing but topics of its own: they are called by what stands behind the pipeline's name. */
export function withoutPrefix(log: Log, prefix: string): Log {
  const strip = (specs: readonly TopicSpec[]): readonly TopicSpec[] => specs.map((spec) => ({ ...spec, topic: spec.topic.slice(prefix.length) }));
  return {
    writers: log.writers,
    lead: (task, signal) => log.lead(task, signal),
    share: (group, tasks, run, signal) => log.share(group, tasks, run, signal),
    async openWriter(): Promise<LogWriter> {
      const writer = await log.openWriter();
      return {
        logId: writer.logId,
        shared: writer.shared,
        createTopic: (spec, options) => writer.createTopic({ ...spec, topic: prefix + spec.topic }, options),
        alterTopic: (topic, change) => writer.alterTopic(prefix + topic, change),
        deleteTopic: (topic) => writer.deleteTopic(prefix + topic),
        partitionsFor: (topic) => writer.partitionsFor(prefix + topic),
        partitionOf: (key, partitions) => writer.partitionOf(key, partitions),
        topics: () => strip(writer.topics()),
        range: (topic, partition) => writer.range(prefix + topic, partition),
        batch: (topic, partition) => writer.batch(prefix + topic, partition),
        append: (data, follow) => writer.append(data, follow),
        trim: (topic, partition, offset) => writer.trim(prefix + topic, partition, offset),
        size: () => writer.size(),
        close: () => writer.close(),
      };
    },
    openGroups: () => log.openGroups(),
    async openReader(): Promise<LogReader> {
      const reader = await log.openReader();
      return {
        logId: reader.logId,
        lateAfter: reader.lateAfter,
        topics: async () => strip(await reader.topics()),
        range: (topic, partition) => reader.range(prefix + topic, partition),
        sizes: (spec) => reader.sizes({ ...spec, topic: prefix + spec.topic }),
        fetch: (topic, partition, offset, maxBytes) => reader.fetch(prefix + topic, partition, offset, maxBytes),
        wait: (topic, partition, offset, signal) => reader.wait(prefix + topic, partition, offset, signal),
        offsetAt: (topic, partition, timestamp) => reader.offsetAt(prefix + topic, partition, timestamp),
        close: () => reader.close(),
      };
    },
  };
}

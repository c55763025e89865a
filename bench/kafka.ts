/**
 * Writes into a one-broker Kafka: Tailrace's writer beside the producer of kafkajs, the same records into three partitions; and a whole
 * pipeline, from a backlog of inserts at the source until it is durable, into Kafka and into the embedded log.
 *
 *     node bench/kafka.ts [--full] [--rows N] [--rounds N]
 *
 * Records have a key of 8 bytes, a value of 250 and a header of 48, 3,000 to a request, with acks=all and numbered by an idempotent
 * producer; the next request is made while one is on its way. kafkajs is fetched for this alone (npm); where that cannot be done its
 * figures are left out. Java 17 is needed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { kafkaLogConfig } from '../src/log/kafka/config.ts';
import { createKafkaLog } from '../src/log/kafka/index.ts';
import type { LogWriter, RecordDraft } from '../src/log/log.ts';
import { silentLogger } from '../src/runtime/logger.ts';
import { startKafkaCluster } from '../test/support/kafka-broker.ts';
import { kafkaJars } from '../test/support/kafka-jars.ts';
import { makeShop, measure, type Arena } from './support/contender.ts';
import { cpuSeconds } from './support/meter.ts';
import { options, rowsOf } from './support/options.ts';
import { benchServer } from './support/server.ts';
import { count, machine, printRuns, type Run } from './support/table.ts';
import { Tailrace } from './support/tailrace.ts';
import { inserts } from './support/workloads.ts';

const partitions = 3;
const perPartition = 1000;
const records = rowsOf({ short: 600_000, full: 3_000_000 });
const requests = Math.ceil(records / (partitions * perPartition));
const bytes = Buffer.alloc(8 + 250 + 48, 0x61);

/** One who writes: `request` sends the records of one request and resolves when they are durable. */
interface Contender {
  readonly what: string;
  request(topic: string): () => Promise<unknown>;
  close(): Promise<void>;
}

function tailrace(writer: LogWriter): Contender {
  const draft: RecordDraft = {
    timestamp: Date.now(), key: { bytes, start: 0, end: 8 }, value: { bytes, start: 8, end: 258 }, headers: [{ name: 'e', value: { bytes, start: 258, end: 306 } }],
  };
  return {
    what: 'tailrace',
    request(topic) {
      const batches = Array.from({ length: partitions }, (_, partition) => {
        const batch = writer.batch(topic, partition);
        for (let i = 0; i < perPartition; i++) batch.add(draft);
        return batch;
      });
      return () => writer.append(batches);
    },
    close: () => writer.close(),
  };
}

/** As much of kafkajs as is used here. */
interface KafkaJs {
  readonly Kafka: new (options: { brokers: readonly string[]; logLevel: number }) => {
    producer(options: { idempotent: boolean; maxInFlightRequests: number }): {
      connect(): Promise<void>;
      disconnect(): Promise<void>;
      send(request: { topic: string; acks: number; messages: readonly object[] }): Promise<unknown>;
    };
  };
}

async function kafkajs(brokers: readonly string[]): Promise<Contender | null> {
  const folder = fileURLToPath(new URL('../node_modules/.cache/tailrace-bench', import.meta.url));
  const file = join(folder, 'node_modules/kafkajs/index.js');
  if (!existsSync(file)) spawnSync('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--ignore-scripts', 'kafkajs@2.2.4'], { stdio: 'ignore' });
  if (!existsSync(file)) return null;
  const { default: module } = (await import(pathToFileURL(file).href)) as { default: KafkaJs };
  const producer = new module.Kafka({ brokers, logLevel: 1 }).producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  return {
    what: 'kafkajs',
    request(topic) {
      const messages: object[] = [];
      for (let i = 0; i < partitions * perPartition; i++) {
        messages.push({ partition: i % partitions, key: bytes.subarray(0, 8), value: bytes.subarray(8, 258), headers: { e: bytes.subarray(258) } });
      }
      return () => producer.send({ topic, acks: -1, messages });
    },
    close: () => producer.disconnect(),
  };
}

async function run(contender: Contender, topic: string, broker: number | undefined): Promise<Run> {
  const began = performance.now();
  await contender.request(topic)();
  const first = performance.now();
  const own = process.cpuUsage();
  const brokers = cpuSeconds(broker);
  let sent: Promise<unknown> = Promise.resolve();
  for (let n = 1; n < requests; n++) {
    const next = contender.request(topic);
    await sent;
    sent = next();
  }
  await sent;
  const { user, system } = process.cpuUsage(own);
  const cpu = { client: (user + system) / 1e6, broker: cpuSeconds(broker) - brokers };
  return { what: contender.what, start: (first - began) / 1000, seconds: (performance.now() - first) / 1000, rows: (requests - 1) * partitions * perPartition, cpu, peak: Number.NaN };
}

async function writers(brokers: readonly string[], broker: number | undefined): Promise<void> {
  const log = createKafkaLog(kafkaLogConfig.parse({ brokers }), { pipeline: 'bench', logger: silentLogger });
  const writer = await log.openWriter();
  const contenders = [await kafkajs(brokers), tailrace(writer)].filter((contender) => contender !== null);
  const runs: Run[] = [];
  for (let round = 0; round <= options.rounds; round++) {
    for (const contender of contenders) {
      const topic = `bench.${contender.what}-${round}`;
      await writer.createTopic({ topic, partitions });
      const made = await run(contender, topic, broker);
      const reader = await log.openReader();
      const ends = await Promise.all(Array.from({ length: partitions }, async (_, partition) => (await reader.range(topic, partition)).end));
      await reader.close();
      if (ends.some((end) => end !== requests * perPartition)) throw new Error(`${topic} has ${ends.join(', ')} records`);
      // The first round warms the broker up.
      if (round > 0) runs.push(made);
    }
  }
  for (const contender of contenders) await contender.close();
  printRuns(`${count(records)} records of about 320 bytes into three partitions of one broker, acks=all`, runs, 'kafkajs');
}

async function pipelines(brokers: readonly string[], broker: number | undefined): Promise<void> {
  const workload = inserts(1000);
  const source = await benchServer();
  const arena: Arena = { source, replica: source, shop: 'shop', workload };
  const daemons: Tailrace[] = [];
  try {
    await makeShop(arena);
    for (let round = 0; round < options.rounds; round++) daemons.push(await Tailrace.create(arena, 'none'), await Tailrace.create(arena, 'none', { kafka: { brokers, pid: broker } }));
    await workload.fill(source, arena.shop, records);
    await source.sql('CHECKPOINT');
    const runs: Run[] = [];
    for (const daemon of daemons) {
      runs.push(await measure(daemon, records));
      await daemon.remove();
    }
    printRuns(`backlog of ${count(records)} one-row inserts, 1,000 a transaction, until durable`, runs, 'tailrace');
  } finally {
    for (const daemon of daemons) await daemon.remove().catch(() => undefined);
    await source.remove();
  }
}

const jars = kafkaJars();
if (jars.missing !== undefined) throw new Error(jars.missing);
const cluster = await startKafkaCluster({ libs: jars.libs });
try {
  console.log(machine());
  await writers(cluster.addresses, cluster.brokers[0]?.pid);
  await pipelines(cluster.addresses, cluster.brokers[0]?.pid);
} finally {
  await cluster.remove();
}

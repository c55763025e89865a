/**
 * Brings a backlog of one-row inserts into a one-broker Kafka, beside Debezium's source connector for Postgres in Kafka Connect: the same
 * server, the same rows, the same broker, one after the other, from the first record to the last.
 *
 *     node bench/debezium.ts [--full] [--rows N] [--rounds N] [--only NAME]
 *
 * Both write JSON without schemas; then, with `--full`, with a schema in each record, which is Connect's default. Java 17 is needed, and
 * Maven fetches the connector the first time.
 */
import { startKafkaCluster } from '../test/support/kafka-broker.ts';
import { debeziumJars, kafkaJars } from '../test/support/kafka-jars.ts';
import { makeShop, measureEach, type Arena, type Contender } from './support/contender.ts';
import { Debezium } from './support/debezium.ts';
import { options, rowsOf } from './support/options.ts';
import { benchServer } from './support/server.ts';
import { count, machine, printRuns } from './support/table.ts';
import { Tailrace } from './support/tailrace.ts';
import { inserts } from './support/workloads.ts';

/** As Kafka's own scripts start a broker. */
const brokerJvm = ['-Xms1G', '-Xmx1G', '-server', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20', '-XX:InitiatingHeapOccupancyPercent=35', '-XX:+ExplicitGCInvokesConcurrent'];

const [broker, connect] = [kafkaJars(), debeziumJars()];
if (broker.missing !== undefined) throw new Error(broker.missing);
if (connect.missing !== undefined) throw new Error(connect.missing);
const rows = rowsOf({ short: 200_000, full: 500_000 });
const workload = inserts(1000);
const cluster = await startKafkaCluster({ libs: broker.libs, jvm: brokerJvm });
const source = await benchServer();
const arena: Arena = { source, replica: source, shop: 'shop', workload };
const contenders: Contender[] = [];
try {
  await makeShop(arena);
  const kafka = { brokers: cluster.addresses, pid: cluster.brokers[0]?.pid };
  for (let round = 0; round < options.rounds; round++) {
    for (const schemas of options.full ? [false, true] : [false]) {
      contenders.push(await Debezium.create(arena, { libs: connect.libs, kafka, schemas }));
      contenders.push(await Tailrace.create(arena, 'none', { kafka: schemas ? { ...kafka, format: '{ type: json, schemas: true }' } : kafka }));
    }
  }
  await workload.fill(source, arena.shop, rows);
  await source.sql('CHECKPOINT');
  const runs = await measureEach(contenders, rows);
  console.log(`${machine()}; Debezium ${connect.version}`);
  printRuns(`backlog of ${count(rows)} one-row inserts, 1,000 a transaction, until durable in Kafka`, runs, 'debezium');
} finally {
  for (const contender of contenders) await contender.remove().catch(() => undefined);
  await source.remove();
  await cluster.remove();
}

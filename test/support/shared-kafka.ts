import { freePort } from '../../src/cli/demo/embedded-postgres.ts';
import { startKafkaCluster } from './kafka-broker.ts';
import { kafkaJars } from './kafka-jars.ts';

/** The variable by which people name brokers of theirs, and the test runner the one that it has started. */
export const BROKERS_VARIABLE = 'KAFKA_BROKERS';

export interface StartedKafka {
  readonly brokers: readonly string[];
  readonly missing?: undefined;
  remove(): Promise<void>;
}

/** One broker with all defaults that matter: in a container where an engine is, else by Java. */
export async function startSharedKafka(): Promise<StartedKafka | { readonly missing: string }> {
  const contained = await startContainer();
  if (contained !== undefined) return contained;
  const jars = kafkaJars();
  if (jars.missing !== undefined) return { missing: `no KAFKA_BROKERS, no container engine, and ${jars.missing}` };
  const cluster = await startKafkaCluster({ libs: jars.libs });
  return { brokers: cluster.addresses, remove: () => cluster.remove() };
}

/** Undefined where no engine answers, which shows within milliseconds. */
async function startContainer(): Promise<StartedKafka | undefined> {
  const { GenericContainer, Wait, getContainerRuntimeClient } = await import('testcontainers');
  try {
    await getContainerRuntimeClient();
  } catch {
    return undefined;
  }
  const port = await freePort();
  const container = await new GenericContainer('apache/kafka:4.3.1')
    // Clients are told this address, so it has to be known before the container runs.
    .withExposedPorts({ container: 9092, host: port })
    .withEnvironment({
      KAFKA_NODE_ID: '1',
      KAFKA_PROCESS_ROLES: 'broker,controller',
      KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
      KAFKA_LISTENERS: 'PLAINTEXT://0.0.0.0:9092,CONTROLLER://localhost:9093',
      KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port}`,
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
      KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
      KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
      KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
      KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
      KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
      KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
    })
    .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
    .start();
  return { brokers: [`127.0.0.1:${port}`], remove: async () => void (await container.stop()) };
}

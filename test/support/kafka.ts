/**
 * Real Kafka for tests (`*.kafka.test.ts`). `sharedKafka()` is the one cluster of the test run, or of this file when it runs
 * alone: take topics of a name of your own in it. A test that stops, kills or configures brokers starts its own by `startKafka`.
 */
import { randomBytes } from 'node:crypto';
import { after } from 'node:test';
import { startKafkaCluster, type KafkaCluster, type KafkaOptions } from './kafka-broker.ts';
import { kafkaJars } from './kafka-jars.ts';
import type { Scope } from './postgres.ts';
import { BROKERS_VARIABLE, startSharedKafka, type StartedKafka } from './shared-kafka.ts';

export type { KafkaBroker, KafkaCluster } from './kafka-broker.ts';

/** Brokers, or the reason why there are none, for the `skip` of tests: `test(name, { skip: kafka.missing }, …)`. */
export type FoundKafka = { readonly brokers: readonly string[]; readonly missing: undefined } | { readonly brokers: readonly []; readonly missing: string };

let shared: Promise<FoundKafka> | undefined;
let ofThisFile: StartedKafka | undefined;

// Here and not where it starts: inside a test `after` would bind to that test, and the next one would find no broker.
after(() => ofThisFile?.remove());

export function sharedKafka(): Promise<FoundKafka> {
  shared ??= findShared();
  return shared;
}

async function findShared(): Promise<FoundKafka> {
  const named = process.env[BROKERS_VARIABLE];
  if (named !== undefined && named !== '') return { brokers: named.split(','), missing: undefined };
  const started = await startSharedKafka();
  if (started.missing !== undefined) return { brokers: [], missing: started.missing };
  ofThisFile = started;
  return { brokers: started.brokers, missing: undefined };
}

/** Brokers of one's own; gone when the scope ends. Undefined where there is no Java: the test is then skipped, and says why. */
export async function startKafka(
  scope: Scope & { skip(reason: string): void },
  options: Omit<KafkaOptions, 'libs'> = {},
): Promise<KafkaCluster | undefined> {
  const jars = kafkaJars();
  if (jars.missing !== undefined) {
    scope.skip(`brokers to be killed and configured need Java: ${jars.missing}`);
    return undefined;
  }
  const cluster = await startKafkaCluster({ ...options, libs: jars.libs });
  scope.after(() => cluster.remove());
  return cluster;
}

/** A pipeline's name that nobody else uses on the shared brokers, and so a prefix for topics. */
export function freshPipelineName(): string {
  return `k${randomBytes(6).toString('hex')}`;
}

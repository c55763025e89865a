import { type Jars, mavenJars } from './maven-jars.ts';

const version = '4.3.1';
/** Its slf4j has no binding: without this one the broker is mute. */
const logging = 'org.slf4j:slf4j-simple:1.7.36';

/** Kafka, its tools and its broker. */
export function kafkaJars(): Jars {
  return mavenJars(`kafka-${version}`, [`org.apache.kafka:kafka_2.13:${version}`, `org.apache.kafka:kafka-tools:${version}`, logging]);
}

/** Kafka Connect, with Debezium's JDBC sink connector. Of 3.6 this connector is not to be had. */
export function connectJars(): Jars {
  const debezium = '3.5.0.Final';
  return mavenJars(`kafka-connect-${version}-jdbc-${debezium}`, [
    `org.apache.kafka:connect-runtime:${version}`, `org.apache.kafka:connect-json:${version}`, `io.debezium:debezium-connector-jdbc:${debezium}`, logging,
  ]);
}

/** Kafka Connect, with Debezium's source connector for Postgres: what the benchmark into Kafka is held against. */
export function debeziumJars(): Jars & { readonly version: string } {
  const debezium = '3.6.1.Final';
  const jars = mavenJars(`kafka-connect-${version}-debezium-postgres-${debezium}`, [
    `org.apache.kafka:connect-runtime:${version}`, `org.apache.kafka:connect-json:${version}`, `io.debezium:debezium-connector-postgres:${debezium}`, logging,
  ]);
  return { ...jars, version: debezium };
}

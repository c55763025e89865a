import type { Scope } from '../../test/support/postgres.ts';
import { startConnect } from '../../test/support/kafka-connect.ts';
import type { JavaProgram } from '../../test/support/java-program.ts';
import { kafkaLogConfig } from '../../src/log/kafka/config.ts';
import { createKafkaLog } from '../../src/log/kafka/index.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { freshName, type Arena, type Contender } from './contender.ts';
import { cpuSeconds, peakMemory, serverCpuSeconds, type Cpu } from './meter.ts';
import { kafkaProbe, type KafkaPlace, type Looker } from './tailrace.ts';

export interface DebeziumOptions {
  readonly libs: string;
  readonly kafka: Omit<KafkaPlace, 'format'>;
  /** Whether each record carries its schema, as the JsonConverter does unless it is told otherwise. */
  readonly schemas: boolean;
}

/** As Kafka's own scripts start Connect. */
const connectJvm = ['-Xms256M', '-Xmx2G', '-server', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20', '-XX:InitiatingHeapOccupancyPercent=35', '-XX:+ExplicitGCInvokesConcurrent'];
const longestStart = 60_000;
/** As they are unless told otherwise, in place of what tests take. */
const workerDefaults = ['offset.flush.interval.ms=60000', 'consumer.metadata.max.age.ms=300000'];

/**
 * Debezium's source connector for Postgres in a standalone worker of Kafka Connect, everything at its default but who and where, the
 * publication, which is there, and `snapshot.mode=no_data`: it begins where its slot stands.
 */
export class Debezium implements Contender {
  readonly what: string;
  readonly database = null;
  readonly #arena: Arena;
  readonly #options: DebeziumOptions;
  readonly #name: string;
  readonly #probe: Looker;
  readonly #ends: (() => Promise<void>)[] = [];
  #program: JavaProgram | null = null;
  #began = 0;
  #peak = Number.NaN;

  private constructor(arena: Arena, options: DebeziumOptions, of: { readonly name: string; readonly probe: Looker }) {
    this.what = options.schemas ? 'debezium, schemas' : 'debezium';
    this.#arena = arena;
    this.#options = options;
    this.#name = of.name;
    this.#probe = of.probe;
  }

  static async create(arena: Arena, options: DebeziumOptions): Promise<Debezium> {
    const { brokers } = options.kafka;
    const name = freshName('debezium');
    await arena.source.sql(`SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`, [], arena.shop);
    const topic = `${name}.public.${arena.workload.progress.table}`;
    const writer = await createKafkaLog(kafkaLogConfig.parse({ brokers }), { pipeline: name, logger: silentLogger }).openWriter();
    await writer.createTopic({ topic, partitions: 1 });
    await writer.close();
    return new Debezium(arena, options, { name, probe: await kafkaProbe(brokers, topic) });
  }

  async start(): Promise<void> {
    this.#began = performance.now();
    const scope: Scope = { after: (end) => this.#ends.push(end) };
    const { libs, kafka } = this.#options;
    this.#program = await startConnect(scope, { libs, brokers: kafka.brokers, connector: this.#connector(), worker: workerDefaults, jvm: connectJvm });
  }

  async ready(): Promise<void> {}

  /** A task that has failed leaves its worker alive: it would be waited for. */
  async seen(total: number): Promise<number> {
    const seen = await this.#probe.seen(total);
    if (seen === 0 && performance.now() - this.#began > longestStart) throw new Error(`nothing of Debezium is in Kafka:\n${(await this.#program?.output())?.slice(-4000)}`);
    return seen;
  }

  cpu(): Cpu {
    const { pid } = this.#program ?? {};
    this.#peak = peakMemory(pid) || this.#peak;
    return { connector: cpuSeconds(pid), source: serverCpuSeconds(this.#arena.source.pid), broker: cpuSeconds(this.#options.kafka.pid) };
  }

  peak(): number {
    return this.#peak;
  }

  async remove(): Promise<void> {
    await this.#probe.close();
    for (const end of this.#ends.splice(0).toReversed()) await end();
  }

  #connector(): string {
    const { hostname, port, username, password, pathname } = new URL(this.#arena.source.url(this.#arena.shop));
    const { schemas } = this.#options;
    const settings = {
      'name': this.#name, 'connector.class': 'io.debezium.connector.postgresql.PostgresConnector', 'tasks.max': 1,
      'database.hostname': hostname, 'database.port': port, 'database.user': decodeURIComponent(username), 'database.password': decodeURIComponent(password), 'database.dbname': pathname.slice(1),
      'topic.prefix': this.#name, 'plugin.name': 'pgoutput', 'slot.name': this.#name, 'publication.name': 'bench', 'publication.autocreate.mode': 'disabled', 'snapshot.mode': 'no_data',
      'topic.creation.default.partitions': 1, 'topic.creation.default.replication.factor': 1,
      'key.converter': 'org.apache.kafka.connect.json.JsonConverter', 'key.converter.schemas.enable': schemas,
      'value.converter': 'org.apache.kafka.connect.json.JsonConverter', 'value.converter.schemas.enable': schemas,
    };
    return Object.entries(settings).map(([name, value]) => `${name}=${String(value)}\n`).join('');
  }
}

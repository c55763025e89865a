import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { kafkaLogConfig } from '../../src/log/kafka/config.ts';
import { createKafkaLog } from '../../src/log/kafka/index.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { freshName, type Arena, type Contender } from './contender.ts';
import { BenchDaemon } from './daemon.ts';
import { cpuSeconds, serverCpuSeconds, type Cpu } from './meter.ts';
import { Probe } from './server.ts';
import type { Progress } from './workloads.ts';

export interface Looker {
  seen(total: number): Promise<number>;
  close(): void | Promise<void>;
}

/** In place of the embedded log. */
export interface KafkaPlace {
  readonly brokers: readonly string[];
  /** The broker's process, where it is one and its CPU is to be told. */
  readonly pid: number | undefined;
  /** As the YAML says it; in the default format where it is left out. */
  readonly format?: string;
}

export type SinkKind = 'postgres' | 'sqlite' | 'none';

/** Tailrace as a daemon: with one sink or several of a kind, or none. */
export class Tailrace implements Contender {
  readonly what: string;
  readonly database: string | null;
  readonly #arena: Arena;
  readonly #daemon: BenchDaemon;
  readonly #sink: SinkKind;
  readonly #name: string;
  readonly #sinks: number;
  readonly #kafka: KafkaPlace | undefined;
  #probes: Looker[] = [];

  private constructor(arena: Arena, parts: { name: string; sink: SinkKind; sinks: number; daemon: BenchDaemon; kafka: KafkaPlace | undefined; decodingMemory: string | undefined }) {
    this.#arena = arena;
    this.#sink = parts.sink;
    this.#sinks = parts.sinks;
    this.#kafka = parts.kafka;
    const { kafka, decodingMemory } = parts;
    this.what = ['tailrace', kafka && 'Kafka', kafka?.format, decodingMemory].filter((part) => part !== undefined).join(', ');
    this.#name = parts.name;
    this.#daemon = parts.daemon;
    this.database = parts.sink === 'postgres' ? `${parts.name}_0` : null;
  }

  static async create(arena: Arena, sink: SinkKind, options: { readonly sinks?: number; readonly kafka?: KafkaPlace; readonly decodingMemory?: string } = {}): Promise<Tailrace> {
    const name = freshName('bench');
    const many = options.sinks ?? 1;
    const sinks: string[] = [];
    if (sink !== 'none') for (let i = 0; i < many; i++) sinks.push(`  - { name: sink-${i}, ${await sinkOf(arena, sink, `${name}_${i}`)} }\n`);
    const { kafka, decodingMemory } = options;
    const tables = arena.workload.tables.map((table) => `public.${table}`).join(', ');
    const daemon = await BenchDaemon.create((directory) => `name: ${name}
source: { type: postgres, url: "${arena.source.url(arena.shop)}", publication: bench, tables: { include: [${tables}] }${decodingMemory === undefined ? '' : `, logical_decoding_work_mem: ${decodingMemory}`} }
log: { ${kafka === undefined ? `type: embedded, directory: "${directory}/log"` : `type: kafka, brokers: [${kafka.brokers.join(', ')}]`} }
${kafka?.format === undefined ? '' : `format: ${kafka.format}\n`}sinks:${sinks.length === 0 ? ' []' : `\n${sinks.join('').replaceAll('{}', directory)}`}
`);
    const tailrace = new Tailrace(arena, { name, sink, sinks: many, daemon, kafka, decodingMemory });
    await tailrace.start();
    await tailrace.ready();
    await daemon.stop();
    return tailrace;
  }

  async start(): Promise<void> {
    this.#daemon.start();
    if (this.#probes.length === 0) this.#probes = await this.#openProbes();
  }

  ready(): Promise<void> {
    return this.#daemon.streaming();
  }

  async seen(total: number): Promise<number> {
    // All of them: as many as the one that has the fewest.
    return Math.min(...(await Promise.all(this.#probes.map((probe) => probe.seen(total)))));
  }

  cpu(): Cpu {
    const { source, replica } = this.#arena;
    const cpu = { ours: this.#daemon.cpu, source: serverCpuSeconds(source.pid), ...(this.#kafka?.pid === undefined ? {} : { broker: cpuSeconds(this.#kafka.pid) }) };
    return this.#sink === 'postgres' ? { ...cpu, replica: serverCpuSeconds(replica.pid) } : cpu;
  }

  peak(): number {
    return this.#daemon.peak;
  }

  async remove(): Promise<void> {
    for (const probe of this.#probes.splice(0)) await probe.close();
    await this.#daemon.remove();
  }

  #openProbes(): Promise<Looker[]> {
    const { workload, replica } = this.#arena;
    const names = Array.from({ length: this.#sinks }, (_, i) => `${this.#name}_${i}`);
    switch (this.#sink) {
      case 'none': {
        const topic = `${this.#name}.public.${workload.tables[0]}`;
        return this.#kafka === undefined ? Promise.resolve([{ seen: () => this.#daemon.logged(topic), close: () => {} }]) : kafkaProbe(this.#kafka.brokers, topic).then((probe) => [probe]);
      }
      case 'sqlite':
        return Promise.resolve(names.map((name) => sqliteProbe(join(this.#daemon.directory, `${name}.sqlite`), workload.progress)));
      case 'postgres':
        return Promise.all(names.map((name) => Probe.open(replica.url(name), workload.progress)));
    }
  }
}

/** Looks how many records a topic of one partition has. */
export async function kafkaProbe(brokers: readonly string[], topic: string): Promise<Looker> {
  const pipeline = topic.slice(0, topic.indexOf('.'));
  const reader = await createKafkaLog(kafkaLogConfig.parse({ brokers }), { pipeline, logger: silentLogger }).openReader();
  return { seen: async () => (await reader.range(topic, 0)).end, close: () => reader.close() };
}

async function sinkOf(arena: Arena, kind: 'postgres' | 'sqlite', name: string): Promise<string> {
  return kind === 'postgres' ? `type: postgres, url: "${await arena.replica.createDatabase(name)}"` : `type: sqlite, path: "{}/${name}.sqlite"`;
}

function sqliteProbe(path: string, { table, each }: Progress): Looker {
  // The daemon makes the file.
  let database: DatabaseSync | null = null;
  const ask = (sql: string): number => {
    try {
      database ??= new DatabaseSync(path, { readOnly: true });
      return Number(Object.values(database.prepare(sql).get() ?? {})[0] ?? 0);
    } catch {
      return 0;
    }
  };
  return { seen: async () => ask(`SELECT max(id) FROM ${table}`) * each, close: () => database?.close() };
}

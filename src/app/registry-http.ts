import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { LogReader } from '../log/log.ts';
import { SchemaReader } from '../pipeline/schema-reader.ts';
import { streamTopics, topicNames } from '../pipeline/topics.ts';
import { createLog } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { HttpReply, HttpTree } from '../runtime/http.ts';
import { silentLogger } from '../runtime/logger.ts';
import { RegistryView, type PipelineSchemas } from './registry-view.ts';

/** Tailrace's own Schema Registry, for reading: what the logs of these pipelines hold, whether or not anybody publishes now. */
export class RegistryServer implements HttpTree {
  readonly roots = ['subjects', 'schemas', 'config', 'mode'];
  readonly #logs: readonly SchemaLog[];

  private constructor(logs: readonly SchemaLog[]) {
    this.#logs = logs;
  }

  /** Undefined where no pipeline gives ids itself. */
  static of(configs: readonly PipelineConfig[]): RegistryServer | undefined {
    const own = configs.filter(({ format }) => format.type === 'avro' && format.registry === undefined);
    return own.length === 0 ? undefined : new RegistryServer(own.map((config) => new SchemaLog(config)));
  }

  async answer(parts: readonly string[]): Promise<HttpReply | null> {
    try {
      return new RegistryView(await Promise.all(this.#logs.map((log) => log.read()))).answer(parts);
    } catch (error) {
      // The codes of Confluent's API, so that a client tries again: 50003 is an error of the store behind it.
      if (!(error instanceof TailraceError)) throw error;
      return { status: 503, json: { error_code: 50_003, message: error.message } };
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#logs.map((log) => log.close()));
  }
}

/** The schema topics of one pipeline, read on from where they were read to. */
class SchemaLog {
  readonly #config: PipelineConfig;
  #reader: LogReader | null = null;
  readonly #topics = new Map<string, SchemaReader>();
  /** Readings take turns: each goes on where the one before it stopped. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(config: PipelineConfig) {
    this.#config = config;
  }

  read(): Promise<PipelineSchemas> {
    const next = this.#turn.then(() => this.#read());
    this.#turn = next.catch(() => this.close());
    return next;
  }

  async close(): Promise<void> {
    const reader = this.#reader;
    this.#reader = null;
    this.#topics.clear();
    await reader?.close().catch(() => undefined);
  }

  async #read(): Promise<PipelineSchemas> {
    const { name, log, streams } = this.#config;
    this.#reader ??= await (await createLog(log, { pipeline: name, logger: silentLogger })).openReader();
    const reader = this.#reader;
    const there = new Set((await reader.topics()).map(({ topic }) => topic));
    for (const { schema } of [topicNames(name), ...streams.map((stream) => streamTopics(name, stream.name))]) {
      if (there.has(schema) && !this.#topics.has(schema)) this.#topics.set(schema, new SchemaReader(reader, schema));
    }
    for (const topic of this.#topics.values()) await topic.refresh();
    return { pipeline: name, registered: [...this.#topics.values()].flatMap((topic) => topic.registered()) };
  }
}

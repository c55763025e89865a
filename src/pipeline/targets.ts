import type { Codec } from '../codec/codec.ts';
import { hasFilledColumn, noTable, tableName, type TableShape } from '../event/table.ts';
import type { LogWriter } from '../log/log.ts';
import type { Logger } from '../runtime/logger.ts';
import { encodeControl, type SchemaTopicRecord } from './control-records.ts';
import { Target } from './event-encoder.ts';
import { appendRecord } from './group.ts';
import type { SchemaVersions } from './schema-versions.ts';
import type { TopicNames } from './topics.ts';
import type { Turnstile } from './turnstile.ts';

export interface TargetsOptions {
  readonly writer: LogWriter;
  readonly turns: Turnstile;
  readonly topics: TopicNames;
  readonly codec: Codec;
  readonly versions: SchemaVersions;
  readonly logger: Logger;
  /** Adds a record to the group that is being filled. */
  readonly add: (record: SchemaTopicRecord) => void;
  /** The table has got a column that has values in rows which the stream does not send. */
  readonly onFilledColumn: (table: TableShape) => void;
}

/** Where events go: for each shape that comes its topic is made, and its version written, before its first event. */
export class Targets {
  readonly #options: TargetsOptions;
  readonly #byShape = new Map<TableShape, Target>();

  constructor(options: TargetsOptions) {
    this.#options = options;
  }

  get(shape: TableShape): Target | undefined {
    return this.#byShape.get(shape);
  }

  async make(shape: TableShape): Promise<Target> {
    const { topics, writer, logger, onFilledColumn } = this.#options;
    const topic = topics.events(shape);
    const { target, isNew, before } = await this.#make(shape, topic, writer.partitionsFor(topic));
    if (isNew) logger.info({ table: tableName(shape), version: target.schema.version, columns: shape.columns.length }, 'a table has a new schema version');
    if (isNew && before !== undefined && hasFilledColumn(before, shape)) onFilledColumn(shape);
    return target;
  }

  /** Where logical messages go. */
  async messages(): Promise<Target> {
    return this.#byShape.get(noTable) ?? (await this.#make(noTable, this.#options.topics.message, 1)).target;
  }

  async #make(shape: TableShape, topic: string, partitions: number): Promise<{ readonly target: Target; readonly isNew: boolean; readonly before: TableShape | undefined }> {
    const { codec, versions, topics, writer, turns, add } = this.#options;
    const registered = await codec.prepare?.(shape, topic, versions.registered());
    await turns.take(() => writer.createTopic({ topic, partitions }));
    const isNamed = shape !== noTable || registered !== undefined;
    const { schema, record, before } = isNamed ? versions.of(shape, registered) : { schema: noTable, record: null, before: undefined };
    // Durable before the first event that names it (PROTOCOL, Identity): in the same group, or in one before. An id is looked up
    // by readers who know no ENDs, as soon as they meet it.
    if (record !== null && registered === undefined) add(record);
    else if (record !== null) await turns.take(() => appendRecord(writer, topics.schema, { value: encodeControl(record) }));
    const target = new Target(schema, topic, partitions);
    this.#byShape.set(shape, target);
    return { target, isNew: record !== null, before };
  }
}

import type { Codec } from '../codec/codec.ts';
import { noTable, tableName, type TableSchema, type TableShape } from '../event/table.ts';
import type { LogWriter } from '../log/log.ts';
import type { Logger } from '../runtime/logger.ts';
import { encodeControl } from './control-json.ts';
import type { SchemaTopicRecord } from './control-records.ts';
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
}

/** Where a shape's events go, whether it was unknown so far, and what the table was until then. */
export interface Made {
  readonly target: Target;
  readonly isNew: boolean;
  readonly before: TableSchema | undefined;
}

/** Of each table. */
const shapesKept = 8;

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

  async make(shape: TableShape): Promise<Made> {
    const { topics, writer, logger } = this.#options;
    const topic = topics.events(shape);
    const made = await this.#make(shape, topic, writer.partitionsFor(topic));
    if (made.isNew) logger.info({ table: tableName(shape), version: made.target.schema.version, columns: shape.columns.length }, 'a table has a new schema version');
    return made;
  }

  /**
   * A Relation comes again where it would be another one. Where only the catalog has changed, as with a type's name or the key under
   * identity full, the stream goes on with the shape that it had, and its rows are of the new version all the same.
   */
  relabel(now: Target): void {
    const { schema, topic, partitions } = now;
    for (const [shape, target] of this.#byShape) {
      if (target.schema.relid !== schema.relid || target.schema === schema) continue;
      const relabelled = new Target(schema, topic, { partitions, before: now });
      relabelled.relabels = true;
      this.#byShape.set(shape, relabelled);
    }
  }

  #ofTopic(topic: string): Target | undefined {
    for (const target of this.#byShape.values()) if (target.topic === topic) return target;
    return undefined;
  }

  /** However often a table is altered, only its newest shapes are kept: one that the stream should come back to is made again. */
  #forgetOld({ relid }: TableShape): void {
    const ofTable = [...this.#byShape.keys()].filter((shape) => shape.relid === relid);
    for (const shape of ofTable.slice(0, -shapesKept)) this.#byShape.delete(shape);
  }

  /** Where logical messages go. */
  async messages(): Promise<Target> {
    return this.#byShape.get(noTable) ?? (await this.#make(noTable, this.#options.topics.message, 1)).target;
  }

  async #make(shape: TableShape, topic: string, partitions: number): Promise<Made> {
    const { codec, versions, topics, writer, turns, add } = this.#options;
    const registered = await codec.prepare?.(shape, topic, versions.registered());
    await turns.take(() => writer.createTopic({ topic, partitions }));
    const isNamed = shape !== noTable || registered !== undefined;
    const { schema, record, before } = isNamed ? versions.of(shape, registered) : { schema: noTable, record: null, before: undefined };
    // Durable before the first event that names it (PROTOCOL, Identity): in the same group, or in one before. An id is looked up
    // by readers who know no ENDs, as soon as they meet it.
    if (record !== null && registered === undefined) add(record);
    else if (record !== null) await turns.take(() => appendRecord(writer, topics.schema, { value: encodeControl(record) }));
    const target = new Target(schema, topic, { partitions, before: this.#ofTopic(topic) });
    this.#byShape.set(shape, target);
    this.#forgetOld(shape);
    return { target, isNew: record !== null, before };
  }
}

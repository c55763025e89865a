import type { RegisteredSchema, SchemaVersion, TableSchema } from '../event/table.ts';
import type { LogReader } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import { decodeControl } from './control-json.ts';
import type { SchemaTopicRecord } from './control-records.ts';
import { records } from './log-state.ts';
import { SchemaVersions, versionText } from './schema-versions.ts';

/** The `schema` topic as a reader of events needs it: a version is durable before the first event that names it. */
export class SchemaReader {
  readonly #reader: LogReader;
  readonly #topic: string;
  readonly #versions = new SchemaVersions();
  #offset = 0;

  constructor(reader: LogReader, topic: string) {
    this.#reader = reader;
    this.#topic = topic;
  }

  /** Reads on to the end of the topic as it is now. */
  async refresh(): Promise<void> {
    for await (const cursor of records(this.#reader, this.#topic, this.#offset)) {
      const record = decodeControl<SchemaTopicRecord>(cursor.value, `${this.#topic} at offset ${cursor.offset}`);
      if (record.type === 'version') this.#versions.add(record);
      if (record.type === 'look') this.#versions.look(record);
      this.#offset = cursor.offset + 1;
    }
  }

  known(version: SchemaVersion): TableSchema | undefined {
    return this.#versions.get(version);
  }

  async get(version: SchemaVersion): Promise<TableSchema> {
    if (this.known(version) === undefined) await this.refresh();
    const schema = this.known(version);
    if (schema === undefined) throw new TailraceError('log-damaged', `an event names schema version ${versionText(version)}, which ${this.#topic} does not hold`);
    return schema;
  }

  /** What the format had registered for any version, in order. */
  registered(): readonly RegisteredSchema[] {
    return this.#versions.registered();
  }

  /** The newest schema of the table that last had this name: it may have another one by now. */
  byName(table: { readonly schema: string; readonly name: string }): TableSchema | undefined {
    const named = this.#versions.named(table);
    return named && this.#versions.currentOf(named.relid);
  }

  /** For each name that a table ever had, the last one that had it. */
  byNames(): readonly TableSchema[] {
    return this.#versions.byNames();
  }

  /** The newest schema of a table; undefined when there is none. */
  currentOf(relid: number): TableSchema | undefined {
    return this.#versions.currentOf(relid);
  }

  /** Whether the source's table was found to be gone: nothing of it comes any more, no copy either. */
  isGone(relid: number): boolean {
    return this.#versions.isGone(relid);
  }

  /** The newest schema of each table. */
  tables(): readonly TableSchema[] {
    return this.#versions.current();
  }
}

import { createHash } from 'node:crypto';
import type { SchemaVersion, TableSchema } from '../../event/table.ts';
import type { LogReader } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Slice } from '../../runtime/slice.ts';
import { decodeControl } from '../control-json.ts';
import type { SchemaTopicRecord, VersionRecord } from '../control-records.ts';
import { records } from '../log-state.ts';
import { versionText } from '../schema-versions.ts';

/**
 * A merged event of another log names a schema version that means nothing in this one. So its record names its table's shape by
 * a digest, and the shape stands under that digest in a topic of its own, for all merges of a pipeline: written twice it is still one.
 */
const digestBytes = 16;

/** What the shapes topic holds, for whoever decodes merged records. */
export class MergedShapes {
  readonly #reader: LogReader;
  readonly #topic: string;
  readonly #shapes = new Map<string, TableSchema>();
  #offset = 0;

  constructor(reader: LogReader, topic: string) {
    this.#reader = reader;
    this.#topic = topic;
  }

  async get({ bytes, start, end }: Slice): Promise<TableSchema> {
    const digest = Buffer.from(bytes.subarray(start, end)).toString('hex');
    if (!this.#shapes.has(digest)) await this.#refresh();
    const shape = this.#shapes.get(digest);
    if (shape === undefined) throw new TailraceError('log-damaged', `a merged record names the shape ${digest}, which ${this.#topic} does not hold`);
    return shape;
  }

  async has(digest: Uint8Array): Promise<boolean> {
    const text = Buffer.from(digest).toString('hex');
    if (!this.#shapes.has(text)) await this.#refresh();
    return this.#shapes.has(text);
  }

  async #refresh(): Promise<void> {
    if (!(await this.#reader.topics()).some(({ topic }) => topic === this.#topic)) return;
    for await (const cursor of records(this.#reader, this.#topic, this.#offset)) {
      const { key, offset, value } = cursor;
      const { shape, version, registered } = decodeControl<VersionRecord>(value, `${this.#topic} at offset ${offset}`);
      this.#shapes.set(Buffer.from(key.bytes.subarray(key.start, key.end)).toString('hex'), { ...shape, version, registered });
      this.#offset = offset + 1;
    }
  }
}

/** Sees to it that the shapes of another log's events are durable in this log before the first event that names them. */
export class ForeignShapes {
  readonly #reader: LogReader;
  readonly #topic: string;
  readonly #add: (digest: Uint8Array, record: Uint8Array) => Promise<void>;
  readonly #records = new Map<string, Uint8Array>();
  readonly #digests = new Map<string, Uint8Array>();
  #offset = 0;

  /** `topic`: the other log's `schema`; `add` makes a shape durable where it is not yet. */
  constructor(reader: LogReader, topic: string, add: (digest: Uint8Array, record: Uint8Array) => Promise<void>) {
    this.#reader = reader;
    this.#topic = topic;
    this.#add = add;
  }

  async digest(version: SchemaVersion): Promise<Uint8Array> {
    const text = versionText(version);
    const known = this.#digests.get(text);
    if (known !== undefined) return known;
    if (!this.#records.has(text)) await this.#refresh();
    const record = this.#records.get(text);
    if (record === undefined) throw new TailraceError('log-damaged', `an event names schema version ${text}, which ${this.#topic} does not hold`);
    const digest = createHash('sha256').update(record).digest().subarray(0, digestBytes);
    await this.#add(digest, record);
    this.#digests.set(text, digest);
    this.#records.delete(text);
    return digest;
  }

  async #refresh(): Promise<void> {
    for await (const { value, offset } of records(this.#reader, this.#topic, this.#offset)) {
      const record = decodeControl<SchemaTopicRecord>(value, `${this.#topic} at offset ${offset}`);
      if (record.type === 'version') this.#records.set(versionText(record.version), Buffer.from(value.bytes.subarray(value.start, value.end)));
      this.#offset = offset + 1;
    }
  }
}

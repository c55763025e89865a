import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { TestContext } from 'node:test';
import { createTupleCodec } from '../../src/codec/tuple/index.ts';
import type { Codec } from '../../src/codec/codec.ts';
import type { Column, ReplicaIdentity, TableShape } from '../../src/event/table.ts';
import { openEmbeddedLog, type EmbeddedLogOptions } from '../../src/log/embedded/embedded-log.ts';
import type { Lead, Log, LogReader, LogWriter } from '../../src/log/log.ts';
import { Publisher, type PublisherOptions } from '../../src/pipeline/publisher.ts';
import { Replayer, type ReplayerOptions } from '../../src/pipeline/replayer.ts';
import { topicNames } from '../../src/pipeline/topics.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import type { Sink } from '../../src/sink/sink.ts';
import { sqliteSinkConfig } from '../../src/sink/sqlite/config.ts';
import { createSqliteSink } from '../../src/sink/sqlite/index.ts';
import type { ScriptedSource } from '../support/scripted-source.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';

let relids = 16_400;

/** A table of text columns named a, b, c, … with these key columns. */
export function tableOf(name: string, columns: number, more: { readonly key?: readonly number[]; readonly identity?: ReplicaIdentity; readonly relid?: number } = {}): TableShape {
  const key = more.key ?? [0];
  const column = (_: unknown, i: number): Column => ({
    name: String.fromCharCode(97 + i), attnum: i + 1, typeOid: 25, typmod: -1, type: 'text', baseTypeOid: 25, notNull: key.includes(i),
  });
  const replicaIdentity = more.identity ?? (key.length === 0 ? 'full' : 'default');
  return { relid: more.relid ?? relids++, schema: 'public', name, columns: Array.from({ length: columns }, column), key, replicaIdentity };
}

/** One append as the log took it: what stood in it, in order of placing. */
export interface Append {
  readonly data: readonly string[];
  readonly follow: readonly string[];
}

/**
 * The real log, with a test's hand on each append: `before` may wait or throw (then nothing of the group is there and the
 * writer is finished, as the interface says), `after` may throw once all of it is durable.
 */
export class WatchedLog implements Log {
  readonly #log: Log;
  readonly appends: Append[] = [];
  before: (append: number) => void | Promise<void> = () => {};
  after: (append: number) => void | Promise<void> = () => {};
  /** Called when a reader is about to look for what a topic has. */
  onFetch: (topic: string) => void | Promise<void> = () => {};

  constructor(log: Log) {
    this.#log = log;
  }

  get writers(): Log['writers'] {
    return this.#log.writers;
  }

  lead(task: string, signal: AbortSignal): Promise<Lead> {
    return this.#log.lead(task, signal);
  }

  share(...of: Parameters<Log['share']>): Promise<void> {
    return this.#log.share(...of);
  }

  async openWriter(): Promise<LogWriter> {
    const writer = await this.#log.openWriter();
    const append: LogWriter['append'] = async (data, follow) => {
      const number = this.appends.length;
      const written: { data: readonly string[]; follow: readonly string[] } = { data: data.map((batch) => batch.topic), follow: [] };
      this.appends.push(written);
      await this.before(number);
      const placed = await writer.append(data, follow && ((places) => {
        const following = follow(places);
        written.follow = following.map((batch) => batch.topic);
        return following;
      }));
      await this.after(number);
      return placed;
    };
    return new Proxy(writer, {
      get: (target, name) => {
        if (name === 'append') return append;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
      },
    });
  }

  openGroups(): ReturnType<Log['openGroups']> {
    return this.#log.openGroups();
  }

  async openReader(): Promise<LogReader> {
    const reader = await this.#log.openReader();
    return new Proxy(reader, {
      get: (target, name) => {
        if (name === 'fetch') {
          return async (...[topic, ...where]: Parameters<LogReader['fetch']>) => {
            await this.onFetch(topic);
            return target.fetch(topic, ...where);
          };
        }
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
      },
    });
  }
}

export type BenchOptions = Partial<Pick<PublisherOptions, 'snapshot' | 'onGap' | 'sinks' | 'streams' | 'onStreamAsked' | 'codec' | 'copyParallel'>> & { readonly log?: Partial<EmbeddedLogOptions>; /** In place of an embedded log. */ readonly on?: Log; /** shop without it. */ readonly pipeline?: string };

interface Running {
  readonly stop: AbortController;
  readonly done: Promise<unknown>;
}

/** One pipeline on a real log in a temporary folder: publisher and sinks are started and stopped by the test. */
export class Bench {
  readonly source: ScriptedSource;
  readonly directory: string;
  readonly log: WatchedLog;
  readonly options: BenchOptions;
  readonly #open: { close(): Promise<void> }[];
  #publisher: Publisher | null = null;
  #running: Running | null = null;

  private constructor(source: ScriptedSource, directory: string, parts: { readonly options: BenchOptions; readonly open: { close(): Promise<void> }[] }) {
    this.source = source;
    this.directory = directory;
    this.options = parts.options;
    this.#open = parts.open;
    this.log = new WatchedLog(parts.options.on ?? openEmbeddedLog({ directory: join(directory, 'log'), ...parts.options.log }));
  }

  static async open(t: TestContext, source: ScriptedSource, options: BenchOptions = {}): Promise<Bench> {
    const open: { close(): Promise<void> }[] = [];
    // Before the directory: what is registered first is done first.
    t.after(async () => {
      for (const each of open) await each.close().catch(() => undefined);
    });
    const bench = new Bench(source, await tempDirectory(t), { options, open });
    open.push({ close: () => bench.stop().then(() => undefined) });
    return bench;
  }

  /** The same log, fed by another server. */
  async on(source: ScriptedSource): Promise<Bench> {
    await this.stop();
    const bench = new Bench(source, this.directory, { options: this.options, open: this.#open });
    this.#open.unshift({ close: () => bench.stop().then(() => undefined) });
    return bench;
  }

  get publisher(): Publisher {
    if (this.#publisher === null) throw new Error('no publisher is open');
    return this.#publisher;
  }

  get codec(): Codec {
    return this.options.codec ?? createTupleCodec();
  }

  /** Opens the log for writing, without taking the slot. */
  async openPublisher(): Promise<Publisher> {
    const { pipeline = 'shop', snapshot = 'never', onGap = 'stop', sinks = [], streams = [], onStreamAsked = () => {}, copyParallel = 1 } = this.options;
    this.#publisher ??= await Publisher.open({
      pipeline, source: this.source, log: this.log, codec: this.codec, snapshot, onGap, sinks, streams, onStreamAsked, copyParallel, logger: silentLogger,
    });
    return this.#publisher;
  }

  /** Takes the slot and resolves when it streams. */
  async start(): Promise<Publisher> {
    const publisher = await this.openPublisher();
    const stop = new AbortController();
    const streaming = Promise.withResolvers<void>();
    const done = publisher.publish(stop.signal, streaming.resolve).then(() => null, (error: unknown) => error);
    this.#running = { stop, done };
    const ended = done.then((error) => Promise.reject((error ?? new Error('it ended')) as Error));
    await Promise.race([streaming.promise, ended]);
    ended.catch(() => undefined);
    return publisher;
  }

  /** What ended the publishing by itself. */
  async ended(): Promise<unknown> {
    const running = this.#running;
    if (running === null) throw new Error('nothing is running');
    this.#running = null;
    return running.done;
  }

  /** Gives the slot back; the log stays open. */
  async disconnect(): Promise<unknown> {
    this.#running?.stop.abort(new Error('stopped'));
    return this.#running === null ? null : this.ended();
  }

  /** Everything is closed; returns what publishing ended with. */
  async stop(): Promise<unknown> {
    const error = await this.disconnect();
    await this.closeLog();
    return error;
  }

  async closeLog(): Promise<void> {
    await this.#publisher?.close();
    this.#publisher = null;
  }

  async restart(): Promise<Publisher> {
    await this.stop();
    return this.start();
  }

  /** Waits until everything that the source has is acknowledged. */
  async settled(): Promise<void> {
    this.source.keepalive();
    const { lsn } = this.source;
    await this.acknowledged(lsn);
  }

  async acknowledged(lsn: bigint): Promise<void> {
    await eventually(() => this.source.server.confirmedFlush >= lsn, { what: `the acknowledgement of ${lsn}`, timeoutMs: 30_000 });
  }

  /** A reader that is closed when the test ends. */
  async reader(): Promise<LogReader> {
    const reader = await this.log.openReader();
    this.#open.unshift(reader);
    return reader;
  }

  sqlite(name = 'local', more: { readonly busyTimeout?: string } = {}): { readonly sink: Sink; readonly path: string } {
    const path = join(this.directory, `${name}.sqlite`);
    return { path, sink: createSqliteSink(sqliteSinkConfig.parse({ path, busy_timeout: more.busyTimeout }), { pipeline: 'shop', sink: name, ddl: 'apply', logger: silentLogger }) };
  }

  /** A sink that follows the log until it is stopped. */
  async replay(name: string, more: Partial<ReplayerOptions> = {}): Promise<RunningSink> {
    const reader = more.reader ?? (await this.log.openReader());
    const { publisher } = this;
    const stop = new AbortController();
    const replayer = await Replayer.open({
      topics: topicNames('shop'), sinkName: name, sink: more.sink ?? this.sqlite(name).sink, reader, codec: this.codec,
      filter: { include: ['*.*'], exclude: [] }, snapshot: this.options.snapshot ?? 'never', onError: 'stop', logger: silentLogger,
      reporter: { append: (kind, draft) => publisher.appendForSink(name, kind, draft) },
      ...more,
    }, stop.signal).catch(async (error: unknown) => {
      await reader.close();
      throw error;
    });
    const sink = new RunningSink(replayer, { stop, reader, path: join(this.directory, `${name}.sqlite`) });
    this.#open.unshift({ close: () => sink.stop().then(() => undefined) });
    return sink;
  }
}

export class RunningSink {
  readonly replayer: Replayer;
  readonly path: string;
  readonly #stop: AbortController;
  readonly #done: Promise<unknown>;

  constructor(replayer: Replayer, parts: { readonly stop: AbortController; readonly reader: LogReader; readonly path: string }) {
    this.replayer = replayer;
    this.path = parts.path;
    this.#stop = parts.stop;
    this.#done = replayer.run(parts.stop.signal).then(() => null, (error: unknown) => error).then(async (error) => {
      await parts.reader.close();
      return error;
    });
  }

  /** What ended it by itself. */
  ended(): Promise<unknown> {
    return this.#done;
  }

  async stop(): Promise<unknown> {
    this.#stop.abort(new Error('stopped'));
    return this.#done;
  }

  /** Waits until it has taken in everything up to `lsn`, an END without events included. */
  async reaches(lsn: bigint): Promise<void> {
    let failure: unknown = null;
    void this.#done.then((error) => (failure = error));
    await eventually(() => failure !== null || this.replayer.progress.endLsn >= lsn, { what: `the sink to reach ${lsn}`, timeoutMs: 30_000 });
    if (failure !== null) throw failure as Error;
  }

  rows(table: TableShape): (readonly (string | null)[])[] {
    return sqliteRows(this.path, table);
  }
}

/** All rows of a replica's table, sorted; empty when there is none. */
export function sqliteRows(path: string, table: TableShape): (readonly (string | null)[])[] {
  if (!existsSync(path)) return [];
  const db = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
  try {
    if (db.prepare('SELECT 1 FROM sqlite_schema WHERE name = ?').get(table.name) === undefined) return [];
    const rows = db.prepare(`SELECT ${table.columns.map((column) => `"${column.name}"`).join(', ')} FROM "${table.name}"`).all();
    return sorted(rows.map((row) => table.columns.map((column) => row[column.name] as string | null)));
  } finally {
    db.close();
  }
}

export function sorted<T>(rows: readonly T[]): T[] {
  return rows.map((row) => [JSON.stringify(row), row] as const).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, row]) => row);
}

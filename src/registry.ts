import type { z } from 'zod';
import { avroCodecConfig, createAvroCodec } from './codec/avro/index.ts';
import type { Codec } from './codec/codec.ts';
import { createJsonCodec, jsonCodecConfig } from './codec/json/index.ts';
import { createTupleCodec, tupleCodecConfig } from './codec/tuple/index.ts';
import { checkEmbeddedLog, createEmbeddedLog, embeddedLogClaims, embeddedLogConfig } from './log/embedded/index.ts';
import { checkKafka, createKafkaLog, kafkaLogConfig } from './log/kafka/index.ts';
import type { Log } from './log/log.ts';
import type { Claim } from './runtime/claim.ts';
import type { Finding } from './runtime/finding.ts';
import type { Logger } from './runtime/logger.ts';
import type { DdlPolicy, Sink } from './sink/sink.ts';
import { createPostgresSink, postgresSinkConfig } from './sink/postgres/index.ts';
import { createSqliteSink, sqliteSinkClaims, sqliteSinkConfig } from './sink/sqlite/index.ts';
import { createPostgresSource, postgresSourceClaims, postgresSourceConfig } from './source/postgres/index.ts';
import type { Source } from './source/source.ts';

/** What every plug-in gets beside its own part of the configuration. */
export interface PluginContext {
  readonly pipeline: string;
  readonly logger: Logger;
}

export interface LogContext extends PluginContext {
  /** From the writer of this process, so that its readers are woken; undefined for a reader on its own. */
  readonly shared?: SharedArrayBuffer | undefined;
  /** The id of a log that is made, where it is a copy of another one; else a new one. */
  readonly logId?: string | undefined;
}

export interface SinkContext extends PluginContext {
  /** The sink's name, unique in its pipeline. */
  readonly sink: string;
  readonly ddl: DdlPolicy;
}

/**
 * A plug-in: the schema of its own keys (`type` and a sink's common keys are added by config/) and how it is made. A new one
 * is a folder with an `index.ts` and one line in a table below.
 */
interface Plugin<Schema extends z.ZodObject, Context, Made> {
  readonly config: Schema;
  create(config: z.output<Schema>, context: Context): Made;
  /** What can be looked at from outside, where the thing made has no `check` of its own; changes nothing. */
  check?(config: z.output<Schema>, context: PluginContext): readonly Finding[] | Promise<readonly Finding[]>;
  /** What no two of them may hold at once: a slot, a folder, a file. Compared over all pipelines of a run. */
  claims?(config: z.output<Schema>, context: { readonly pipeline: string }): readonly Claim[];
}

interface SinkPlugin<Schema extends z.ZodObject> extends Plugin<Schema, SinkContext, Sink> {
  /** The key that says where the replica is. */
  readonly place: keyof z.output<Schema> & string;
}

interface LogPlugin<Schema extends z.ZodObject> extends Plugin<Schema, LogContext, Log> {
  /** The format of a pipeline that names none. */
  readonly format: 'tuple' | 'json';
}

function codec<S extends z.ZodObject>(plugin: Plugin<S, PluginContext, Codec>): Plugin<S, PluginContext, Codec> {
  return plugin;
}
function source<S extends z.ZodObject>(plugin: Plugin<S, PluginContext, Source>): Plugin<S, PluginContext, Source> {
  return plugin;
}
function log<S extends z.ZodObject>(plugin: LogPlugin<S>): LogPlugin<S> {
  return plugin;
}
function sink<S extends z.ZodObject>(plugin: SinkPlugin<S>): SinkPlugin<S> {
  return plugin;
}

export const sources = {
  postgres: source({ config: postgresSourceConfig, create: createPostgresSource, claims: postgresSourceClaims }),
};

export const logs = {
  embedded: log({ config: embeddedLogConfig, format: 'tuple', create: createEmbeddedLog, check: checkEmbeddedLog, claims: embeddedLogClaims }),
  kafka: log({ config: kafkaLogConfig, format: 'json', create: createKafkaLog, check: checkKafka }),
};

export const sinks = {
  postgres: sink({ config: postgresSinkConfig, place: 'url', create: createPostgresSink }),
  sqlite: sink({ config: sqliteSinkConfig, place: 'path', create: createSqliteSink, claims: sqliteSinkClaims }),
};

export const codecs = {
  tuple: codec({ config: tupleCodecConfig, create: createTupleCodec }),
  json: codec({ config: jsonCodecConfig, create: createJsonCodec }),
  avro: codec({ config: avroCodecConfig, create: createAvroCodec }),
};

type ConfigOf<Table extends Record<string, { readonly config: z.ZodObject }>> = {
  [Type in keyof Table & string]: { readonly type: Type } & Readonly<z.output<Table[Type]['config']>>;
}[keyof Table & string];

export type SourceConfig = ConfigOf<typeof sources>;
export type LogConfig = ConfigOf<typeof logs>;
export type OwnSinkConfig = ConfigOf<typeof sinks>;
export type FormatConfig = ConfigOf<typeof codecs>;
export type Format = FormatConfig['type'];

export function createSource(config: SourceConfig, context: PluginContext): Source {
  return sources[config.type].create(config, context);
}

export function createLog(config: LogConfig, context: LogContext): Log {
  // As with sinks below: the discriminant has picked the entry.
  const plugin = logs[config.type] as Plugin<z.ZodObject, LogContext, Log>;
  return plugin.create(config, context);
}

export function createSink(config: OwnSinkConfig, context: SinkContext): Sink {
  // Each entry takes its own config; the discriminant has picked the right one, which the compiler cannot follow.
  const plugin = sinks[config.type] as Plugin<z.ZodObject, SinkContext, Sink>;
  return plugin.create(config, context);
}

/** A log is no more than a place: it is looked at without being opened. */
export async function checkLog(config: LogConfig, context: PluginContext): Promise<readonly Finding[]> {
  const plugin = logs[config.type] as Plugin<z.ZodObject, LogContext, Log>;
  return (await plugin.check?.(config, context)) ?? [];
}

/** Everything that a pipeline holds for itself, with the path of the key that says so. */
export function claimsOf(config: {
  readonly name: string;
  readonly source: SourceConfig;
  readonly log: LogConfig;
  readonly sinks: readonly OwnSinkConfig[];
}): readonly (Claim & { readonly path: readonly (string | number)[] })[] {
  const parts = [
    { plugin: sources[config.source.type], config: config.source, path: ['source'] },
    { plugin: logs[config.log.type], config: config.log, path: ['log'] },
    ...config.sinks.map((own, i) => ({ plugin: sinks[own.type], config: own, path: ['sinks', i] })),
  ];
  return parts.flatMap(({ plugin, config: own, path }) => {
    const claims = (plugin as Plugin<z.ZodObject, never, unknown>).claims?.(own, { pipeline: config.name }) ?? [];
    return claims.map((claim) => ({ ...claim, path: [...path, claim.key] }));
  });
}

export function createCodec(config: FormatConfig, context: PluginContext): Codec {
  const plugin = codecs[config.type] as Plugin<z.ZodObject, PluginContext, Codec>;
  return plugin.create(config, context);
}

/** One of each format, for whoever reads records of any: a record says which it is in. */
export function everyCodec(context: PluginContext): readonly Codec[] {
  return Object.values(codecs).map((plugin) => (plugin as Plugin<z.ZodObject, PluginContext, Codec>).create(plugin.config.parse({}), context));
}

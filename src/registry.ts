import type { z } from 'zod';
import type { Codec } from './codec/codec.ts';
import { embeddedLogClaims } from './log/embedded/claims.ts';
import type { Log } from './log/log.ts';
import type { Claim } from './runtime/claim.ts';
import type { Finding } from './runtime/finding.ts';
import type { Logger } from './runtime/logger.ts';
import type { DdlPolicy, Sink } from './sink/sink.ts';
import { sqliteSinkClaims } from './sink/sqlite/claims.ts';
import { postgresSourceClaims } from './source/postgres/claims.ts';
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
 * A plug-in: the schema of its own keys (`type` and a sink's common keys are added by config/) and how it is made. A new one is a
 * folder with a `config.ts` and an `index.ts`, and one line in a table below. Either is loaded by whom it is needed: a thread makes do
 * with what its pipeline names, and without schemas (docs/adr/0068-plug-ins-are-loaded-by-name.md).
 */
interface Plugin<Schema extends z.ZodObject, Context, Made> {
  config(): Promise<Schema>;
  create(): Promise<(config: z.output<Schema>, context: Context) => Made>;
  /** What can be looked at from outside, where the thing made has no `check` of its own; changes nothing. */
  check?(): Promise<(config: z.output<Schema>, context: PluginContext) => readonly Finding[] | Promise<readonly Finding[]>>;
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
  /** As the logs that it makes say of themselves. */
  readonly writers: Log['writers'];
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
  postgres: source({
    config: async () => (await import('./source/postgres/config.ts')).postgresSourceConfig,
    create: async () => (await import('./source/postgres/index.ts')).createPostgresSource,
    claims: postgresSourceClaims,
  }),
};

export const logs = {
  embedded: log({
    format: 'tuple',
    writers: 'one',
    config: async () => (await import('./log/embedded/config.ts')).embeddedLogConfig,
    create: async () => (await import('./log/embedded/index.ts')).createEmbeddedLog,
    check: async () => (await import('./log/embedded/index.ts')).checkEmbeddedLog,
    claims: embeddedLogClaims,
  }),
  kafka: log({
    format: 'json',
    writers: 'many',
    config: async () => (await import('./log/kafka/config.ts')).kafkaLogConfig,
    create: async () => (await import('./log/kafka/index.ts')).createKafkaLog,
    check: async () => (await import('./log/kafka/index.ts')).checkKafka,
  }),
};

export const sinks = {
  postgres: sink({
    place: 'url',
    config: async () => (await import('./sink/postgres/config.ts')).postgresSinkConfig,
    create: async () => (await import('./sink/postgres/index.ts')).createPostgresSink,
  }),
  sqlite: sink({
    place: 'path',
    config: async () => (await import('./sink/sqlite/config.ts')).sqliteSinkConfig,
    create: async () => (await import('./sink/sqlite/index.ts')).createSqliteSink,
    claims: sqliteSinkClaims,
  }),
};

export const codecs = {
  tuple: codec({
    config: async () => (await import('./codec/tuple/config.ts')).tupleCodecConfig,
    create: async () => (await import('./codec/tuple/index.ts')).createTupleCodec,
  }),
  json: codec({
    config: async () => (await import('./codec/json/config.ts')).jsonCodecConfig,
    create: async () => (await import('./codec/json/index.ts')).createJsonCodec,
  }),
  avro: codec({
    config: async () => (await import('./codec/avro/config.ts')).avroCodecConfig,
    create: async () => (await import('./codec/avro/index.ts')).createAvroCodec,
  }),
};

/** The schemas of a table's plug-ins, by type. */
export async function configsOf(table: Readonly<Record<string, { config(): Promise<z.ZodObject> }>>): Promise<Readonly<Record<string, z.ZodObject>>> {
  return Object.fromEntries(await Promise.all(Object.entries(table).map(async ([type, plugin]) => [type, await plugin.config()] as const)));
}

type ConfigOf<Table extends Record<string, { config(): Promise<z.ZodObject> }>> = {
  [Type in keyof Table & string]: { readonly type: Type } & Readonly<z.output<Awaited<ReturnType<Table[Type]['config']>>>>;
}[keyof Table & string];

export type SourceConfig = ConfigOf<typeof sources>;
export type LogConfig = ConfigOf<typeof logs>;
export type OwnSinkConfig = ConfigOf<typeof sinks>;
export type FormatConfig = ConfigOf<typeof codecs>;
export type Format = FormatConfig['type'];

export function createSource(config: SourceConfig, context: PluginContext): Promise<Source> {
  return made(sources[config.type], config, context);
}

export function createLog(config: LogConfig, context: LogContext): Promise<Log> {
  return made<LogContext, Log>(logs[config.type], config, context);
}

export function createSink(config: OwnSinkConfig, context: SinkContext): Promise<Sink> {
  return made<SinkContext, Sink>(sinks[config.type], config, context);
}

export function createCodec(config: FormatConfig, context: PluginContext): Promise<Codec> {
  return made<PluginContext, Codec>(codecs[config.type], config, context);
}

/** Each entry takes its own config; the discriminant has picked the right one, which the compiler cannot follow. */
async function made<Context, Made>(plugin: unknown, config: object, context: Context): Promise<Made> {
  const create = await (plugin as Plugin<z.ZodObject, Context, Made>).create();
  return create(config as Record<string, unknown>, context);
}

/** Loads the code of these ahead of their use. */
export async function loadCode({ log, format, sink }: { readonly log: LogConfig; readonly format: FormatConfig; readonly sink: OwnSinkConfig | undefined }): Promise<void> {
  await Promise.all([logs[log.type].create(), codecs[format.type].create(), sink === undefined ? undefined : sinks[sink.type].create()]);
}

/** A log is no more than a place: it is looked at without being opened. */
export async function checkLog(config: LogConfig, context: PluginContext): Promise<readonly Finding[]> {
  const check = await (logs[config.type] as unknown as Plugin<z.ZodObject, LogContext, Log>).check?.();
  return (await check?.(config, context)) ?? [];
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

/** One of each format, for whoever reads records of any: a record says which it is in. */
export function everyCodec(context: PluginContext): Promise<readonly Codec[]> {
  return Promise.all(Object.values(codecs).map(async (plugin) => made<PluginContext, Codec>(plugin, (await plugin.config()).parse({}), context)));
}

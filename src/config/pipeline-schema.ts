import { z } from 'zod';
import { splitPattern, type TableFilter } from '../event/table-pattern.ts';
import { parseSchedule } from '../runtime/cron.ts';
import { duration, size } from './units-schema.ts';
import { codecs, configsOf, logs, sinks, sources, type Format, type FormatConfig, type LogConfig, type OwnSinkConfig, type SourceConfig } from '../registry.ts';

/** Pipeline and sink names become topics, slots and folders, which is why they are this narrow; a topic's parts are split at dots. */
const namePattern = /^[a-z][a-z0-9_-]{0,39}$/;
const name = z.string().regex(namePattern, 'a lower-case letter, then up to 39 lower-case letters, digits, _ or -');

const tablePattern = z.string().refine((text) => splitPattern(text) !== null, 'write schema.table, with * for any run of characters').meta({ examples: ['public.*'] });

const patterns = (what: string) => ({
  include: z.array(tablePattern).min(1).default(['*.*']).describe(`Tables that ${what}: schema.table, with * for any run of characters.`),
  exclude: z.array(tablePattern).default([]).describe('Tables that are left out, although they are included.'),
});

/** What every source has, whatever its type; a plug-in that knows better says it in its own schema. */
const sourceKeys = {
  tables: z.strictObject(patterns('are captured')).prefault({}).describe('Which tables are captured; without it, all that are not the database\'s own.'),
  snapshot: z
    .enum(['initial', 'never'])
    .default('initial')
    .describe('Whether the rows that were there before are copied first: initial, or never.'),
  copy: z
    .strictObject({
      parallel: z.int().min(1).max(16).default(2).describe('How many chunks are read at a time, of one table or of several; each takes a connection of its own.'),
    })
    .prefault({})
    .describe('How tables are copied.'),
};

/** What every log has. */
const logKeys = {
  retention: z
    .strictObject({
      age: duration({ min: '1m' }, '7d').optional().describe('Transactions older than this go, once every sink has them.'),
      size: size({ min: '1MB' }, '50GB').optional().describe('When the log is larger than this the oldest transactions go, even if a sink still needs them (unless it says hold: true).'),
    })
    .optional()
    .describe('When old transactions go; without it the log keeps everything.'),
};

/** What every sink has, whatever its type. */
const sinkKeys = {
  name: name.describe('Unique in its pipeline; names the sink in its topic, its position in the replica, and every message.'),
  from: name.optional().describe('A stream of this pipeline whose outputs this sink gets, in place of the captured tables.'),
  tables: z
    .strictObject(patterns('this sink gets, of those that are captured'))
    .prefault({})
    .describe('Which of the captured tables this sink gets; without it, all.'),
  on_error: z
    .enum(['stop', 'dead-letter'])
    .default('stop')
    .describe('What happens to a row that the replica refuses: stop the sink until it is mended, or put the event into the dead-letter topic and block its key.'),
  hold: z
    .boolean()
    .default(false)
    .describe('Whether retention by size waits for this sink, so that the disk can fill up while it is down. Without it the sink falls into a gap instead.'),
};

/** A stream of the pipeline, and what it and every sink have in common: it follows the log as sinks do. */
const streamSchema = z.strictObject({
  name: name.describe('Unique among the streams and sinks of its pipeline; names its topics, <pipeline>.stream.<name>.…, and every message.'),
  from: name.optional().describe('Another stream of this pipeline whose outputs are the tables that this one reads, in place of the captured ones.'),
  module: z.string().min(1).describe('The module that describes it: a .ts, .mts, .js or .mjs file whose default export is stream(…).').meta({ examples: ['./streams/sales.ts'] }),
  shards: z.int().min(1).max(64).optional().describe('In how many parts it is computed, each for the keys that are its own, by as many workers as there are, and at most by so many (Kafka). Without it, by one worker. Another number needs tailrace streams reset.'),
  state: z.string().min(1).optional().describe('The file of its state, made where it is missing; without it ./data/streams/<pipeline>.<name>.sqlite.'),
  on_error: sinkKeys.on_error.describe('What happens to a row that a function of the module refuses by throwing: stop the stream until it is mended, or put the event into the dead-letter topic and block its key.'),
  hold: sinkKeys.hold.describe('Whether retention by size waits for this stream.'),
  cleanup: z
    .enum(['delete', 'compact'])
    .default('delete')
    .describe('What retention does with results that are old: delete them, or compact: keep the newest one of each key for good, in the topics of outputs that have a key (embedded log).'),
  delete_retention: duration({ min: '0s' }, '1d')
    .prefault('1d')
    .describe('With cleanup: compact, how long a delete stays once the results before it are gone, so that whoever has seen those reads it too.'),
});

export interface StreamConfig {
  readonly name: string;
  /** The stream whose outputs it reads; without it the captured tables. */
  readonly from?: string | undefined;
  readonly module: string;
  readonly shards?: number | undefined;
  readonly state?: string | undefined;
  readonly on_error: 'stop' | 'dead-letter';
  readonly hold: boolean;
  readonly cleanup: 'delete' | 'compact';
  /** Milliseconds. */
  readonly delete_retention: number;
}

const jobResult = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('file'),
    path: z.string().min(1).describe('The file; `{date}` and `{time}` in it stand for when the run was due, in its time zone. Written beside and put in place whole.').meta({ examples: ['./data/reports/{date}.csv'] }),
    format: z.enum(['csv', 'json']).default('csv').describe('csv, with a line of names; or json, one object a line.'),
  }),
  z.strictObject({ type: z.literal('table'), name: z.string().min(1).describe('A table at the replica itself, replaced by each run.') }),
  z.strictObject({ type: z.literal('topic') }),
]);

const jobSchema = z
  .strictObject({
    name: name.describe('Unique among the jobs of its pipeline; names its topic, <pipeline>.job.<name>, and every message.'),
    schedule: z.string().describe('When it runs: minute, hour, day of month, month, day of week, as cron has them.').meta({ examples: ['0 2 * * *'] }),
    timezone: z.string().default('UTC').describe('Whose clock the schedule is read by: a name such as Europe/Zurich.'),
    on: name.describe('The sink whose replica is asked.'),
    query: z.string().min(1).describe('One SELECT, as the replica understands it.'),
    into: jobResult.describe('Where the result goes: a file, a table of the replica, or the topic <pipeline>.job.<name>.rows.'),
    missed: z.enum(['run', 'skip']).default('run').describe('What happens at the start about a time that passed while nothing ran: run once for it, or skip it.'),
    overlap: z.enum(['skip', 'run']).default('skip').describe('What happens about a time that passed while the run before was still at work: skip it, or run once for it.'),
    retries: z.int().min(0).max(100).default(3).describe('How often a run that fails for want of the replica is tried again.'),
    timeout: duration({ min: '1s', max: '24d' }, '10m').prefault('10m').describe('How long a query may take.'),
  })
  .superRefine(({ schedule, timezone }, context) => {
    const { problem } = parseSchedule(schedule, timezone);
    if (problem !== undefined) context.addIssue({ code: 'custom', path: [/time ?zone/i.test(problem) ? 'timezone' : 'schedule'], message: problem });
  });

export type JobConfig = z.output<typeof jobSchema>;

export interface SinkKeys {
  readonly name: string;
  /** The stream whose outputs it gets; without it the captured tables. */
  readonly from?: string | undefined;
  readonly tables: TableFilter;
  readonly on_error: 'stop' | 'dead-letter';
  readonly hold: boolean;
}

export interface SourceKeys {
  readonly tables: TableFilter;
  readonly snapshot: 'initial' | 'never';
  readonly copy: { readonly parallel: number };
}

export interface LogKeys {
  /** Milliseconds and bytes. */
  readonly retention?: { readonly age?: number | undefined; readonly size?: number | undefined } | undefined;
}

/** One connector file, checked and frozen. Keys are as in the YAML; durations are milliseconds, sizes bytes. */
export interface PipelineConfig {
  readonly name: string;
  readonly source: SourceConfig & SourceKeys;
  readonly log: LogConfig & LogKeys;
  readonly format: FormatConfig;
  readonly on_gap: 'stop' | 'snapshot';
  readonly ddl: 'apply' | 'pause' | 'ignore';
  readonly streams: readonly StreamConfig[];
  readonly jobs: readonly JobConfig[];
  readonly sinks: readonly SinkConfig[];
}

export type SinkConfig = OwnSinkConfig & SinkKeys;

/** `json`, or `{ type: json }` with the format's own keys. */
const formats = union(await configsOf(codecs), {});
const formatSchema = z
  .union([z.enum(Object.keys(codecs) as [Format, ...Format[]]), formats])
  .transform((format) => (typeof format === 'string' ? formats.parse({ type: format }) : format));

/** What one writes, with the format that its kind of log has where none is said. */
export function withFormat(written: unknown): unknown {
  if (typeof written !== 'object' || written === null || 'format' in written || !('log' in written)) return written;
  const { log } = written;
  const type = typeof log === 'object' && log !== null && 'type' in log ? log.type : undefined;
  return typeof type === 'string' && Object.hasOwn(logs, type) ? { ...written, format: logs[type as keyof typeof logs].format } : written;
}

/** The schema of a connector file: types, defaults, messages and the JSON Schema all come from here. */
export const pipelineSchema = z
  .strictObject({
    name: name.describe('Names the pipeline: its topics, and the slot and publication that Tailrace makes (tailrace_<name>).'),
    source: union(await configsOf(sources), sourceKeys).describe('Where the changes come from.'),
    log: union(await configsOf(logs), logKeys).describe('Where the topics live.'),
    format: formatSchema.optional().describe("How events are written: tuple, Postgres's own bytes; json, Debezium's envelope; or avro, that envelope in Avro. A name alone, or a map with `type` and what the format can be told. Without it tuple on the embedded log, and json on Kafka."),
    on_gap: z
      .enum(['stop', 'snapshot'])
      .default('stop')
      .describe('What happens when changes are missing between the log and the source: stop and say so, or say so and copy every table anew.'),
    ddl: z
      .enum(['apply', 'pause', 'ignore'])
      .default('apply')
      .describe('What sinks do when a table changes its shape: apply it; pause, that is stop before it and say what to run at the replica, and go on once that is done; or ignore it, so that replicas keep the columns that they have. A change of key always needs one of the first two.'),
    streams: z.array(streamSchema).default([]).describe('Continual calculations over the captured tables, whose results are tables of their own.'),
    jobs: z.array(jobSchema).default([]).describe('Queries that are run on a replica at set times, and whose results are kept.'),
    sinks: z.array(union(await configsOf(sinks), sinkKeys)).default([]).describe('The replicas that the topics are replayed into; each has its own pace and position.'),
  })
  .describe('A Tailrace pipeline: one source, one log, any number of sinks.');

/** What a connector file's values mean; throws zod's error. */
export function readConfig(raw: unknown): PipelineConfig {
  // The schema is put together from the plug-ins' own, which the compiler cannot follow; the types say the same.
  return pipelineSchema.parse(withFormat(raw)) as unknown as PipelineConfig;
}

/** One strict object for each type of plug-in, told apart by `type`; unknown keys are errors in each. */
function union(plugins: Readonly<Record<string, z.ZodObject>>, common: z.ZodRawShape): z.ZodDiscriminatedUnion {
  const options = Object.entries(plugins).map(([type, config]) => {
    const missing = Object.entries(common).filter(([key]) => !Object.hasOwn(config.shape, key));
    return config.safeExtend({ type: z.literal(type), ...Object.fromEntries(missing) });
  });
  return z.discriminatedUnion('type', options as unknown as [z.ZodObject, ...z.ZodObject[]]);
}

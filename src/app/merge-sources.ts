import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { LogReader, TopicSpec } from '../log/log.ts';
import { readProgress } from '../pipeline/log-state.ts';
import { isMerged, type SourceName } from '../pipeline/merge/mark.ts';
import { matchesAny } from '../pipeline/merge/transaction-source.ts';
import { frontOf } from '../pipeline/move/refusals.ts';
import { topicNames, writerOf } from '../pipeline/topics.ts';
import { createLog, logs } from '../registry.ts';
import { didYouMean } from '../runtime/did-you-mean.ts';
import { TailraceError } from '../runtime/errors.ts';
import { silentLogger } from '../runtime/logger.ts';
import { shortened } from '../runtime/printable.ts';
import { kindOf } from './topic-kind.ts';
import { topicOwner } from './topics.ts';

/** What is to be merged, as it was said: a topic of a pipeline, or of a log in a folder; null for all tables of it. `*` stands for any characters. */
export type SourceSpec = { readonly topic: string } | { readonly folder: string; readonly topic: string | null };

/** A log that is read, and whose pipelines it is. */
export interface SourceLog {
  readonly reader: LogReader;
  readonly pipelines: readonly string[];
  /** A folder that was named; null for the log of a connector file. */
  readonly folder: string | null;
}

/** What one argument stands for. */
export interface FoundSource {
  readonly log: SourceLog;
  readonly pipeline: string;
  readonly kind: 'transactions' | 'records';
  readonly name: SourceName;
  /** What it is now: a pattern may find more the next time. */
  readonly topics: readonly TopicSpec[];
}

/** Whether a folder holds an embedded log. */
export function isLogFolder(path: string): boolean {
  return existsSync(join(path, 'log.json'));
}

/** Opens the logs that sources are in, each once, and finds what is meant in them. */
export class SourceLogs {
  readonly #configs: readonly PipelineConfig[];
  readonly #open = new Map<string, SourceLog>();

  constructor(configs: readonly PipelineConfig[]) {
    this.#configs = configs;
  }

  async of(config: PipelineConfig): Promise<SourceLog> {
    const known = this.#open.get(`pipeline ${config.name}`);
    if (known !== undefined) return known;
    const reader = await (await createLog(config.log, { pipeline: config.name, logger: silentLogger })).openReader();
    return this.#keep(`pipeline ${config.name}`, { reader, pipelines: [config.name], folder: null });
  }

  async find(spec: SourceSpec): Promise<readonly FoundSource[]> {
    if (!('folder' in spec)) {
      const { config, topic } = topicOwner(this.#configs, spec.topic);
      return [await found(await this.of(config), config.name, topic)];
    }
    const log = await this.#folder(spec.folder);
    const { topic, folder } = spec;
    const [only] = log.pipelines;
    if (only === undefined) throw new TailraceError('usage', `the log in ${folder} is no pipeline's`);
    if (topic === null) return Promise.all(log.pipelines.map((pipeline) => found(log, pipeline, `${pipeline}.*.*`)));
    const pipeline = log.pipelines.find((name) => topic.startsWith(`${name}.`)) ?? only;
    return [await found(log, pipeline, topic.startsWith(`${pipeline}.`) ? topic : `${pipeline}.${topic}`)];
  }

  async close(): Promise<void> {
    for (const { reader } of this.#open.values()) await reader.close();
  }

  async #folder(folder: string): Promise<SourceLog> {
    const known = this.#open.get(`folder ${folder}`);
    if (known !== undefined) return known;
    const log = await createLog({ type: 'embedded', ...(await logs.embedded.config()).parse({ directory: folder }) }, { pipeline: '', logger: silentLogger });
    const reader = await log.openReader();
    const pipelines = (await reader.topics()).map(({ topic }) => topic).filter((topic) => /^[^.]+\.transaction$/.test(topic)).map((topic) => topic.slice(0, topic.indexOf('.')));
    return this.#keep(`folder ${folder}`, { reader, pipelines: pipelines.toSorted(), folder });
  }

  #keep(key: string, log: SourceLog): SourceLog {
    this.#open.set(key, log);
    return log;
  }
}

async function found(log: SourceLog, pipeline: string, topic: string): Promise<FoundSource> {
  const specs = await log.reader.topics();
  const writer = writerOf(pipeline, topic);
  const one = specs.find((spec) => spec.topic === topic);
  const name = async (of: string): Promise<SourceName> => ({ log: await logIdOf(log.reader, pipeline), writer: of, topics: [topic] });
  if (one !== undefined) {
    const kind = kindOf(pipeline, topic);
    if (kind === 'events' || kind === 'message') return { log, pipeline, kind: 'transactions', name: await name(writer), topics: [one] };
    if (kind !== 'produced') throw new TailraceError('usage', `${shortened(topic, 80)} holds no events: it is a topic of the kind ${kind}`, { remedy: 'Topics of tables, of streams and those that people produce to are merged.' });
    if (await isMerged(log.reader, topic)) throw new TailraceError('usage', `${shortened(topic, 80)} is merged itself`, { remedy: 'Name what it was merged from.' });
    return { log, pipeline, kind: 'records', name: await name(topic), topics: [one] };
  }
  const topics = topic.includes('*') ? specs.filter((spec) => kindOf(pipeline, spec.topic) === 'events' && writerOf(pipeline, spec.topic) === writer && matchesAny([topic], spec.topic)) : [];
  if (topics.length > 0) return { log, pipeline, kind: 'transactions', name: await name(writer), topics };
  const near = didYouMean(topic, specs.map((spec) => spec.topic));
  const where = log.folder === null ? '' : ` in ${log.folder}`;
  throw new TailraceError('usage', `there is no topic ${shortened(topic, 80)}${where}${near === undefined ? '' : `, did you mean ${near}?`}`, { remedy: 'See tailrace topics list. A folder is written with a slash: ./data/shop' });
}

/** On Kafka the records say whose they are; empty before there are any. */
export async function logIdOf(reader: LogReader, pipeline: string): Promise<string> {
  if (reader.logId !== undefined) return reader.logId;
  const names = topicNames(pipeline);
  if (!(await reader.topics()).some(({ topic }) => topic === names.transaction)) return '';
  // The first record says it, unless retention has removed that.
  const front = await frontOf(reader, names.transaction);
  return front?.logId || ((await readProgress(reader, names)).start?.logId ?? '');
}

import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { TailraceError } from '../../runtime/errors.ts';
import type { TopicSpec } from '../log.ts';
import { writeFileDurably } from './durable-files.ts';
import { damaged, errno } from './fs-errors.ts';
import { UNFINISHED, escapeTopic, journalsPath, manifestPath, topicsPath } from './layout.ts';

const FORMAT = 'tailrace-log';
/**
 * Counts up with each change of the files that an older version cannot read. In 2 a batch may have fewer records than offsets, as
 * compaction leaves it: a log that was never compacted is still of version 1.
 */
export const FORMAT_VERSION = 2;
const firstVersion = 1;

/** The log's id, or undefined where there is no log. Throws `log-unknown-version` and `log-damaged`. */
export function readLogId(directory: string): string | undefined {
  return readManifest(directory)?.logId;
}

/** Before the first batch is written that version 1 does not know. */
export async function upgradeManifest(directory: string): Promise<void> {
  const content = readManifest(directory);
  if (content === undefined || content.version === FORMAT_VERSION) return;
  await writeManifest(directory, { ...content, version: FORMAT_VERSION });
}

interface Manifest {
  readonly version: number;
  readonly logId: string;
}

function readManifest(directory: string): Manifest | undefined {
  const path = manifestPath(directory);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined;
    throw new TailraceError('log-directory', `${path}: ${errno(error) ?? String(error)}`, { cause: error });
  }
  const content = parseObject(path, text);
  const { format, version, logId } = content;
  if (format !== FORMAT || typeof version !== 'number' || typeof logId !== 'string' || logId === '') {
    throw damaged(path, 0, 'this is not the log.json of a Tailrace log');
  }
  if (version < firstVersion || version > FORMAT_VERSION) {
    throw new TailraceError('log-unknown-version', `${path}: format version ${version}; this Tailrace knows ${firstVersion} to ${FORMAT_VERSION}`);
  }
  return { ...content, version, logId };
}

async function writeManifest(directory: string, content: object): Promise<void> {
  await writeFileDurably(manifestPath(directory), Buffer.from(`${JSON.stringify(content, null, 2)}\n`));
}

/** The log's id; makes a new log in a directory that has none. */
export async function readOrCreateLogId(directory: string, wanted: string = randomUUID()): Promise<string> {
  const existing = readLogId(directory);
  if (existing !== undefined) return existing;
  for (const path of [journalsPath(directory), topicsPath(directory)]) {
    // Without its id a log cannot be checked; a new one on top of its files would bury it.
    if (existsSync(path)) throw damaged(manifestPath(directory), 0, `the file is missing, but ${path} is there`);
  }
  await writeManifest(directory, { format: FORMAT, version: firstVersion, logId: wanted, created: new Date().toISOString() });
  return wanted;
}

export function topicJson(spec: TopicSpec): Buffer {
  return Buffer.from(`${JSON.stringify({ topic: spec.topic, partitions: spec.partitions })}\n`);
}

/** The topics that there are, in the order of their file names. A topic that is half made is none. */
export function readTopics(directory: string, known: ReadonlyMap<string, TopicSpec> = new Map()): Map<string, TopicSpec> {
  const found = new Map<string, TopicSpec>();
  for (const name of entries(topicsPath(directory)).toSorted()) {
    if (!name.startsWith(UNFINISHED)) found.set(name, known.get(name) ?? readTopic(directory, name));
  }
  return found;
}

function readTopic(directory: string, name: string): TopicSpec {
  const path = join(topicsPath(directory), name, 'topic.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new TailraceError('log-damaged', `${path}: ${errno(error) ?? String(error)}`, { cause: error });
  }
  const { topic, partitions } = parseObject(path, text);
  if (typeof topic !== 'string' || typeof partitions !== 'number' || !Number.isInteger(partitions) || partitions < 1) {
    throw damaged(path, 0, 'this is not a topic.json');
  }
  if (escapeTopic(topic) !== name) throw damaged(path, 0, `the topic ${topic} does not belong into this folder`);
  return { topic, partitions };
}

/** Names in a directory; none where it does not exist. */
export function entries(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (errno(error) === 'ENOENT') return [];
    throw error;
  }
}

function parseObject(path: string, text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return { ...value };
  } catch {
    // falls through: not JSON and not an object are the same damage
  }
  throw damaged(path, 0, 'this is not a JSON object');
}

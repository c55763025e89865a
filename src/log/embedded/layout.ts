import { createHash } from 'node:crypto';
import { join } from 'node:path';

/**
 * Where things are in the folder of a log:
 *
 *     log.json                                    format, version, log id
 *     lock.db                                     held by the process that writes
 *     journal/<number>.journal                    the groups of late, and what they build on (journal-format.ts)
 *     topics/<topic>/topic.json                   the topic's true name and partition count
 *     topics/<topic>/deleted                      the topic is being deleted
 *     topics/<topic>/<partition>/<base>.log       a segment: record batches, Kafka's format version 2
 *     topics/<topic>/<partition>/<base>.index     where to find offsets in it; can be deleted
 *     topics/<topic>/<partition>/compaction.json  how far it has been compacted; can be deleted
 *     groups/<group>.json, .lock                  where a consumer group has read to, and who is it now
 */
export const DIRECTORY_MODE = 0o700;
export const FILE_MODE = 0o600;

/** Marks what is not in use yet. No escaped topic contains it, so that leftovers can be told from topics. */
export const UNFINISHED = '~new-';

/** In the folder of a topic that is to go: when it is opened next, it goes if the journal knows nothing of it any more. */
export const DELETED = 'deleted';

const longestName = 200;

export function manifestPath(directory: string): string {
  return join(directory, 'log.json');
}

export function journalsPath(directory: string): string {
  return join(directory, 'journal');
}

export function topicsPath(directory: string): string {
  return join(directory, 'topics');
}

export function groupsPath(directory: string): string {
  return join(directory, 'groups');
}

export function topicPath(directory: string, topic: string): string {
  return join(topicsPath(directory), escapeTopic(topic));
}

export function partitionPath(directory: string, topic: string, partition: number): string {
  return join(topicPath(directory, topic), String(partition));
}

export function journalName(number: number): string {
  return `${twentyDigits(number)}.journal`;
}

export function segmentPath(partitionDirectory: string, base: number): string {
  return join(partitionDirectory, `${twentyDigits(base)}.log`);
}

export function indexPath(partitionDirectory: string, base: number): string {
  return join(partitionDirectory, `${twentyDigits(base)}.index`);
}

/** Where a segment is written that is to replace others. `token` tells it from what an earlier attempt left behind. */
export function rewrittenPath(partitionDirectory: string, base: number, token: number): string {
  return join(partitionDirectory, `${UNFINISHED}${twentyDigits(base)}-${token}.log`);
}

/** How far a partition has been compacted: a hint, can be deleted. */
export function compactionPath(partitionDirectory: string): string {
  return join(partitionDirectory, 'compaction.json');
}

/** The number in a file name such as `00000000000000000042.log`; undefined for any other name. */
export function numberOf(name: string, suffix: '.log' | '.index' | '.journal'): number | undefined {
  if (name.length !== 20 + suffix.length || !name.endsWith(suffix)) return undefined;
  const digits = name.slice(0, 20);
  const number = Number(digits);
  return /^\d{20}$/.test(digits) && Number.isSafeInteger(number) ? number : undefined;
}

function twentyDigits(number: number): string {
  return String(number).padStart(20, '0');
}

/**
 * A file name that only this topic has, on file systems that fold case too: all but `[a-z0-9_.-]` becomes `%XX`, byte by
 * byte, and so does a leading dot. A long one is cut and ends in a hash; topic.json holds the true name.
 */
export function escapeTopic(topic: string): string {
  let escaped = '';
  for (const byte of new TextEncoder().encode(topic)) {
    const plain = (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x5f || byte === 0x2d;
    const dot = byte === 0x2e && escaped !== '';
    escaped += plain || dot ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  if (escaped.length <= longestName) return escaped;
  return `${escaped.slice(0, 150)}~${createHash('sha256').update(topic).digest('hex').slice(0, 40)}`;
}

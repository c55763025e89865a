import { createHash } from 'node:crypto';
import { closeSync, cpSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openEmbeddedLog, type EmbeddedLogOptions } from '../../../src/log/embedded/embedded-log.ts';
import { openJournal } from '../../../src/log/embedded/journal-scan.ts';
import { frameSeed, readFrame } from '../../../src/log/embedded/journal-format.ts';
import { journalsPath, partitionPath } from '../../../src/log/embedded/layout.ts';
import { readLogId } from '../../../src/log/embedded/manifest.ts';
import type { LogWriter } from '../../../src/log/log.ts';
import { batchOf, record, valuesOf } from '../../contract/log-samples.ts';
import { tempDirectory } from '../../support/temp.ts';

/** The topics that the tests of the files write to. */
export const a0 = ['a', 0] as const;
export const end0 = ['end', 0] as const;

/** A group as the publisher writes it: events, and an END that names where they are. */
export async function appendGroup(writer: LogWriter, n: number): Promise<void> {
  await writer.append([batchOf(writer, a0, [record(`${n} x`, n), record(`${n} y`, n)])], ([placed]) => [batchOf(writer, end0, [record(`END ${n} ${placed?.offsetOf(0)}`)])]);
}

export async function makeTopics(writer: LogWriter): Promise<void> {
  for (const topic of ['a', 'end']) await writer.createTopic({ topic, partitions: 1 });
}

/** What the log holds when groups 0 to n - 1 are there and nothing else. */
export function expected(n: number): { a: string[]; end: string[] } {
  const groups = Array.from({ length: n }, (_, i) => i);
  return { a: groups.flatMap((i) => [`${i} x`, `${i} y`]), end: groups.map((i) => `END ${i} ${i * 2}`) };
}

export async function contentOf(directory: string): Promise<{ a: (string | null)[]; end: (string | null)[] }> {
  const reader = await openEmbeddedLog({ directory }).openReader();
  try {
    return { a: await valuesOf(reader, a0), end: await valuesOf(reader, end0) };
  } finally {
    await reader.close();
  }
}

/**
 * A folder as a crash leaves it: `write` runs on an open log, whose folder is then copied as it stands. The journal is not
 * redone before the copy is opened.
 */
export async function crashed(write: (writer: LogWriter, directory: string) => Promise<void>, options: Partial<EmbeddedLogOptions> = {}): Promise<string> {
  const directory = join(await tempDirectory(), 'log');
  const writer = await openEmbeddedLog({ ...options, directory }).openWriter();
  await makeTopics(writer);
  await write(writer, directory);
  const copy = await copyOf(directory);
  await writer.close().catch(() => undefined);
  return copy;
}

/** A folder that was closed as it should be. */
export async function closed(write: (writer: LogWriter, directory: string) => Promise<unknown>, options: Partial<EmbeddedLogOptions> = {}): Promise<string> {
  const directory = join(await tempDirectory(), 'log');
  const writer = await openEmbeddedLog({ ...options, directory }).openWriter();
  await makeTopics(writer);
  await write(writer, directory);
  await writer.close();
  return directory;
}

export async function copyOf(directory: string): Promise<string> {
  const copy = join(await tempDirectory(), 'log');
  cpSync(directory, copy, { recursive: true });
  return copy;
}

/** Restores a copy to its original: cheaper than a new one for each of a thousand faults. */
export function restore(original: string, copy: string, path: string): void {
  writeFileSync(join(copy, path), readFileSync(join(original, path)));
}

/** Every file with a hash of its content, for "nothing was changed". */
export function allFiles(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const path = join(directory, name);
    if (statSync(path).isFile() && !name.startsWith('lock.db')) found[name] = createHash('sha256').update(readFileSync(path)).digest('hex');
  }
  return found;
}

/** Relative path of the newest journal file. */
export function journalOf(directory: string): string {
  return join('journal', readdirSync(journalsPath(directory)).toSorted().at(-1) ?? '');
}

/** Relative paths of a partition's segments, oldest first. */
export function segmentsOf(directory: string, [topic, partition]: readonly [string, number]): string[] {
  const folder = partitionPath(directory, topic, partition);
  return readdirSync(folder)
    .filter((name) => name.endsWith('.log'))
    .toSorted()
    .map((name) => join(folder.slice(directory.length + 1), name));
}

/** Where the frames of a journal file begin, and where the last one ends. */
export function framesOf(directory: string, path: string): number[] {
  const file = openJournal(join(directory, path), frameSeed(readLogId(directory) ?? ''));
  const starts = [0];
  for (;;) {
    const frame = readFrame(file, starts.at(-1) ?? 0);
    if (typeof frame === 'string') break;
    starts.push((starts.at(-1) ?? 0) + frame.size);
  }
  closeSync(file.fd);
  return starts;
}

/** Changes a file in place. */
export function edit(directory: string, path: string, change: (bytes: Buffer) => Uint8Array | void): void {
  const bytes = readFileSync(join(directory, path));
  writeFileSync(join(directory, path), change(bytes) ?? bytes);
}

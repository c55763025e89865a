import { existsSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TailraceError } from '../../runtime/errors.ts';
import { byPlace, type ConsumerGroups, type GroupOffset } from '../groups.ts';
import type { Lead } from '../log.ts';
import { makeDirectory, syncDirectory, writeFileDurably } from './durable-files.ts';
import { damaged, unwritable } from './fs-errors.ts';
import { UNFINISHED, escapeTopic, groupsPath } from './layout.ts';
import { tryLock } from './lock.ts';
import { entries } from './manifest.ts';

const lookInterval = 50;
const suffix = '.json';

/** A file a group, replaced as a whole, and a lock beside it that the kernel frees when its holder dies. */
export class EmbeddedGroups implements ConsumerGroups {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = groupsPath(directory);
  }

  async names(): Promise<readonly string[]> {
    const files = entries(this.#directory).filter((name) => name.endsWith(suffix) && !name.startsWith(UNFINISHED));
    return files.map((name) => readGroup(join(this.#directory, name)).group).toSorted();
  }

  async read(group: string): Promise<readonly GroupOffset[]> {
    const path = this.#path(group);
    return existsSync(path) ? readGroup(path).offsets : [];
  }

  async commit(group: string, offsets: readonly GroupOffset[]): Promise<void> {
    const isNew = (of: GroupOffset): boolean => offsets.some(({ topic, partition }) => topic === of.topic && partition === of.partition);
    const all = [...(await this.read(group)).filter((known) => !isNew(known)), ...offsets].toSorted(byPlace);
    try {
      await makeDirectory(this.#directory);
      await writeFileDurably(this.#path(group), Buffer.from(`${JSON.stringify({ group, offsets: all }, null, 2)}\n`));
    } catch (error) {
      throw unwritable(error, this.#directory);
    }
  }

  async forget(group: string): Promise<void> {
    if (!existsSync(this.#path(group))) return;
    unlinkSync(this.#path(group));
    await syncDirectory(this.#directory);
  }

  async hold(group: string, signal: AbortSignal): Promise<Lead> {
    await makeDirectory(this.#directory).catch((error: unknown) => {
      throw unwritable(error, this.#directory);
    });
    // Its file stays: a lock on one that was removed would hold nobody back.
    const path = join(this.#directory, `${escapeTopic(group)}.lock`);
    for (;;) {
      signal.throwIfAborted();
      const lock = tryLock(path);
      if (lock !== undefined) return { lost: new AbortController().signal, release: async () => lock.release() };
      await delay(lookInterval, undefined, { signal });
    }
  }

  async close(): Promise<void> {}

  #path(group: string): string {
    return join(this.#directory, `${escapeTopic(group)}${suffix}`);
  }
}

function readGroup(path: string): { readonly group: string; readonly offsets: readonly GroupOffset[] } {
  try {
    const { group, offsets } = JSON.parse(readFileSync(path, 'utf8')) as { group: unknown; offsets: unknown };
    if (typeof group === 'string' && Array.isArray(offsets) && offsets.every(isOffset)) return { group, offsets };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw new TailraceError('log-directory', `${path}: ${(error as Error).message}`, { cause: error });
  }
  throw damaged(path, 0, "this is not a group's file");
}

function isOffset(value: unknown): value is GroupOffset {
  if (typeof value !== 'object' || value === null) return false;
  const { topic, partition, offset } = value as Record<string, unknown>;
  return typeof topic === 'string' && Number.isSafeInteger(partition) && Number.isSafeInteger(offset);
}

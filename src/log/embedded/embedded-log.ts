import { TailraceError } from '../../runtime/errors.ts';
import type { Log } from '../log.ts';
import { makeDirectory } from './durable-files.ts';
import { unwritable } from './fs-errors.ts';
import { journalsPath, topicsPath } from './layout.ts';
import { lockDirectory, type Lock } from './lock.ts';
import { readLogId, readOrCreateLogId, readTopics } from './manifest.ts';
import { EmbeddedGroups } from './groups.ts';
import { EmbeddedLogReader } from './reader.ts';
import { recover } from './recovery.ts';
import { EmbeddedLogWriter } from './writer.ts';

export interface EmbeddedLogOptions {
  readonly directory: string;
  /**
   * The writer's, in a thread that only reads: wakes its readers. It outlives a writer that is closed and opened again by
   * the same `EmbeddedLog`.
   */
  readonly shared?: SharedArrayBuffer | undefined;
  /** Bytes of a segment before the next is begun; 64 MiB. */
  readonly segmentSize?: number | undefined;
  /** Milliseconds between the oldest and the newest record of a segment; 24 h. Retention by age goes by whole segments. */
  readonly segmentAge?: number | undefined;
  /** Bytes of journal before its old part is let go; 64 MiB. */
  readonly journalSize?: number | undefined;
  /** Of a log that is made here; random unless told. */
  readonly logId?: string | undefined;
}

export interface EmbeddedLog extends Log {
  openWriter(): Promise<EmbeddedLogWriter>;
  openReader(): Promise<EmbeddedLogReader>;
}

const mebibyte = 1024 * 1024;

/** A log in a folder (PROTOCOL, The embedded log). Nothing is touched before something is opened. */
export function openEmbeddedLog(options: EmbeddedLogOptions): EmbeddedLog {
  const { directory } = options;
  let { shared } = options;
  return {
    writers: 'one',
    async lead() {
      return { lost: new AbortController().signal, async release() {} };
    },
    async share(_group, tasks, run, signal) {
      await Promise.all(tasks.map((task) => run(task, signal)));
    },
    async openWriter() {
      shared ??= new SharedArrayBuffer(4);
      const lock = await takeLock(directory);
      try {
        const logId = await readOrCreateLogId(directory, options.logId);
        await makeDirectory(topicsPath(directory));
        await makeDirectory(journalsPath(directory));
        const recovered = await recover(directory, logId);
        const limits = { size: options.segmentSize ?? 64 * mebibyte, age: options.segmentAge ?? 86_400_000 };
        const topics = [...readTopics(directory).values()];
        const journalSize = options.journalSize ?? 64 * mebibyte;
        return new EmbeddedLogWriter({ directory, logId, lock, shared, topics, recovered, limits, journalSize });
      } catch (error) {
        lock.release();
        throw unwritable(error, directory);
      }
    },
    async openGroups() {
      if (readLogId(directory) === undefined) throw missing(directory);
      return new EmbeddedGroups(directory);
    },
    async openReader() {
      const logId = readLogId(directory);
      if (logId === undefined) throw missing(directory);
      return new EmbeddedLogReader({ directory, logId, published: shared && new Int32Array(shared) });
    },
  };
}

function missing(directory: string): TailraceError {
  return new TailraceError('log-missing', `${directory} holds no log`);
}

async function takeLock(directory: string): Promise<Lock> {
  try {
    await makeDirectory(directory);
  } catch (error) {
    throw unwritable(error, directory);
  }
  return lockDirectory(directory);
}

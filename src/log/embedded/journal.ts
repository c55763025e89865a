import { closeSync, openSync, unlinkSync, write, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { failpoint } from '../../runtime/failpoint.ts';
import { fdatasyncAsync, syncDirectory, writeFileDurably } from './durable-files.ts';
import { journalName } from './layout.ts';

const writeAsync = promisify(write);
/** Up to here a write goes into the page cache sooner than a thread of the pool is woken. */
const smallWrite = 128 * 1024;

export interface JournalPosition {
  readonly number: number;
  readonly size: number;
  /** Of the last frame. */
  readonly sequence: number;
}

/** The journal's newest file, which frames are appended to. One caller at a time. */
export class Journal {
  readonly #directory: string;
  #fd: number;
  #number: number;
  #size: number;
  #sequence: number;

  constructor(directory: string, at: JournalPosition) {
    this.#directory = directory;
    this.#number = at.number;
    this.#size = at.size;
    this.#sequence = at.sequence;
    this.#fd = openSync(this.path, 'r+');
  }

  /** Makes a new file that begins with `table`, and everything durable about it. */
  static async create(directory: string, number: number, table: { readonly frame: Buffer; readonly sequence: number }): Promise<Journal> {
    await writeFileDurably(join(directory, journalName(number)), table.frame);
    failpoint('log.journal_rotated');
    return new Journal(directory, { number, size: table.frame.length, sequence: table.sequence });
  }

  get path(): string {
    return join(this.#directory, journalName(this.#number));
  }

  get size(): number {
    return this.#size;
  }

  /** Of the last frame appended. */
  get sequence(): number {
    return this.#sequence;
  }

  /** The frame, whose sequence is the next one, is durable when this resolves. */
  async append(frame: Buffer): Promise<void> {
    for (let written = 0; written < frame.length; ) {
      const rest = frame.length - written;
      // A short write is possible on a disk that is getting full; the next one gives the error.
      if (rest <= smallWrite) written += writeSync(this.#fd, frame, written, rest, this.#size + written);
      else written += (await writeAsync(this.#fd, frame, written, rest, this.#size + written)).bytesWritten;
    }
    failpoint('log.group_written_unsynced');
    await fdatasyncAsync(this.#fd);
    this.#size += frame.length;
    this.#sequence++;
  }

  /** Goes on in a new file. The old one stays until what it holds is durable elsewhere: `remove` it then. */
  async rotate(table: Buffer): Promise<{ remove: () => Promise<void> }> {
    const old = this.path;
    const next = await Journal.create(this.#directory, this.#number + 1, { frame: table, sequence: this.#sequence });
    closeSync(this.#fd);
    this.#fd = next.#fd;
    this.#number = next.#number;
    this.#size = next.#size;
    return { remove: () => removeJournal(this.#directory, old) };
  }

  close(): void {
    closeSync(this.#fd);
  }
}

export async function removeJournal(directory: string, path: string): Promise<void> {
  unlinkSync(path);
  failpoint('log.journal_old_removed');
  await syncDirectory(directory);
}

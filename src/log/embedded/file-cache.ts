import { closeSync, openSync } from 'node:fs';
import { FILE_MODE } from './layout.ts';

export interface OpenFile {
  readonly fd: number;
  readonly path: string;
  /** Set when the cache has let go of it: open it again. */
  closed: boolean;
}

/** Open files by path, the least recently used closed first, so that ten thousand partitions do not need as many. */
export class FileCache {
  readonly #files = new Map<string, OpenFile>();
  readonly #flags: 'r' | 'r+';
  readonly #limit: number;

  constructor(flags: 'r' | 'r+', limit: number) {
    this.#flags = flags;
    this.#limit = limit;
  }

  /** Throws ENOENT where there is no such file, as node:fs does. */
  open(path: string): OpenFile {
    const known = this.#files.get(path);
    if (known !== undefined) {
      this.#files.delete(path);
      this.#files.set(path, known);
      return known;
    }
    return this.#add(path, openSync(path, this.#flags));
  }

  /** A new, empty file; one that stood there is emptied. */
  create(path: string): OpenFile {
    this.forget(path);
    return this.#add(path, openSync(path, 'w+', FILE_MODE));
  }

  forget(path: string): void {
    const known = this.#files.get(path);
    if (known !== undefined) this.#close(known);
  }

  close(): void {
    for (const file of this.#files.values()) this.#close(file);
  }

  #add(path: string, fd: number): OpenFile {
    const oldest = this.#files.size < this.#limit ? undefined : this.#files.values().next().value;
    if (oldest !== undefined) this.#close(oldest);
    const file = { fd, path, closed: false };
    this.#files.set(path, file);
    return file;
  }

  #close(file: OpenFile): void {
    this.#files.delete(file.path);
    file.closed = true;
    closeSync(file.fd);
  }
}

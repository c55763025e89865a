import { closeSync, openSync, readFileSync } from 'node:fs';
import { FILE_MODE } from './layout.ts';

export interface OpenFile {
  readonly fd: number;
  readonly path: string;
}

/** Files that the process may have open, as Linux says it; elsewhere what is usual. */
const allowed = openFilesAllowed();

/** Open files by path, the least recently used closed first, so that ten thousand partitions do not need as many. */
export class FileCache {
  readonly #files = new Map<string, OpenFile>();
  readonly #flags: 'r' | 'r+';
  readonly #limit: number;

  /** At most `limit` files, and few where the process may have few: sockets and other readers need some as well. */
  constructor(flags: 'r' | 'r+', limit: number) {
    this.#flags = flags;
    this.#limit = Math.max(4, Math.min(limit, Math.floor(allowed / 16)));
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
    const file = { fd, path };
    this.#files.set(path, file);
    return file;
  }

  #close(file: OpenFile): void {
    this.#files.delete(file.path);
    closeSync(file.fd);
  }
}

function openFilesAllowed(): number {
  try {
    return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 1024);
  } catch {
    return 1024;
  }
}

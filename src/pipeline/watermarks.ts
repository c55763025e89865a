import type { MessageChange } from '../event/change.ts';
import { watermarkPrefix } from '../source/source.ts';
import type { CopyWriter, Held } from './copy-writer.ts';

/** Watermarks that the stream has not brought yet, and what follows when it does (PROTOCOL, Snapshots). */
export class Watermarks {
  readonly #expected = new Map<string, () => Held | null>();
  #due: Held | null = null;

  /** `seen` is called when the stream brings the watermark; what it gives is done at the commit of that transaction. */
  set(content: string, seen: () => Held | null): void {
    this.#expected.set(content, seen);
  }

  delete(content: string): void {
    this.#expected.delete(content);
  }

  /** A message of the stream; cheap when none is expected. */
  message(change: MessageChange): void {
    if (change.prefix !== watermarkPrefix || this.#expected.size === 0) return;
    const content = Buffer.from(change.content).toString();
    const seen = this.#expected.get(content);
    this.#expected.delete(content);
    this.#due = seen?.() ?? null;
  }

  /** At a commit: null, or what must be awaited before the transaction is ended. */
  held(writer: CopyWriter): Promise<void> | null {
    const due = this.#due;
    if (due === null) return null;
    this.#due = null;
    return due(writer);
  }
}

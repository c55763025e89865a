import type { MessageChange } from '../event/change.ts';
import type { CatalogLook, CatalogReader, KnownTable } from '../source/catalog.ts';
import { watermarkPrefix } from '../source/source.ts';
import type { Logger } from '../runtime/logger.ts';
import type { StreamedTransactions } from './visibility.ts';

/** Takes in what a look has found, at the commit of its watermark. */
export interface LookTaker {
  takeLook(look: Pick<CatalogLook, 'tables' | 'gone'>): Promise<void>;
}

export interface ShapeWatchOptions {
  readonly catalog: CatalogReader;
  readonly streamed: StreamedTransactions;
  /** Names the watermarks of this START. */
  readonly startId: string;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly known: () => readonly KnownTable[];
}

interface Current {
  readonly content: string;
  readonly look: Promise<CatalogLook>;
  /** Transactions streamed before the watermark; -1 while it has not come. */
  mark: number;
  readonly done: PromiseWithResolvers<void>;
}

/**
 * Watches the catalog beside the stream, and sees to it that what is found there takes effect at its place in the stream
 * (PROTOCOL, Shape): a look has a watermark, and is taken in when the stream has come to its commit.
 */
export class ShapeWatch {
  readonly #options: ShapeWatchOptions;
  readonly #ready = Promise.withResolvers<void>();
  #current: Current | null = null;
  #looks = 0;

  constructor(options: ShapeWatchOptions) {
    this.#options = options;
  }

  /** Resolves once everything is known of all tables that the catalog says: what comes later is a difference to that. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  async run(): Promise<void> {
    const { catalog, signal, known } = this.#options;
    while (!signal.aborted) {
      await catalog.changed(known, { signal, settled: () => this.#ready.resolve() });
      await this.#look();
      if (known().every((table) => table.state !== null)) this.#ready.resolve();
    }
  }

  message(change: MessageChange): void {
    const current = this.#current;
    if (current === null || change.prefix !== watermarkPrefix || Buffer.from(change.content).toString() !== current.content) return;
    // The watermark's own transaction has been counted by now, and is no one's concern.
    current.mark = this.#options.streamed.count - 1;
  }

  /** At a commit: null, or what must be awaited before the transaction is ended. */
  held(taker: LookTaker): Promise<void> | null {
    const current = this.#current;
    return current === null || current.mark < 0 ? null : this.#take(current, taker);
  }

  async #look(): Promise<void> {
    const { catalog, startId, known, signal } = this.#options;
    // The stream may have ended while the catalog was asked: then nobody brings the watermark of a look, nor ends the wait for it.
    signal.throwIfAborted();
    const content = `${startId}:look:${++this.#looks}`;
    const look = catalog.look(content, known());
    const current: Current = { content, look, mark: -1, done: Promise.withResolvers() };
    this.#current = current;
    look.catch((error: unknown) => current.done.reject(error as Error));
    const stop = (): void => current.done.reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    await current.done.promise.finally(() => signal.removeEventListener('abort', stop));
  }

  async #take(current: Current, taker: LookTaker): Promise<void> {
    this.#current = null;
    const { streamed, catalog, logger } = this.#options;
    const look = await current.look;
    if (streamed.allVisible(current.mark, look.visibility)) {
      catalog.accept(look.tables);
      await taker.takeLook(look);
    } else {
      logger.debug('a delivered transaction was not visible to a look at the catalog; it is looked at again');
    }
    current.done.resolve();
  }
}

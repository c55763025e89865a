import { isWalShort } from '../pipeline/wal-budget.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Source, SourceHealth } from '../source/source.ts';

/** Who has the slot, where somebody has. */
type Holder = { health(): Promise<SourceHealth> } | null | undefined;

/**
 * WAL that is about to run short is said while there is still time, and once for each time that it does: also while nobody reads the slot,
 * because the log is away. It is then that it runs short.
 */
export class WalWatch {
  readonly #logger: Logger;
  #health: SourceHealth | null = null;
  #short = false;
  #looking = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** As the slot was at the last look; null where there is none, or none was seen yet. */
  get health(): SourceHealth | null {
    return this.#health;
  }

  /** Asks whoever has the slot; else the source, by a connection of its own. */
  async look(source: Source, holder: Holder, signal: AbortSignal): Promise<void> {
    if (this.#looking || signal.aborted) return;
    this.#looking = true;
    try {
      const health = await (holder?.health() ?? source.slotHealth({ signal }));
      this.#health = health;
      if (health !== null) this.#judge(health);
    } catch {
      // A source that is away is noticed, and said, by those who need it.
    } finally {
      this.#looking = false;
    }
  }

  #judge(health: SourceHealth): void {
    const short = isWalShort(health);
    if (short && !this.#short) {
      this.#logger.warn(
        { heldBytes: health.walHeldBytes, leftBytes: health.safeWalSize, walStatus: health.walStatus },
        'the source is close to removing WAL that is not read yet: raise max_slot_wal_keep_size, or see what holds the pipeline up',
      );
    }
    this.#short = short;
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import type { SourceHealth } from '../source/source.ts';

const intervalMs = 1000;

/**
 * Whether the source is close to giving the slot up: a quarter of what it keeps for a slot is left, and no more. A copy that has
 * given way goes on when there is a third again: in between it would stop and go.
 */
export function isWalShort({ walHeldBytes, safeWalSize, walStatus }: Pick<SourceHealth, 'walHeldBytes' | 'safeWalSize' | 'walStatus'>, wasShort = false): boolean {
  if (walStatus === 'unreserved' || walStatus === 'lost') return true;
  if (safeWalSize === null) return false;
  return safeWalSize < (walHeldBytes + safeWalSize) / (wasShort ? 3 : 4);
}

/**
 * Reading a copy takes the stream's time, and meanwhile the source keeps WAL for the slot. Where that runs short the copies wait
 * until the stream has caught up: a copy that begins again costs time, a lost slot costs all of them.
 */
export class WalBudget {
  readonly #health: () => Promise<SourceHealth>;
  #short = false;
  #leftBytes: number | null = null;

  constructor(health: () => Promise<SourceHealth>) {
    this.#health = health;
  }

  get isShort(): boolean {
    return this.#short;
  }

  /** What is left, in bytes. */
  get leftBytes(): number | null {
    return this.#leftBytes;
  }

  /** Asks from time to time, while anything is being copied; `changed` hears that it has run short, or is short no more. */
  async watch(signal: AbortSignal, of: { readonly isCopying: () => boolean; readonly changed: () => void }): Promise<void> {
    while (!signal.aborted) {
      if (of.isCopying()) await this.#look(of.changed);
      await delay(intervalMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(changed: () => void): Promise<void> {
    // A connection that is lost is noticed by those who need it.
    const health = await this.#health().catch(() => null);
    if (health === null) return;
    this.#leftBytes = health.safeWalSize;
    const short = isWalShort(health, this.#short);
    if (short === this.#short) return;
    this.#short = short;
    changed();
  }
}

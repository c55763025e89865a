/** Between two questions at least, and at most. */
const shortestMs = 1000;
const longestMs = 30_000;
/** In between: so many times as long as a question takes whoever is asked. */
const factor = 30;
/** What one is believed to take before any was asked. */
const firstCostMs = 20;

/**
 * What a question that is asked again and again takes. It is believed to have doubled at most: one that took long was held up, by a busy
 * machine or a lock; what is large takes as long each time.
 */
export function costOf(tookMs: number, before: number): number {
  return Math.min(tookMs, Math.max(firstCostMs, before * 2));
}

/** How long to leave alone who was asked: a guest asks little where it costs much, but nobody waits for news for long on a slow machine either. */
export function restAfter(costMs: number): number {
  return Math.min(longestMs, Math.max(shortestMs, costMs * factor));
}

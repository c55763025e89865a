import { setTimeout as delay } from 'node:timers/promises';
import type { TableShape } from '../event/table.ts';
import type { SourceSession } from '../source/source.ts';

/** Between two questions at least, and at least this many times as long as the last one took. */
const intervalMs = 1000;
const restFactor = 30;

/** Asks the source for tables that have come since, until the signal aborts. */
export async function discoverTables(session: SourceSession, signal: AbortSignal, found: (tables: readonly TableShape[]) => void): Promise<void> {
  for (let took = 0; !signal.aborted; ) {
    await delay(Math.max(intervalMs, took * restFactor), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const asked = performance.now();
    const tables = await session.discover();
    took = performance.now() - asked;
    if (tables.length > 0) found(tables);
  }
}

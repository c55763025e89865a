import { setTimeout as delay } from 'node:timers/promises';
import type { TableShape } from '../event/table.ts';
import { costOf, restAfter } from '../runtime/rest.ts';
import type { SourceSession } from '../source/source.ts';

/** Asks the source for tables that have come since, until the signal aborts. */
export async function discoverTables(session: SourceSession, signal: AbortSignal, found: (tables: readonly TableShape[]) => void): Promise<void> {
  for (let cost = 0; !signal.aborted; ) {
    await delay(restAfter(cost), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const asked = performance.now();
    const tables = await session.discover();
    // To take tables in costs more than to ask, and is done once.
    if (tables.length > 0) found(tables);
    else cost = costOf(performance.now() - asked, cost);
  }
}

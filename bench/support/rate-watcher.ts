/** Looks at a replica every millisecond and notes when the last row of each transaction is there (rate.ts). */
import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import pg from 'pg';

const { url, seen, step } = workerData as { readonly url: string; readonly seen: Float64Array; readonly step: number };
const client = new pg.Client(url);
await client.connect();
const stop = new AbortController();
parentPort?.once('message', () => stop.abort());
/** All transactions before this one were seen; they need not appear in the order of their numbers. */
let low = 0;
while (!stop.signal.aborted) {
  try {
    const { rows } = await client.query<{ id: string }>({ name: 'look', text: `SELECT id FROM rows WHERE id > $1 AND id % ${step} = 0`, values: [low * step] });
    const now = performance.timeOrigin + performance.now();
    for (const { id } of rows) {
      const transaction = Number(id) / step - 1;
      if (seen[transaction] === 0) seen[transaction] = now;
    }
    while (low < seen.length && seen[low] !== 0) low++;
  } catch (error) {
    // The replica makes its table with the first row.
    if ((error as { code?: string }).code !== '42P01') throw error;
  }
  await delay(1);
}
await client.end();

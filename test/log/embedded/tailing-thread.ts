import assert from 'node:assert/strict';
import { parentPort, workerData } from 'node:worker_threads';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';

/** Follows the ENDs of numbered.ts until there are `until` of them, and says after each read how many it has seen. */
const { directory, shared, until } = workerData as { directory: string; shared: SharedArrayBuffer; until: number };
const reader = await openEmbeddedLog({ directory, shared }).openReader();
const { signal } = new AbortController();
for (let offset = 0; offset < until; ) {
  const cursor = await reader.fetch('end', 0, offset, 2000);
  while (cursor.next()) {
    const { n } = JSON.parse(Buffer.from(cursor.value.bytes.subarray(cursor.value.start, cursor.value.end)).toString()) as { n: number };
    assert.equal(n, cursor.offset);
  }
  if (cursor.nextOffset === offset) await reader.wait('end', 0, offset, signal);
  offset = cursor.nextOffset;
  parentPort?.postMessage(offset);
}
await reader.close();

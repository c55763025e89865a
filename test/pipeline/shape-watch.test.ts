import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ShapeWatch } from '../../src/pipeline/shape-watch.ts';
import { StreamedTransactions } from '../../src/pipeline/visibility.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import type { CatalogReader } from '../../src/source/catalog.ts';

test('a stream that ends while the catalog is being asked ends the watch too, whatever the answer is', { timeout: 10_000 }, async () => {
  const stop = new AbortController();
  const catalog: CatalogReader = {
    changed: async () => stop.abort(new Error('the stream has ended')),
    look: async () => ({ visibility: { xmin: 1n, xmax: 1n, running: [] }, tables: [], gone: [] }),
    nudge: () => undefined,
    accept: () => undefined,
    find: (_state, partition) => partition,
  };
  const watch = new ShapeWatch({ catalog, streamed: new StreamedTransactions(), startId: 'a', signal: stop.signal, logger: silentLogger, known: () => [] });
  await assert.rejects(watch.run(), /the stream has ended/);
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { daemonRoutes } from '../../src/app/daemon-http.ts';
import type { PipelineStatus } from '../../src/pipeline/status.ts';
import type { HttpReply } from '../../src/runtime/http.ts';
import { metricNames } from '../../src/runtime/metric-names.ts';

const shop: PipelineStatus = {
  pipeline: 'shop',
  state: 'streaming',
  error: null,
  source: { slot: 'tailrace_shop', confirmedFlush: '0/1', walHeldBytes: 4096, lastEnd: '0/1', lastCommitAt: 1_700_000_000_000, events: 42, transactions: 7 },
  snapshot: [{ table: 'public.a', state: 'copying', sink: null, rows: 5, estimate: null, retries: 0, waitingFor: null, where: null, holdsPublishing: false, error: null }],
  jobs: [], compaction: { runs: 3, bytesBefore: 1000, bytesAfter: 200, durationMs: 1500, lastAt: 1_700_000_000_000 }, leftOut: [],
  sinks: [{ name: 'local', kind: 'sink', state: 'retrying', error: { code: 'sink-unreachable', message: 'm', remedy: 'r' }, position: null, lagMs: 1500, lagBytes: null, behindTransactions: 3, applied: 40, missing: 0, blockedKeys: 0 }],
};

async function get(path: string, pipelines: readonly PipelineStatus[], routes = daemonRoutes(() => pipelines, '1.2.3')): Promise<HttpReply> {
  const route = routes[path];
  assert.ok(route !== undefined);
  return route();
}

describe('health', () => {
  test('is good while the process turns, whatever else is down', async () => {
    assert.equal((await get('/healthz', [{ ...shop, state: 'stopped' }])).status, 200);
  });
  test('a sink that is down makes nobody unready', async () => assert.equal((await get('/readyz', [shop])).status, 200));
  for (const state of ['starting', 'retrying', 'stopped'] as const) {
    test(`a pipeline that is ${state} is not ready, and named`, async () => {
      const reply = await get('/readyz', [shop, { ...shop, pipeline: 'other', state, error: { code: 'gap', message: 'm', remedy: 'r' } }]);
      assert.equal(reply.status, 503);
      assert.deepEqual('json' in reply && reply.json, { status: 'not ready', pipelines: [{ pipeline: 'other', state, code: 'gap' }] });
    });
  }
});

describe('metrics', () => {
  const text = async (pipelines: readonly PipelineStatus[]): Promise<string> => {
    const reply = await get('/metrics', pipelines);
    return 'text' in reply ? reply.text : '';
  };
  test('every name is there, and says what the status says', async () => {
    const found = await text([shop]);
    for (const { name } of Object.values(metricNames)) assert.match(found, new RegExp(`^# TYPE ${name} (gauge|counter)$`, 'm'));
    for (const line of ['tailrace_pipeline_up{pipeline="shop"} 1', 'tailrace_events_published_total{pipeline="shop"} 42', 'tailrace_slot_wal_held_bytes{pipeline="shop"} 4096', 'tailrace_snapshot_tables_pending{pipeline="shop"} 1', 'tailrace_sink_up{pipeline="shop",sink="local"} 0', 'tailrace_sink_lag_seconds{pipeline="shop",sink="local"} 1.5', 'tailrace_compactions_total{pipeline="shop"} 3', 'tailrace_compaction_bytes_before_total{pipeline="shop"} 1000', 'tailrace_compaction_bytes_after_total{pipeline="shop"} 200', 'tailrace_compaction_seconds_total{pipeline="shop"} 1.5', 'tailrace_last_compaction_timestamp_seconds{pipeline="shop"} 1700000000']) {
      assert.ok(found.split('\n').includes(line), line);
    }
  });
  test('what is not known is not said, above all not as zero', async () => assert.doesNotMatch(await text([shop]), /^tailrace_sink_lag_bytes\{/m));
  test('asking twice counts nothing twice', async () => {
    const routes = daemonRoutes(() => [shop], '1.2.3');
    await get('/metrics', [], routes);
    const reply = await get('/metrics', [], routes);
    assert.ok('text' in reply && reply.text.includes('tailrace_events_published_total{pipeline="shop"} 42\n'));
  });
  test('no table, key or value is a label', async () => assert.doesNotMatch(await text([shop]), /public\.a/));
});

test('/status names the daemon by process and folder', async () => {
  const reply = await get('/status', [shop]);
  assert.deepEqual('json' in reply && reply.json, { version: '1.2.3', pid: process.pid, workingDirectory: process.cwd(), pipelines: [shop] });
});

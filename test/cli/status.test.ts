import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { daemonRoutes } from '../../src/app/daemon-http.ts';
import type { PipelineStatus } from '../../src/pipeline/status.ts';
import { serveHttp, type HttpRoutes } from '../../src/runtime/http.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { tempDirectory } from '../support/temp.ts';
import { tailrace, type Said } from './fake-terminal.ts';

const running: PipelineStatus = {
  pipeline: 'shop',
  state: 'snapshotting',
  error: null,
  source: { slot: 'tailrace_shop', confirmedFlush: '0/2', walHeldBytes: 5_000_000, lastEnd: '0/3', lastCommitAt: Date.UTC(2026, 0, 31), events: 10, transactions: 2 },
  snapshot: [
    { table: 'public.done', state: 'done', sink: null, rows: 1, estimate: 1, retries: 0, waitingFor: null, where: null, holdsPublishing: false, error: null },
    { table: 'public.held', state: 'waiting', sink: null, rows: 0, estimate: 70, retries: 3, waitingFor: 'session 4711', where: null, holdsPublishing: false, error: null },
  ],
  jobs: [], compaction: { runs: 3, bytesBefore: 10 << 20, bytesAfter: 2 << 20, durationMs: 1500, lastAt: Date.UTC(2026, 0, 31, 12) }, leftOut: ['public.nokey has no replica identity'],
  sinks: [{ name: 'local', kind: 'sink', state: 'catching-up', error: null, position: '0/1', lagMs: 3200, lagBytes: 2048, behindTransactions: 12, applied: 5, missing: 2, blockedKeys: 1 }],
};

/** Asks a daemon that serves these routes about the pipeline shop. */
async function asked(routes: HttpRoutes, args: readonly string[] = []): Promise<Said> {
  const folder = await tempDirectory();
  const file = join(folder, 'shop.yaml');
  await writeFile(file, `name: shop\nsource: { type: postgres, url: "postgres://u:p@127.0.0.1:1/x" }\nlog: { type: embedded, directory: ${join(folder, 'log')} }\n`);
  const server = await serveHttp({ host: '127.0.0.1', port: 0 }, routes, silentLogger);
  try {
    return await tailrace(['status', file, '--http', `127.0.0.1:${server.address.port}`, ...args]);
  } finally {
    await server.close();
  }
}

describe('status of a running daemon', () => {
  test('is what the daemon says', async () => {
    const { code, out, err } = await asked(daemonRoutes(() => [running], '1.2.3'));
    assert.equal(code, 0);
    assert.equal(err, '');
    assert.equal(
      out,
      `shop  snapshotting
  slot tailrace_shop, log ends at 0/3, acknowledged 0/2, WAL held 4.8 MiB, last commit 2026-01-31T00:00:00.000Z
  snapshot: 1 of 2 tables
  TABLE        STATE    ROWS  OF ABOUT  READ AGAIN  WAITS FOR
  public.held  waiting  0     70        3           session 4711
  left out: public.nokey has no replica identity
  SINK   STATE        LAG            BEHIND           POSITION  APPLIED  BLOCKED KEYS
  local  catching-up  3.2s, 2.0 KiB  12 transactions  0/1       5        1
  local is not whole: 1 keys wait for a dead letter to be retried
  local: 2 changes were of rows that it never had (snapshot: never)
  compacted 3 times, 10.0 MiB to 2.0 MiB, last at 2026-01-31T12:00:00.000Z
`,
    );
  });
  test('a part that has stopped gives its exit code and says what to do', async () => {
    const stopped = { ...running, state: 'stopped' as const, error: { code: 'gap' as const, message: 'five changes are missing', remedy: 'take new snapshots' } };
    const { code, out } = await asked(daemonRoutes(() => [stopped], '1.2.3'));
    assert.equal(code, 4);
    assert.match(out, /gap: five changes are missing\n {2}→ take new snapshots/);
  });
  test('another pipeline’s daemon, or one of another folder, is not ours', async () => {
    assert.match((await asked(daemonRoutes(() => [{ ...running, pipeline: 'other' }], '1.2.3'))).out, /^shop {2}not-running/);
    const elsewhere = { '/status': () => ({ status: 200, json: { version: '1', pid: 1, workingDirectory: '/elsewhere', pipelines: [running] } }) };
    assert.match((await asked(elsewhere)).out, /^shop {2}not-running/);
  });
  for (const [title, reply] of [
    ['some other server', { status: 200, type: 'text/html', text: '<html>' }],
    ['JSON of another kind', { status: 200, json: null }],
    ['an error', { status: 500, json: { pipelines: [] } }],
  ] as const) {
    test(`${title} in its place is no daemon, and no crash`, async () => {
      const { code, out } = await asked({ '/status': () => reply });
      assert.equal(code, 0);
      assert.match(out, /^shop {2}not-running/);
    });
  }
});

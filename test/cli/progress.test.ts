import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { ProgressDisplay, readableLine } from '../../src/cli/progress-display.ts';
import { renderProgress } from '../../src/cli/progress.ts';
import { createStyle, type Terminal } from '../../src/cli/terminal.ts';
import type { PipelineStatus } from '../../src/pipeline/status.ts';
import { eventually } from '../support/wait.ts';

const status: PipelineStatus = {
  pipeline: 'shop',
  state: 'snapshotting',
  error: null,
  source: { slot: 'tailrace_shop', confirmedFlush: '0/1', walHeldBytes: 3_000_000, lastEnd: '0/1', lastCommitAt: 0, events: 10, transactions: 2 },
  snapshot: [
    { table: 'public.done', state: 'done', sink: null, rows: 5, estimate: 5, retries: 0, waitingFor: null, where: null, holdsPublishing: false, error: null },
    { table: 'public.later', state: 'waiting', sink: null, rows: 0, estimate: null, retries: 0, waitingFor: null, where: null, holdsPublishing: false, error: null },
    { table: 'public.orders', state: 'copying', sink: null, rows: 25_000, estimate: 100_000, retries: 2, waitingFor: null, where: null, holdsPublishing: false, error: null },
    { table: 'public.held', state: 'waiting', sink: null, rows: 0, estimate: null, retries: 0, waitingFor: 'session 4711 (psql)', where: null, holdsPublishing: false, error: null },
  ],
  jobs: [], compaction: null, leftOut: [],
  sinks: [
    { name: 'reporting', kind: 'sink', state: 'catching-up', error: null, position: '0/1', lagMs: 3200, lagBytes: 1, behindTransactions: 1204, applied: 1, missing: 0, blockedKeys: 0 },
    { name: 'local', kind: 'sink', state: 'stopped', error: { code: 'sink-data', message: 'a row is refused', remedy: 'mend it' }, position: null, lagMs: null, lagBytes: null, behindTransactions: null, applied: 0, missing: 0, blockedKeys: 3 },
  ],
};
const style = createStyle(false);

describe('the progress display', () => {
  test('shows each table that is not done, the sinks, and what is wrong', () => {
    assert.deepEqual(renderProgress([status], new Map([['shop', 1234.4]]), { width: 100, style }), [
      'shop  snapshotting  1,234 events/s  WAL held 2.9 MiB',
      '  public.orders  [####............]  25%  25,000 of about 100,000 rows  2 read again',
      '  public.later  waits',
      '  public.held  waits for session 4711 (psql) to end',
      '  reporting  catching up  lag 3.2s  1,204 transactions behind',
      '  local  stopped  3 blocked keys',
      '    sink-data: a row is refused',
    ]);
  });
  test('no line is wider than the terminal', () => {
    for (const width of [20, 40, 79]) {
      const lines = renderProgress([{ ...status, error: { code: 'gap', message: 'x'.repeat(300), remedy: 'y'.repeat(300) } }], new Map(), { width, style });
      assert.ok(lines.every((line) => line.length <= width), lines.join('\n'));
    }
  });
  test('a name that would move the cursor does not', () => {
    const [line] = renderProgress([{ ...status, pipeline: 'a\u001b[2Jb' }], new Map(), { width: 80, style });
    assert.ok(line?.includes('\\u001b[2J') && !line.includes('\u001b'));
  });
  test('hundreds of tables take a few lines', () => {
    const snapshot = Array.from({ length: 300 }, (_, i) => ({ table: `t${i}`, state: 'waiting' as const, sink: null, rows: 0, estimate: null, retries: 0, waitingFor: null, where: null, holdsPublishing: false, error: null }));
    const lines = renderProgress([{ ...status, snapshot, sinks: [] }], new Map(), { width: 80, style });
    assert.deepEqual(lines.slice(-2), ['  t7  waits', '  and 292 more tables']);
  });

  test('is drawn over itself, and log lines scroll by above it', async () => {
    let written = '';
    const stream = Object.assign(new Writable({ write: (chunk: Buffer, _, done) => ((written += chunk.toString()), done()) }), { rows: 24 });
    const terminal = { width: 80, style } as unknown as Terminal;
    const display = new ProgressDisplay(terminal, stream);
    display.write('{"time":"2026-01-31T12:00:00.000Z","level":"info","msg":"before it starts"}\n');
    assert.equal(screen(written), '12:00:00 info  before it starts\n');
    display.start(() => [{ ...status, snapshot: [], sinks: [] }]);
    await eventually(() => screen(written).includes('shop  snapshotting'));
    display.write('{"time":"2026-01-31T12:00:01.000Z","level":"warn","pipeline":"shop","msg":"the sink waits","sink":"local"}\n');
    const lines = '12:00:00 info  before it starts\n12:00:01 warn  shop: the sink waits  sink=local\n';
    display.stop({ leave: true });
    assert.equal(screen(written), `${lines}shop  snapshotting  0 events/s  WAL held 2.9 MiB\n`);
    display.write('{"time":"2026-01-31T12:00:02.000Z","level":"info","msg":"after it"}\n');
    assert.equal(screen(written), `${lines}shop  snapshotting  0 events/s  WAL held 2.9 MiB\n12:00:02 info  after it\n`);
  });

  test('a line that is no JSON comes through, without what a terminal would obey', () => assert.equal(readableLine('a\u001b[31m\n'), 'a\\u001b[31m'));
});

/** What a terminal would show: cursor up, carriage return and erase below are all that is used. */
function screen(written: string): string {
  let lines = [''];
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is read here
  for (const [token, up] of written.matchAll(/\u001b\[(\d+)A|\u001b\[J|\r|\n|[^\u001b\r\n]+/g)) {
    if (up !== undefined) lines = [...lines.slice(0, lines.length - 1 - Number(up)), ''];
    else if (token === '\n') lines.push('');
    else if (token !== '\r' && !token.startsWith('\u001b')) lines[lines.length - 1] += token;
  }
  return lines.join('\n');
}

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { HotPathFigure } from '../../bench/support/hot-path.ts';

const rows = 50_000;
const program = `
  import { measureHotPath } from ${JSON.stringify(new URL('../../bench/support/hot-path.ts', import.meta.url).href)};
  console.log(JSON.stringify(await measureHotPath(${rows})));`;

/** In a process whose nursery is so large that nothing is collected while it is measured: what is allocated can then be counted. */
function measured(): readonly HotPathFigure[] {
  const args = ['--expose-gc', '--max-semi-space-size=256', '--min-semi-space-size=256', '--input-type=module', '-e', program];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: fileURLToPath(new URL('../../', import.meta.url)) });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as HotPathFigure[];
}

// No machine's speed is in this. The CPU is compared with that of a loop in the same process, and the limit is some times what was
// seen. A busy machine allocates more, so the least of three runs counts: a text a row is more than is left here.
test('a row on the hot path costs no more than some copies of its bytes, and makes no garbage but its change', (t) => {
  const runs = Array.from({ length: 3 }, () => measured() as [copying: HotPathFigure, capture: HotPathFigure, apply: HotPathFigure, json: HotPathFigure]);
  for (const [part, most] of [[1, 240], [2, 220], [3, 250]] as const) {
    const what = runs[0]?.[part].what;
    const ratio = Math.min(...runs.map((run) => run[part].cpu / run[0].cpu));
    const bytes = Math.min(...runs.map((run) => run[part].allocated)) / rows;
    t.diagnostic(`${what}: ${ratio.toFixed(1)} times copying, ${bytes.toFixed(0)} bytes a row`);
    assert.ok(ratio < 25, `${what}: ${ratio.toFixed(1)} times the CPU of copying the bytes once`);
    assert.ok(bytes > 50 && bytes < most, `${what}: ${bytes.toFixed(0)} bytes of the heap a row`);
  }
});

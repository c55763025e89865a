import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insert, ScriptedSource, update } from '../support/scripted-source.ts';
import { Bench, tableOf } from './harness.ts';
import { ends } from './log-view.ts';

test('T9: commit times that go back, stand still or leap decide nothing: the order is that of the commit LSNs', async (t) => {
  const items = tableOf('items', 2);
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source, { sinks: ['local'] });
  await bench.start();
  const sink = await bench.replay('local');
  const times = [1_769_860_800_000_000n, 1n, 4_102_444_800_000_000n, -9_000_000_000_000_000n, 1n, 1n];
  const commits = times.map((commitTime, i) => source.commit([i === 0 ? insert(items, ['1', 'v0']) : update(items, ['1', `v${i}`]), insert(items, [`row ${i}`, ''])], { commitTime }));
  const last = commits.at(-1) as (typeof commits)[number];
  await bench.acknowledged(last.endLsn);
  const found = (await ends(await bench.reader())).filter(({ parts }) => parts.length > 0);
  assert.deepEqual(found.map(({ commitLsn, commitTime }) => [commitLsn, commitTime]), commits.map(({ commitLsn }, i) => [commitLsn, times[i]]));
  await sink.reaches(last.endLsn);
  assert.deepEqual(sink.rows(items).find(([id]) => id === '1'), ['1', 'v5']);
  assert.equal(sink.rows(items).length, 7);
});

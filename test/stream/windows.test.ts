import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { count, hopping, max, session, stream, sum, time, tumbling, type WindowShape } from '../../src/stream/api.ts';
import { windowStarts } from '../../src/stream/windows.ts';
import { tableOf, type ChangeSpec } from '../contract/change-samples.ts';
import { RunningPlan, sorted, type Texts } from './engine-harness.ts';

const clicks = tableOf([['id', 23], ['who', 25], ['at', 23], ['n', 23]], [0], 'clicks');

interface Click {
  readonly id: number;
  readonly who: string;
  /** Seconds. */
  readonly at: number | null;
  readonly n: number;
}

function windowed(shape: WindowShape, options: { readonly grace?: string; readonly emit?: 'changes' | 'closed' } = {}): RunningPlan {
  return new RunningPlan(
    stream(({ table }) => {
      const { rows, late } = table<Click>('public.clicks')
        .groupBy(({ who }) => ({ who }))
        .window(shape, { at: ({ at }) => at && at * 1000, ...options })
        .aggregate({ clicks: count(), total: sum((row: Click) => row.n), most: max((row: Click) => row.n) });
      rows
        .map((row) => ({ ...row, window_start: row.window_start / 1000, window_end: row.window_end / 1000 }))
        .to('windows', { key: ['who', 'window_start'], columns: { who: 'text', window_start: 'int4', window_end: 'int4', clicks: 'int4', total: 'int4', most: 'int4' } });
      late.map(({ row, removed }) => ({ id: row.id, removed })).to('late', { columns: { id: 'int4', removed: 'bool' } });
    }),
  );
}

const click = (id: number, at: number | null, who = 'a', n = 1): ChangeSpec => ({ op: 'c', new: [String(id), who, at === null ? null : String(at), String(n)] });
const gone = (id: number): ChangeSpec => ({ op: 'd', old: [String(id), null, null, null] });
const after = (published: ReturnType<RunningPlan['step']>, output: string): (Texts | null)[] => published.filter((each) => each.output === output).map((each) => each.after);

/** The result rows of some clicks, computed the plain way. */
function resultRows(rows: readonly Click[], boundsOf: (of: readonly Click[]) => Map<string, Click[]>): Texts[] {
  return [...Map.groupBy(rows, ({ who }) => who)].flatMap(([who, own]) =>
    [...boundsOf(own)].map(([bounds, members]) => [
      who, ...bounds.split('/'), String(members.length), String(members.reduce((all, { n }) => all + n, 0)), String(Math.max(...members.map(({ n }) => n))),
    ]));
}

function fixedBounds(size: number, every: number): (rows: readonly Click[]) => Map<string, Click[]> {
  return (rows) => {
    const windows = new Map<string, Click[]>();
    for (const row of rows) for (const start of windowStarts(row.at ?? 0, { size, every })) windows.set(`${start}/${start + size}`, [...(windows.get(`${start}/${start + size}`) ?? []), row]);
    return windows;
  };
}

function sessionBounds(gap: number): (rows: readonly Click[]) => Map<string, Click[]> {
  return (rows) => {
    const sessions: Click[][] = [];
    for (const row of rows.toSorted((a, b) => (a.at ?? 0) - (b.at ?? 0))) {
      const last = sessions.at(-1);
      if (last !== undefined && (row.at ?? 0) - (last.at(-1)?.at ?? 0) <= gap) last.push(row);
      else sessions.push([row]);
    }
    return new Map(sessions.map((members) => [`${members[0]?.at}/${(members.at(-1)?.at ?? 0) + gap}`, members]));
  };
}

const anyClick = fc.record({ id: fc.integer({ min: 1, max: 9 }), who: fc.constantFrom('a', 'b'), at: fc.integer({ min: 0, max: 60 }), n: fc.integer({ min: 1, max: 5 }) });
const steps = fc.array(fc.array(fc.oneof({ weight: 4, arbitrary: anyClick }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 9 }) }), { maxLength: 4 }), { maxLength: 15 });

for (const [name, shape, bounds] of [
  ['tumbling', tumbling('10s'), fixedBounds(10, 10)],
  ['hopping', hopping('20s', '5s'), fixedBounds(20, 5)],
  ['session', session('7s'), sessionBounds(7)],
] as const) {
  test(`${name} windows give what their rows give, in whatever order rows come, change and go within the grace`, () => {
    fc.assert(
      fc.property(steps, (taken) => {
        const plan = windowed(shape, { grace: '1h' });
        const rows = new Map<number, Click>();
        for (const step of taken) {
          const changes = step.flatMap((act): ChangeSpec[] => {
            if (typeof act === 'number') return rows.delete(act) ? [gone(act)] : [];
            const op = rows.has(act.id) ? 'u' : 'c';
            rows.set(act.id, act);
            return [{ ...click(act.id, act.at, act.who, act.n), op }];
          });
          plan.step([clicks, ...changes]);
          plan.reopen();
          assert.deepEqual(sorted(plan.rows('windows')), sorted(resultRows([...rows.values()], bounds)));
        }
      }),
      { numRuns: 60 },
    );
  });
}

test('a row that comes when its window is closed is set aside and changes nothing; so is one that is taken away then', () => {
  const plan = windowed(tumbling('10s'), { grace: '5s' });
  plan.step([clicks, click(1, 3), click(2, 14)]);
  assert.deepEqual(plan.step([clicks, click(3, 9)]).map(({ output }) => output), ['windows'], 'within the grace it counts');
  plan.step([clicks, click(4, 15)]);
  assert.deepEqual(after(plan.step([clicks, click(5, 9), gone(1)]), 'late'), [['5', 'f'], ['1', 't']]);
  assert.deepEqual(sorted(plan.rows('windows')), sorted([['a', '0', '10', '2', '2', '1'], ['a', '10', '20', '2', '2', '1']]));
});

test('a row that only some of its windows are closed for counts in the others, and says which it missed', () => {
  const seen: unknown[] = [];
  const plan = new RunningPlan(
    stream(({ table }) => {
      const { rows, late } = table<Click>('public.clicks').groupBy(({ who }) => ({ who })).window(hopping('20s', '10s'), { at: ({ at }) => at && at * 1000 }).aggregate({ clicks: count() });
      rows.to('windows', { key: ['who', 'window_start'], columns: { who: 'text', window_start: 'int8', clicks: 'int4' } });
      late.map((each) => (seen.push(each.missed), { id: each.row.id })).to('late', { columns: { id: 'int4' } });
    }),
  );
  plan.step([clicks, click(1, 25)]);
  plan.step([clicks, click(2, 12)]);
  assert.deepEqual(seen, [[0]]);
  assert.deepEqual(sorted(plan.rows('windows')), sorted([['a', '10000', '2'], ['a', '20000', '1']]));
});

test('in one step rows count in their order: what came before the newest is not late', () => {
  const plan = windowed(tumbling('10s'));
  assert.deepEqual(after(plan.step([clicks, click(1, 3), click(2, 25), click(3, 4)]), 'late'), [['3', 'f']]);
});

test('with emit closed a window is told once, when nothing can change it any more', () => {
  for (const [shape, row] of [[tumbling('10s'), ['a', '0', '10', '2', '3', '2']], [session('4s'), ['a', '3', '10', '2', '3', '2']]] as const) {
    const plan = windowed(shape, { grace: '5s', emit: 'closed' });
    assert.deepEqual(plan.step([clicks, click(1, 3), click(2, 6, 'a', 2), click(3, 14)]), []);
    assert.deepEqual(after(plan.step([clicks, click(4, 15)]), 'windows'), [row]);
    assert.deepEqual(plan.step([clicks, click(5, 15)]), []);
  }
});

test('windows that are closed take no room', () => {
  for (const shape of [tumbling('10s'), hopping('10s', '5s'), session('3s')]) {
    const plan = new RunningPlan(
      stream(({ changes }) => {
        changes<Click>('public.clicks')
          .flatMap(({ after }) => (after === null ? [] : [after]))
          .groupBy(({ who }) => ({ who }))
          .window(shape, { at: ({ at }) => at && at * 1000, emit: 'closed' })
          .aggregate({ clicks: count(), most: max((row: Click) => row.n) })
          .rows.to('windows', { columns: { who: 'text', clicks: 'int4', most: 'int4' } });
      }),
    );
    const sizes = Array.from({ length: 40 }, (_, i) => {
      plan.step([clicks, click(1, i * 10), { ...click(1, i * 10 + 2), op: 'u' }, gone(1)]);
      return plan.size();
    });
    assert.equal(sizes.at(-1), sizes[5]);
  }
});

test('a row without an event time is in no window', () => {
  const plan = windowed(tumbling('10s'));
  assert.deepEqual(plan.step([clicks, click(1, null)]), []);
});

test('a time is in every window that begins at a multiple of the step and holds it, also where sizes do not divide, before 1970, and with fractions', () => {
  const length = fc.integer({ min: 1, max: 50 });
  const moment = fc.tuple(fc.integer({ min: -200, max: 200 }), fc.constantFrom(0, 0.5, 0.001)).map(([whole, part]) => whole + part);
  fc.assert(
    fc.property(length, length, moment, (a, b, at) => {
      const [every, size] = [Math.min(a, b), Math.max(a, b)];
      const all = Array.from({ length: 1000 }, (_, i) => (i - 500) * every + 0);
      assert.deepEqual(windowStarts(at, { size, every }).map((start) => start + 0), all.filter((start) => start <= at && at < start + size));
    }),
    { numRuns: 500 },
  );
});

test('event time is read from Postgres’s texts', () => {
  assert.equal(time('2024-02-29 12:00:00.5+00'), Date.UTC(2024, 1, 29, 12, 0, 0, 500));
  assert.equal(time('2024-02-29 12:00:00+05:30'), Date.UTC(2024, 1, 29, 6, 30));
  assert.equal(time('1883-11-18 12:00:00-04:56:02'), Date.UTC(1883, 10, 18, 16, 56, 2));
  assert.equal(time('2024-02-29'), Date.UTC(2024, 1, 29));
  assert.equal(time('0044-03-15 BC'), new Date(0).setUTCFullYear(-43, 2, 15));
  assert.equal(time('12024-02-29 00:00:00'), Date.UTC(12024, 1, 29));
  assert.equal(time('infinity'), Infinity);
  assert.equal(time(null), null);
  assert.throws(() => time('noon'), TypeError);
});

test('windows are described with durations as in the configuration', () => {
  assert.throws(() => tumbling('10'), /"10": expected a duration/);
  assert.throws(() => tumbling('0s'), /at least 1ms/);
  assert.throws(() => hopping('5s', '10s'), /would leave rows out/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stream, type JoinWindow } from '../../src/stream/api.ts';
import { tableOf, type ChangeSpec } from '../contract/change-samples.ts';
import { RunningPlan, sorted, type Texts } from './engine-harness.ts';

const views = tableOf([['id', 23], ['who', 25], ['at', 23]], [0], 'views');
const buys = tableOf([['id', 23], ['who', 25], ['at', 23]], [0], 'buys');

interface Act {
  readonly id: number;
  readonly who: string | null;
  /** Seconds. */
  readonly at: number | null;
}

type Kind = 'join' | 'leftJoin' | 'outerJoin';
type Options = Pick<JoinWindow<Act, Act>, 'before' | 'after' | 'grace' | 'emit'>;

const label = (row: Act | null): string => (row === null ? 'none' : `${row.id}@${row.at}`);

/** Views and what was bought near them; every pair is a row of its own. */
function near(kind: Kind, options: Options): RunningPlan {
  return new RunningPlan(
    stream(({ table }) => {
      const windows = table<Act>('public.views').within(table<Act>('public.buys'), { leftAt: ({ at }) => at && at * 1000, rightAt: ({ at }) => at && at * 1000, ...options });
      const on = { left: ({ who }: Act) => who, right: ({ who }: Act) => who, combine: (view: Act | null, buy: Act | null) => ({ view: label(view), buy: label(buy) }) };
      const { rows, late } = kind === 'join' ? windows.join(on) : kind === 'leftJoin' ? windows.leftJoin(on) : windows.outerJoin(on);
      rows.to('pairs', { key: options.emit === 'closed' ? [] : ['view', 'buy'], columns: { view: 'text', buy: 'text' } });
      late.map(({ left, right, removed }) => ({ view: label(left), buy: label(right), removed })).to('late', { columns: { view: 'text', buy: 'text', removed: 'bool' } });
    }),
  );
}

const row = (id: number, at: number | null, who: string | null = 'a'): ChangeSpec => ({ op: 'c', new: [String(id), who, at === null ? null : String(at)] });
const gone = (id: number): ChangeSpec => ({ op: 'd', old: [String(id), null, null] });
const after = (published: ReturnType<RunningPlan['step']>, output: string): (Texts | null)[] => published.filter((each) => each.output === output).map((each) => each.after);

/** Seconds. */
interface Spans {
  readonly before: number;
  readonly after: number;
  readonly grace: number;
}

/** The join the plain way: what came in time is held in lists, and every pair is looked at. */
class NaiveJoin {
  readonly #options: Spans;
  readonly #keeps: readonly [boolean, boolean];
  readonly #sides: readonly [Act[], Act[]] = [[], []];
  #newest = -Infinity;
  readonly late: Texts[] = [];

  constructor(kind: Kind, options: Spans) {
    this.#options = options;
    this.#keeps = [kind !== 'join', kind === 'outerJoin'];
  }

  take(side: 0 | 1, act: Act, removed: boolean): void {
    if (act.at === null) return;
    const { before, after, grace } = this.#options;
    const rows = this.#sides[side];
    if (act.at + (side === 0 ? after : before) < this.#newest - grace) this.late.push(side === 0 ? [label(act), 'none', removed ? 't' : 'f'] : ['none', label(act), removed ? 't' : 'f']);
    else if (removed) rows.splice(rows.findIndex((found) => found.id === act.id && found.at === act.at && found.who === act.who), 1);
    else rows.push(act);
    if (!removed) this.#newest = Math.max(this.#newest, act.at);
  }

  pairs(): Texts[] {
    const meet = (view: Act, buy: Act): boolean =>
      view.who !== null && view.who === buy.who && (buy.at ?? 0) >= (view.at ?? 0) - this.#options.before && (buy.at ?? 0) <= (view.at ?? 0) + this.#options.after;
    const [left, right] = this.#sides;
    return [
      ...left.flatMap((view) => right.filter((buy) => meet(view, buy)).map((buy) => [label(view), label(buy)])),
      ...(this.#keeps[0] ? left.filter((view) => !right.some((buy) => meet(view, buy))).map((view) => [label(view), 'none']) : []),
      ...(this.#keeps[1] ? right.filter((buy) => !left.some((view) => meet(view, buy))).map((buy) => ['none', label(buy)]) : []),
    ];
  }
}

const side = fc.constantFrom<0 | 1>(0, 1);
const act = fc.record({
  id: fc.integer({ min: 1, max: 6 }), who: fc.oneof({ weight: 6, arbitrary: fc.constantFrom('a', 'b') }, { weight: 1, arbitrary: fc.constant(null) }),
  at: fc.oneof({ weight: 15, arbitrary: fc.integer({ min: 1, max: 60 }) }, { weight: 1, arbitrary: fc.constant(null) }),
});
const steps = fc.array(fc.array(fc.tuple(side, fc.oneof({ weight: 4, arbitrary: act }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 6 }) })), { maxLength: 4 }), { maxLength: 20 });
const seconds = (max: number): fc.Arbitrary<number> => fc.integer({ min: 0, max });
const window = fc.record({ before: seconds(8), after: seconds(12), grace: fc.oneof(seconds(10), fc.constant(3600)) });

for (const kind of ['join', 'leftJoin', 'outerJoin'] as const) {
  test(`${kind} within a window gives what comparing every pair gives, whatever comes, changes and goes, late or not, and after a crash`, () => {
    let lateOnes = 0;
    fc.assert(
      fc.property(steps, window, (taken, { before, after: ahead, grace }) => {
        const span = (n: number): string | undefined => (n === 0 ? undefined : `${n}s`);
        const options = { before: span(before), after: span(ahead), grace: span(grace) } as Options;
        const [shown, told] = [near(kind, options), near(kind, { ...options, emit: 'closed' })];
        const naive = new NaiveJoin(kind, { before, after: ahead, grace });
        const tables = [new Map<number, Act>(), new Map<number, Act>()] as const;
        const [late, closed]: [Texts[], Texts[]] = [[], []];
        const step = (changes: readonly (readonly [0 | 1, ChangeSpec])[]): void => {
          const specs = changes.map(([of, spec]) => [of === 0 ? views : buys, spec] as const);
          late.push(...(after(shown.step(...specs), 'late') as Texts[]));
          closed.push(...(after(told.step(...specs), 'pairs') as Texts[]));
          shown.reopen();
          told.reopen();
        };
        for (const acts of taken) {
          step(acts.flatMap(([of, each]): [0 | 1, ChangeSpec][] => {
            const id = typeof each === 'number' ? each : each.id;
            const was = tables[of].get(id);
            if (typeof each === 'number') {
              if (was === undefined) return [];
              tables[of].delete(id);
              naive.take(of, was, true);
              return [[of, gone(id)]];
            }
            tables[of].set(id, each);
            const same = was !== undefined && was.at === each.at && was.who === each.who;
            if (was !== undefined && !same) naive.take(of, was, true);
            if (!same) naive.take(of, each, false);
            return [[of, { ...row(id, each.at, each.who), op: was === undefined ? 'c' : 'u' }]];
          }));
          assert.deepEqual(sorted(shown.rows('pairs')), sorted(naive.pairs()));
        }
        assert.deepEqual(sorted(late), sorted(naive.late));
        lateOnes += late.length;
        // One that is far ahead closes all others, and is itself not told yet.
        const all = naive.pairs();
        step([[0, row(99, 100_000)]]);
        assert.deepEqual(sorted(closed), sorted(all), 'each result is told once, when nothing can change it any more');
      }),
      { numRuns: 150 },
    );
    assert.ok(lateOnes > 100, 'it is about late rows, too');
  });
}

test('both bounds of a window are within, and it reaches no further to either side', () => {
  const plan = near('join', { before: '2s', after: '5s', grace: '1h' });
  plan.step([views, row(1, 10)], [buys, ...[7, 8, 10, 15, 16].map((at) => row(at, at))]);
  assert.deepEqual(sorted(plan.rows('pairs')), sorted([['1@10', '8@8'], ['1@10', '10@10'], ['1@10', '15@15']]));
});

test('what is told when it is closed waits until neither side can change', () => {
  const plan = near('outerJoin', { after: '5s', grace: '1s', emit: 'closed' });
  assert.deepEqual(plan.step([views, row(1, 10), row(2, 12, 'b')], [buys, row(1, 14), row(2, 16, 'c')]), []);
  assert.deepEqual(plan.step([views, gone(1)]), [], 'it can be taken back until then');
  assert.deepEqual(plan.step([views, { ...row(1, 10), op: 'c' }, row(3, 16, 'z')]), []);
  assert.deepEqual(after(plan.step([views, row(4, 17, 'z')]), 'pairs'), [['1@10', '1@14']]);
  assert.deepEqual(sorted(after(plan.step([views, row(5, 23, 'z')]), 'pairs') as Texts[]), sorted([['2@12', 'none'], ['none', '2@16'], ['3@16', 'none']]));
});

test('rows that nothing can meet any more take no room', () => {
  for (const emit of ['changes', 'closed'] as const) {
    const plan = new RunningPlan(
      stream(({ changes }) => {
        const events = (table: string) => changes<Act>(table).flatMap(({ after }) => (after === null ? [] : [after]));
        events('public.views')
          .within(events('public.buys'), { leftAt: ({ at }) => at && at * 1000, rightAt: ({ at }) => at && at * 1000, before: '20s', after: '30s', grace: '10s', emit })
          .leftJoin({ left: ({ who }) => who, right: ({ who }) => who, combine: (view, buy) => ({ view: label(view), buy: label(buy) }) })
          .rows.groupBy(() => ({})).aggregate({}).map(() => ({ all: 1 })).to('pairs', { key: ['all'], columns: { all: 'int4' } });
      }),
    );
    const sizes = Array.from({ length: 60 }, (_, i) => {
      plan.step([views, row(1, i * 10 + 1), gone(1)], [buys, row(1, i * 10 + 2, i % 3 === 0 ? null : 'a'), gone(1)]);
      return plan.size();
    });
    const [early, last] = [sizes.slice(12, 36), sizes.slice(36)];
    assert.equal(Math.max(...last), Math.max(...early), emit);
  }
});

test('time stands while tables are copied: rows that were there before meet in whatever order they are copied', () => {
  const plan = near('leftJoin', { after: '5s' });
  const copied = new Set<string>();
  plan.isCopied = (table) => copied.has(table);
  plan.step([views, row(1, 10), row(2, 1000)]);
  copied.add('public.views');
  plan.step([views, row(3, 5000)]);
  plan.reopen();
  assert.deepEqual(after(plan.step([buys, row(1, 12), row(2, 1001)]), 'late'), []);
  copied.add('public.buys');
  assert.deepEqual(after(plan.step([buys, row(3, 1002)], [views, row(4, 2000)]), 'late'), [['4@2000', 'none', 'f']], 'then it is what was seen');
  assert.deepEqual(sorted(plan.rows('pairs')), sorted([['1@10', '1@12'], ['2@1000', '2@1001'], ['2@1000', '3@1002'], ['3@5000', 'none']]));
});

test('a table may be joined with itself, and fractions of milliseconds count', () => {
  const plan = new RunningPlan(
    stream(({ table }) => {
      const view = table<Act>('public.views');
      const at = ({ at }: Act): number | null => at && 1_700_000_000_000 + at / 1000;
      view.within(view, { leftAt: at, rightAt: at, after: '1ms', grace: '1s' })
        .join({ left: ({ who }) => who, right: ({ who }) => who, combine: (a, b) => ({ a: a.id, b: b.id }) })
        .rows.to('pairs', { key: ['a', 'b'], columns: { a: 'int4', b: 'int4' } });
    }),
  );
  plan.step([views, row(1, 1), row(2, 1001), row(3, 1002)]);
  assert.deepEqual(sorted(plan.rows('pairs')), sorted([['1', '1'], ['1', '2'], ['2', '2'], ['2', '3'], ['3', '3']]));
  plan.step([views, gone(2)]);
  assert.deepEqual(sorted(plan.rows('pairs')), sorted([['1', '1'], ['3', '3']]));
});

test('a window of a join that cannot be is refused when the module is loaded; pairs of events are events, those that stand alone for a while are not', () => {
  const at = (): number => 0;
  const on = { left: () => 1, right: () => 1, combine: () => ({ id: 1 }) };
  const columns = { columns: { id: 'int4' } };
  assert.throws(() => stream(({ table }) => { table('a.b').within(table('a.c'), { leftAt: at, rightAt: at, after: '5' }); }), /"5": expected a duration/);
  stream(({ changes }) => changes('a.b').within(changes('a.c'), { leftAt: at, rightAt: at }).join(on).rows.to('x', columns));
  stream(({ table }) => table('a.b').within(table('a.c'), { leftAt: at, rightAt: at, emit: 'closed' }).leftJoin(on).rows.to('x', columns));
  assert.throws(() => stream(({ changes }) => changes('a.b').within(changes('a.c'), { leftAt: at, rightAt: at }).leftJoin(on).rows.to('x', columns)), /rows that change need a key/);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TableSchema } from '../../src/event/table.ts';
import { average, count, min, session, stream, sum, top, tumbling, type Sources } from '../../src/stream/api.ts';
import { Engine } from '../../src/stream/engine.ts';
import { shardOf, stagesOf } from '../../src/stream/shards.ts';
import { State } from '../../src/stream/state.ts';
import type { StreamDefinition } from '../../src/stream/stream.ts';
import { changeOf, tableOf, type ChangeSpec } from '../contract/change-samples.ts';

interface Order {
  readonly id: number;
  readonly who: string;
  readonly n: number | null;
  readonly at: number;
}

const orders = tableOf([['id', 23], ['who', 25], ['n', 23], ['at', 23]], [0], 'orders');
const people = tableOf([['id', 23], ['who', 25], ['n', 23], ['at', 23]], [0], 'people');
/** Without a key: its old rows come whole. */
const notes = { ...tableOf([['id', 23], ['who', 25], ['n', 23], ['at', 23]], [], 'notes'), replicaIdentity: 'full' as const };
const tables = [orders, people, notes];

const columns = { who: 'text', n: 'int8' } as const;
const at = ({ at: seconds }: Order): number => seconds * 1000;
const aggregates = { n: count(), total: sum((row: Order) => row.n), least: min((row: Order) => row.n, { numeric: true }) };
const totals = { who: 'text', n: 'int8', total: 'numeric', least: 'int4' } as const;

/** Each a use of its own of keys; a random stream has some of them side by side. */
const plans: Record<string, (sources: Sources) => void> = {
  map: ({ table }) => table<Order>('public.orders').filter(({ n }) => n !== null).map(({ id, who, n }) => ({ id, who, n })).to('mapped', { key: ['id'], columns: { id: 'int4', ...columns } }),
  group: ({ table }) => table<Order>('public.orders').filter(({ n }) => n !== 3).groupBy(({ who }) => ({ who })).aggregate(aggregates).to('groups', { key: ['who'], columns: totals }),
  everything: ({ table }) => table<Order>('public.orders').groupBy(() => ({})).aggregate({ n: count(), mean: average(({ n }: Order) => n) }).map((row) => ({ one: 1, ...row })).to('everything', { key: ['one'], columns: { one: 'int4', n: 'int8', mean: 'numeric' } }),
  twice: ({ table }) =>
    table<Order>('public.orders').groupBy(({ who }) => ({ who })).aggregate(aggregates).groupBy(({ n }) => ({ n })).aggregate({ best: top(2, { by: (row: { who: string }) => row.who }), people: count() })
      .map(({ n, best, people: several }) => ({ n, people: several, best: best.map(({ who }) => who) })).to('twice', { key: ['n'], columns: { n: 'int8', people: 'int8', best: 'json' } }),
  keyless: ({ table }) => table<Order>('public.notes').groupBy(({ who }) => ({ who })).aggregate(aggregates).to('noted', { key: ['who'], columns: totals }),
  merged: ({ table }) => table<Order>('public.orders').merge(table<Order>('public.notes')).groupBy(({ at: when }) => ({ when })).aggregate({ n: count() }).to('merged', { key: ['when'], columns: { when: 'int4', n: 'int8' } }),
  mixed: ({ table }) => {
    const groups = table<Order>('public.orders').groupBy(({ who }) => ({ who })).aggregate({ n: count() });
    table<Order>('public.people').map(({ who, n }) => ({ who, n: n ?? 0 })).merge(groups).groupBy(({ n }) => ({ n })).aggregate({ times: count() }).to('mixed', { key: ['n'], columns: { n: 'int8', times: 'int8' } });
  },
  join: ({ table }) =>
    table<Order>('public.orders').leftJoin(table<Order>('public.people'), { left: ({ who }) => who, right: ({ who }) => who, combine: (order, person) => ({ order: order.id, person: person?.id ?? -1 }) })
      .to('joined', { key: ['order', 'person'], columns: { order: 'int4', person: 'int4' } }),
  near: ({ table }) => {
    const { rows, late } = table<Order>('public.orders').within(table<Order>('public.people'), { leftAt: at, rightAt: at, before: '3s', after: '2s', grace: '4s' })
      .outerJoin({ left: ({ who }) => who, right: ({ who }) => who, combine: (order, person) => ({ order: order?.id ?? -1, person: person?.id ?? -1 }) });
    // A pair of rows that are closed stays, and may come again.
    rows.groupBy((pair) => pair).aggregate({ n: count() }).to('near', { key: ['order', 'person'], columns: { order: 'int4', person: 'int4', n: 'int8' } });
    late.map(({ left, right, removed }) => ({ id: left?.id ?? right?.id, removed })).to('too_late', { columns: { id: 'int4', removed: 'bool' } });
  },
  windows: ({ table }) => {
    const { rows, late } = table<Order>('public.orders').groupBy(({ who }) => ({ who })).window(tumbling('5s'), { at, grace: '3s', emit: 'closed' }).aggregate({ n: count() });
    rows.to('closed', { columns: { who: 'text', window_start: 'timestamptz', n: 'int8' } });
    late.map(({ row, removed }) => ({ id: row.id, removed })).to('late', { columns: { id: 'int4', removed: 'bool' } });
  },
  sessions: ({ table }) => table<Order>('public.people').groupBy(({ who }) => ({ who })).window(session('2s'), { at, grace: '5s' }).aggregate({ n: count() }).rows.to('sessions', { key: ['who', 'window_start'], columns: { who: 'text', window_start: 'timestamptz', n: 'int8' } }),
  events: ({ table, changes }) => {
    const events = changes<Order>('public.orders');
    events.map(({ op, before, after }) => ({ op, was: before?.n ?? null, is: after?.n ?? null })).to('events', { columns: { op: 'text', was: 'int4', is: 'int4' } });
    events.groupBy(({ after }) => ({ who: after?.who ?? 'gone' })).aggregate({ n: count() }).to('events_of', { key: ['who'], columns });
    events.filter(({ after }) => after !== null).lookup(table<Order>('public.people'), { left: ({ after }) => after?.who, right: ({ who }) => who, combine: ({ after }, person) => ({ id: after?.id, person: person?.id ?? null }) })
      .to('looked_up', { columns: { id: 'int4', person: 'int4' } });
  },
};

/** The same plan in several shards and what lies behind them, each with a state of its own. */
class SpreadPlan {
  readonly #definition: StreamDefinition;
  readonly states: readonly State[];
  readonly rest = new State(':memory:');
  readonly #cuts: (readonly [number, unknown, number])[] = [];
  #engines: readonly Engine[] = [];
  #behind: Engine | null = null;

  constructor(definition: StreamDefinition, shards: number) {
    this.#definition = definition;
    this.states = Array.from({ length: shards }, () => new State(':memory:'));
    this.reopen();
  }

  reopen(): void {
    const { plan } = this.#definition;
    this.#engines = this.states.map((state, index) => new Engine(plan, state, { kind: 'shard', shard: { index, of: this.states.length }, cut: (...row) => this.#cuts.push(row) }));
    this.#behind = new Engine(plan, this.rest, { kind: 'rest' });
  }

  /** What was posted, by its operator and content. */
  step(...changes: readonly Change[]): string[] {
    for (const engine of this.#engines) {
      run(engine, changes);
      for (const cut of this.#cuts.splice(0)) this.#behind?.deliver(...cut);
    }
    this.#behind?.finish();
    return posted(this.rest);
  }
}

function run(engine: Engine, changes: readonly Change[]): void {
  for (const [table, spec] of changes) engine.apply({ table, changes: [spec === 't' ? { op: 't' } : changeOf(table, spec)], coverage: 'complete' }, 0);
  engine.finish();
}

function posted(state: State): string[] {
  const found = state.posted(0, 1_000_000).map(({ node, before, after }) => `${node} ${before} ${after}`).sort();
  state.clearOutbox();
  return found;
}

type Change = readonly [TableSchema, ChangeSpec | 't'];

/** What was told to happen, as what can happen: a row that is there is updated or deleted, one that is not is inserted. */
class Tables {
  readonly #rows = new Map<TableSchema, Map<string, string[]>>(tables.map((table) => [table, new Map<string, string[]>()]));

  change({ table, id, row, what }: Told): Change {
    const rows = this.#rows.get(table) as Map<string, string[]>;
    const old = rows.get(id);
    const whole = table.key.length === 0;
    if (what === 't') {
      rows.clear();
      return [table, 't'];
    }
    if (old === undefined) {
      rows.set(id, row);
      return [table, { op: 'c', new: row }];
    }
    rows.delete(id);
    if (what === 'd') return [table, whole ? { op: 'd', old, oldKind: 'full' } : { op: 'd', old: [id, null, null, null] }];
    const moved = what === 'k' && !rows.has(row[0] as string) ? (row[0] as string) : id;
    const next = [moved, ...row.slice(1)];
    rows.set(moved, next);
    if (whole) return [table, { op: 'u', old, oldKind: 'full', new: next }];
    return [table, { op: 'u', ...(moved === id ? {} : { old: [id, null, null, null] }), new: next }];
  }
}

interface Told {
  readonly table: TableSchema;
  readonly id: string;
  readonly row: string[];
  readonly what: 'u' | 'd' | 'k' | 't';
}

const ids = fc.integer({ min: 0, max: 7 }).map(String);
const told: fc.Arbitrary<Told> = fc.record({
  table: fc.constantFrom(...tables),
  id: ids,
  row: fc.tuple(fc.integer({ min: 0, max: 9 }).map(String), fc.constantFrom('ann', 'ben', 'cid', 'dan', 'eve', 'fay'), fc.option(fc.integer({ min: 0, max: 4 }).map(String)), fc.integer({ min: 0, max: 30 }).map(String)),
  what: fc.oneof({ weight: 6, arbitrary: fc.constant('u' as const) }, { weight: 3, arbitrary: fc.constant('d' as const) }, { weight: 2, arbitrary: fc.constant('k' as const) }, { weight: 1, arbitrary: fc.constant('t' as const) }),
});

test('a stream in several shards publishes in every step what one worker publishes, whatever it computes and wherever its rows go', () => {
  let spread = 0;
  fc.assert(
    fc.property(fc.uniqueArray(fc.constantFrom(...Object.keys(plans)), { minLength: 1, maxLength: 4 }), fc.integer({ min: 1, max: 5 }), fc.array(fc.array(told, { maxLength: 8 }), { maxLength: 12 }), fc.nat(11), (names, shards, steps, reopenAt) => {
      const definition = stream((sources) => { for (const name of names) plans[name]?.(sources); });
      const state = new State(':memory:');
      const whole = new Engine(definition.plan, state);
      const parts = new SpreadPlan(definition, shards);
      const source = new Tables();
      for (const [i, step] of steps.entries()) {
        const changes = step.map((change) => source.change(change));
        run(whole, changes);
        assert.deepEqual(parts.step(...changes), posted(state));
        if (i === reopenAt) parts.reopen();
      }
      if (parts.states.filter((state) => state.countedAfter(0, { key: '', item: '' }, 1).length + state.entriesAfter(0, '', 1).length > 0).length > 1) spread++;
    }),
    { numRuns: 120 },
  );
  assert.ok(spread > 10, `in ${spread} runs more than one shard had rows`);
});

test('a shard keeps the rows of its keys, and no others', () => {
  const definition = stream(({ table }) => plans['group']?.({ table } as Sources));
  const parts = new SpreadPlan(definition, 4);
  parts.step(...Array.from({ length: 400 }, (_, i): Change => [orders, { op: 'c', new: [`${i}`, `p${i % 100}`, '1', '0'] }]));
  const kept = parts.states.map((state) => state.entriesAfter(0, '', 1000).length);
  assert.equal(kept.reduce((sum, n) => sum + n, 0), 400);
  for (const [index, state] of parts.states.entries()) {
    for (const { value } of state.entriesAfter(0, '', 1000)) assert.equal(shardOf(JSON.stringify({ who: (JSON.parse(value) as Order).who }), 4), index);
  }
  assert.ok(Math.min(...kept) > 50, `dealt out as ${kept.join(', ')}`);
});

test('what has a key of its own behind another key is computed behind the shards', () => {
  const { plan } = stream(({ table }) => plans['twice']?.({ table } as Sources));
  assert.deepEqual(plan.operators.map(({ kind, id }) => `${kind} ${stagesOf(plan)[id]}`), ['table rows', 'group keyed', 'group rest', 'flat-map rest', 'output rest']);
});

test('the shard of a key never changes: states are made by it', () => {
  assert.deepEqual(['{"who":"ann"}', '{}', '["$n","12"]', 'null'].map((text) => shardOf(text, 8)), [5, 1, 6, 6]);
});

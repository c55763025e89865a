import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { average, count, fold, max, min, multiply, stream, sum, top } from '../../src/stream/api.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { tableOf, type ChangeSpec } from '../contract/change-samples.ts';
import { RunningPlan, sorted, type Texts } from './engine-harness.ts';

const [int4, text, numeric] = [23, 25, 1700];
const orders = tableOf([['id', int4], ['customer', int4], ['amount', numeric], ['status', text]], [0], 'orders');
const customers = tableOf([['id', int4], ['country', text]], [0], 'customers');

interface Order {
  readonly id: number;
  readonly customer: number;
  readonly amount: string;
  readonly status: string;
}

interface Customer {
  readonly id: number;
  readonly country: string;
}

const shop = stream(({ table }) => {
  const order = table<Order>('public.orders');
  const customer = table<Customer>('public.customers');
  order
    .groupBy(({ status }) => ({ status }))
    .aggregate({ orders: count(), revenue: sum((row: Order) => row.amount), least: min((row: Order) => row.amount, { numeric: true }), most: max((row: Order) => row.id), mean: average((row: Order) => row.amount, 2) })
    .to('by_status', { key: ['status'], columns: { status: 'text', orders: 'int8', revenue: 'numeric', least: 'numeric', most: 'int4', mean: 'numeric' } });
  order
    .filter(({ status }) => status !== 'void')
    .join(customer, { left: ({ customer }) => customer, right: ({ id }) => id, combine: (o, c) => ({ ...o, country: c.country }) })
    .groupBy(({ country }) => ({ country }))
    .aggregate({ orders: count(), revenue: sum((row: Order) => row.amount) })
    .to('by_country', { key: ['country'], columns: { country: 'text', orders: 'int8', revenue: 'numeric' } });
  order
    .leftJoin(customer, { left: ({ customer }) => customer, right: ({ id }) => id, combine: (o, c) => ({ id: o.id, country: c?.country ?? null, twice: multiply(o.amount, 2) }) })
    .to('with_country', { key: ['id'], columns: { id: 'int4', country: 'text', twice: 'numeric' } });
  order
    .groupBy(({ customer }) => ({ customer }))
    .aggregate({ best: top(2, { by: (row: Order) => row.amount, numeric: true, item: (row: Order) => row.id }) })
    .flatMap(({ customer, best }) => best.map((id, i) => ({ customer, rank: i + 1, id })))
    .to('best', { key: ['customer', 'rank'], columns: { customer: 'int4', rank: 'int4', id: 'int4' } });
});

/** What the outputs have to be, computed from the rows as they are. */
function expected(orderRows: readonly Order[], customerRows: readonly Customer[]): Record<string, Texts[]> {
  const cents = (row: Order): number => Math.round(Number(row.amount) * 100);
  const money = (value: number): string => `${value < 0 ? '-' : ''}${Math.floor(Math.abs(value) / 100)}.${String(Math.abs(value) % 100).padStart(2, '0')}`;
  const total = (rows: readonly Order[]): number => rows.reduce((all, row) => all + cents(row), 0);
  const round = (value: number): number => Math.sign(value) * Math.round(Math.abs(value));
  const country = new Map(customerRows.map((row) => [row.id, row.country]));
  const groups = (of: (row: Order) => string | number, rows = orderRows): [string, Order[]][] => [...Map.groupBy(rows, of)].map(([key, members]) => [String(key), members]);
  return {
    by_status: groups((row) => row.status).map(([status, rows]) => [
      status, String(rows.length), money(total(rows)), money(Math.min(...rows.map(cents))), String(Math.max(...rows.map((row) => row.id))), money(round(total(rows) / rows.length)),
    ]),
    by_country: groups((row) => country.get(row.customer) ?? '', orderRows.filter((row) => row.status !== 'void' && country.has(row.customer)))
      .map(([name, rows]) => [name, String(rows.length), money(total(rows))]),
    with_country: orderRows.map((row) => [String(row.id), country.get(row.customer) ?? null, money(cents(row) * 2)]),
    best: groups((row) => row.customer).flatMap(([customer, rows]) =>
      rows.toSorted((a, b) => cents(b) - cents(a) || (String(a.id) < String(b.id) ? -1 : 1)).slice(0, 2).map((row, i) => [customer, String(i + 1), String(row.id)])),
  };
}

type Act = { readonly kind: 'order'; readonly row: Order; readonly from: number | null } | { readonly kind: 'customer'; readonly row: Customer } | { readonly kind: 'delete-order' | 'delete-customer'; readonly id: number } | { readonly kind: 'truncate' };

const order: fc.Arbitrary<Order> = fc.record({
  id: fc.integer({ min: 1, max: 6 }), customer: fc.integer({ min: 1, max: 3 }), status: fc.constantFrom('new', 'paid', 'void'),
  amount: fc.integer({ min: -300, max: 300 }).map((cents) => (cents / 100).toFixed(2)),
});
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('order' as const), row: order, from: fc.option(fc.integer({ min: 1, max: 6 })) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('customer' as const), row: fc.record({ id: fc.integer({ min: 1, max: 3 }), country: fc.constantFrom('ch', 'at') }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('delete-order' as const, 'delete-customer' as const), id: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'truncate' as const }) },
);

/** The tables as they are, and the changes that Postgres would send of what is done to them. */
class Shop {
  readonly orders = new Map<number, Order>();
  readonly customers = new Map<number, Customer>();

  do(act: Act): [typeof orders, ChangeSpec | 't'][] {
    switch (act.kind) {
      case 'order':
        return this.#order(act.row, act.from);
      case 'customer': {
        const op = this.customers.has(act.row.id) ? 'u' : 'c';
        this.customers.set(act.row.id, act.row);
        return [[customers, { op, new: [String(act.row.id), act.row.country] }]];
      }
      case 'delete-order':
        return this.orders.delete(act.id) ? [[orders, { op: 'd', old: [String(act.id), null, null, null] }]] : [];
      case 'delete-customer':
        return this.customers.delete(act.id) ? [[customers, { op: 'd', old: [String(act.id), null] }]] : [];
      case 'truncate':
        this.orders.clear();
        return [[orders, 't']];
    }
  }

  #order(row: Order, from: number | null): [typeof orders, ChangeSpec][] {
    const texts: Texts = [String(row.id), String(row.customer), row.amount, row.status];
    if (from !== null && from !== row.id && this.orders.has(from) && !this.orders.has(row.id)) {
      // A key change; the status did not change and, say, is TOAST that is not sent.
      const before = this.orders.get(from) as Order;
      this.orders.delete(from);
      this.orders.set(row.id, { ...row, status: before.status });
      return [[orders, { op: 'u', old: [String(from), null, null, null], new: [...texts.slice(0, 3), undefined] }]];
    }
    const op = this.orders.has(row.id) ? 'u' : 'c';
    this.orders.set(row.id, row);
    return [[orders, { op, new: texts }]];
  }
}

test('after every step the outputs are what the tables give, whatever came, changed and went; so they are after a crash', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.array(act, { minLength: 1, maxLength: 4 }), fc.boolean()), { maxLength: 25 }), (steps) => {
      const plan = new RunningPlan(shop);
      const replica = new Map<string, Map<string, Texts>>();
      const tables = new Shop();
      for (const [acts, crash] of steps) {
        if (crash) plan.reopen();
        for (const { output, before, after } of plan.step(...acts.flatMap((each) => tables.do(each)))) {
          const rows = replica.get(output) ?? new Map<string, Texts>();
          if (before !== null) assert.ok(rows.delete(JSON.stringify(before)), `${output} takes back what it had not published`);
          if (after !== null) rows.set(JSON.stringify(after), after);
          replica.set(output, rows);
        }
        const wanted = expected([...tables.orders.values()], [...tables.customers.values()]);
        for (const [output, rows] of Object.entries(wanted)) {
          assert.deepEqual(sorted([...(replica.get(output)?.values() ?? [])]), sorted(rows), output);
          assert.deepEqual(sorted(plan.rows(output)), sorted(rows), output);
        }
      }
    }),
    { numRuns: 150 },
  );
});

const order1 = (amount: string): ChangeSpec => ({ op: 'c', new: ['1', '1', amount, 'paid'] });

test('a row that is sent or copied again counts once', () => {
  const plan = new RunningPlan(shop);
  plan.step([orders, order1('5.00')]);
  assert.deepEqual(plan.step([orders, { ...order1('5.00'), op: 'r' }]), []);
  const again = plan.step([orders, { ...order1('7.00'), op: 'r' }]);
  assert.deepEqual(again.find(({ output }) => output === 'by_status')?.after, ['paid', '1', '7.00', '7.00', '1', '7.00']);
});

test('a step tells each result once, however often it changed within', () => {
  const plan = new RunningPlan(shop);
  const told = plan.step([orders, order1('1.00'), { op: 'u', new: ['1', '1', '2.00', 'paid'] }, { op: 'u', new: ['1', '1', '3.00', 'paid'] }]);
  assert.deepEqual(told.filter(({ output }) => output === 'by_status'), [{ output: 'by_status', before: null, after: ['paid', '1', '3.00', '3.00', '1', '3.00'] }]);
});

test('a step that is larger than what is held in memory tells each result once all the same', () => {
  const plan = new RunningPlan(stream(({ table }) => table<Order>('public.orders').to('copy', { key: ['id'], columns: { id: 'int4', status: 'text' } })));
  const wide = (id: number, letter: string): Texts => [String(id), '1', '1', letter.repeat(700_000)];
  const ids = [1, 2, 3, 4, 5, 6, 7, 8];
  const told = plan.step([orders, ...ids.map((id): ChangeSpec => ({ op: 'c', new: wide(id, 'a') })), ...ids.map((id): ChangeSpec => ({ op: 'u', new: wide(id, 'b') }))]);
  assert.deepEqual(told.map(({ before, after }) => [before, after?.[0], after?.[1]?.[0]]), ids.map((id) => [null, String(id), 'b']));
  const empty = plan.state.db.prepare('SELECT count(*) AS n FROM counted').get();
  assert.deepEqual({ ...empty }, { n: 0 });
});

test('a state is empty again when everything has gone', () => {
  const plan = new RunningPlan(shop);
  const empty = plan.size();
  plan.step([customers, { op: 'c', new: ['1', 'ch'] }], [orders, order1('1.00'), { op: 'c', new: ['2', '1', '2.00', 'new'] }]);
  plan.step([orders, { op: 'd', old: ['1', null, null, null] }, { op: 'd', old: ['2', null, null, null] }], [customers, 't']);
  assert.equal(plan.size(), empty);
});

test('changes of a table are events: what was, what is, when; a lookup meets what the other side has then', () => {
  const plan = new RunningPlan(
    stream(({ table, changes }) => {
      changes<Order>('public.orders')
        .filter(({ op }) => op !== 'r')
        .lookup(table<Customer>('public.customers'), { left: ({ after, before }) => (after ?? before)?.customer, right: ({ id }) => id, combine: (change, customer) => ({ ...change, country: customer?.country ?? null }) })
        .map(({ op, at, before, after, country }) => ({ op, at, was: before?.amount ?? null, is: after?.amount ?? null, country }))
        .to('audit', { columns: { op: 'text', at: 'timestamptz', was: 'numeric', is: 'numeric', country: 'text' } });
    }),
  );
  const told = (...published: ReturnType<RunningPlan['step']>): (Texts | null)[] => published.map(({ after }) => after);
  assert.deepEqual(told(...plan.stepAt(0, [orders, { op: 'r', new: ['9', '1', '1', 'new'] }])), []);
  assert.deepEqual(told(...plan.stepAt(1000, [orders, order1('1.00')])), [['c', '1970-01-01 00:00:01+00', null, '1.00', null]]);
  assert.deepEqual(told(...plan.stepAt(2500, [customers, { op: 'c', new: ['1', 'ch'] }], [orders, { op: 'u', new: ['1', '1', '2.00', 'paid'] }])), [['u', '1970-01-01 00:00:02.5+00', '1.00', '2.00', 'ch']]);
  assert.deepEqual(told(...plan.stepAt(3000, [customers, { op: 'u', new: ['1', 'at'] }])), [], 'what changes later changes no event');
  assert.deepEqual(told(...plan.stepAt(4000, [orders, { op: 'd', old: ['1', null, null, null] }, 't'])), [
    ['d', '1970-01-01 00:00:04+00', '2.00', null, 'at'],
    ['t', '1970-01-01 00:00:04+00', null, null, null],
  ]);
});

test('rows without a key are counted, and equal ones told apart by their number', () => {
  const visits = { ...tableOf([['path', text]], [], 'visits'), replicaIdentity: 'full' as const };
  const plan = new RunningPlan(
    stream(({ table }) => {
      table<{ path: string }>('public.visits').groupBy(({ path }) => ({ path })).aggregate({ visits: count() }).to('visits', { key: ['path'], columns: { path: 'text', visits: 'int8' } });
    }),
  );
  plan.step([visits, { op: 'c', new: ['/'] }, { op: 'c', new: ['/'] }, { op: 'c', new: ['/a'] }]);
  plan.step([visits, { op: 'd', oldKind: 'full', old: ['/'] }]);
  assert.deepEqual(sorted(plan.rows('visits')), sorted([['/', '1'], ['/a', '1']]));
  assert.throws(() => plan.step([visits, { op: 'd', oldKind: 'full', old: ['/nowhere'] }]), (error) => error instanceof TailraceError && error.code === 'stream-inconsistent');
});

test('a function that gives something else for the same row is found out', () => {
  let calls = 0;
  const plan = new RunningPlan(
    stream(({ table }) => {
      table<Order>('public.orders').map(({ id }) => ({ id, call: calls++ })).groupBy(({ call }) => ({ call })).aggregate({ rows: count() })
        .to('calls', { key: ['call'], columns: { call: 'int4', rows: 'int8' } });
    }),
  );
  plan.step([orders, order1('1')]);
  assert.throws(() => plan.step([orders, { op: 'u', new: ['1', '1', '2', 'paid'] }]), (error) => error instanceof TailraceError && error.code === 'stream-inconsistent');
});

test('an aggregate of your own adds and takes away', () => {
  const plan = new RunningPlan(
    stream(({ table }) => {
      const statuses = fold({
        init: (): Record<string, number> => ({}),
        apply: (state, row: Order, times) => ({ ...state, [row.status]: (state[row.status] ?? 0) + times }),
        result: (state) => Object.keys(state).filter((status) => (state[status] ?? 0) > 0).sort().join(' '),
      });
      table<Order>('public.orders').groupBy(({ customer }) => ({ customer })).aggregate({ statuses }).to('statuses', { key: ['customer'], columns: { customer: 'int4', statuses: 'text' } });
    }),
  );
  plan.step([orders, order1('1'), { op: 'c', new: ['2', '1', '1', 'new'] }]);
  assert.deepEqual(plan.rows('statuses'), [['1', 'new paid']]);
  plan.step([orders, { op: 'd', old: ['1', null, null, null] }]);
  assert.deepEqual(plan.rows('statuses'), [['1', 'new']]);
});

test('two rows of one key in an output are an error that names the key', () => {
  const plan = new RunningPlan(stream(({ table }) => table<Order>('public.orders').to('clash', { key: ['customer'], columns: { customer: 'int4', id: 'int4' } })));
  assert.throws(() => plan.step([orders, order1('1'), { op: 'c', new: ['2', '1', '1', 'new'] }]), /public\.clash would have several rows of one key \(customer/);
});

test('a column that a row does not have is an error that names both; what is there without a value is NULL', () => {
  const plan = (row: (order: Order) => object): RunningPlan => new RunningPlan(stream(({ table }) => table<Order>('public.orders').map(row).to('named', { key: ['id'], columns: { id: 'int4', name: 'text' } })));
  const misspelt = plan(({ id }) => ({ id, nmae: 'x' }));
  assert.throws(() => misspelt.step([orders, order1('1')]), /a row for public\.named has no name: it has id, nmae/);
  const without = plan(({ id }) => ({ id, name: undefined }));
  without.step([orders, order1('1')]);
  assert.deepEqual(without.rows('named'), [['1', null]]);
});

test('what cannot be is refused when the module is loaded', () => {
  const of = (describe: Parameters<typeof stream>[0]): (() => unknown) => () => stream(describe);
  assert.throws(of(() => {}), /no output/);
  assert.throws(of(({ table }) => table('orders')), /schema\.table/);
  assert.throws(of(({ table }) => table<Order>('public.orders').to('x', { columns: { id: 'int4' } })), /rows that change need a key/);
  assert.throws(of(({ table }) => table<Order>('public.orders').to('x', { key: ['no'], columns: { id: 'int4' } })), /key column no/);
  assert.throws(of(({ table }) => table<Order>('public.orders').to('x', { key: ['id'], columns: { id: 'integre' } })), /"integre" of id is none of/);
  assert.throws(of(({ table }) => table<Order>('public.orders').lookup(table('public.c'), { left: () => 1, right: () => 1, combine: () => 1 })), /lookup is for events/);
});

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { TableShape } from '../../src/event/table.ts';
import { records } from '../../src/pipeline/log-state.ts';
import type { CopyAsk } from '../../src/pipeline/copy-jobs.ts';
import type { EndRecord, StartRecord } from '../../src/pipeline/control-records.ts';
import { Retention } from '../../src/pipeline/retention.ts';
import type { StreamPublisher } from '../../src/pipeline/stream-publisher.ts';
import { streamTopics, topicNames } from '../../src/pipeline/topics.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { count, stream, sum, type StreamDefinition } from '../../src/stream/api.ts';
import { shapeOf } from '../../src/stream/output-types.ts';
import { StreamSink } from '../../src/stream/stream-sink.ts';
import { insert, remove, ScriptedSource, truncate, update } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, tableOf, type RunningSink } from './harness.ts';
import { control } from './log-view.ts';

const orders = tableOf('orders', 3);

/** By customer, and an event for each change of an order. */
const sales = stream(({ table, changes }) => {
  table<{ b: string; c: string }>('public.orders').groupBy(({ b }) => ({ customer: b })).aggregate({ orders: count(), total: sum((row: { c: string }) => row.c) })
    .to('totals', { key: ['customer'], columns: { customer: 'text', orders: 'int8', total: 'numeric' } });
  changes('public.orders').map(({ op }) => ({ op })).to('ops', { columns: { op: 'text' } });
});

/** How many customers have so many orders; what was said of customers; and how often something happened to an order, of a table without a key. */
const sizes = stream(({ table, changes }) => {
  table<{ orders: bigint; total: string }>('public.totals').groupBy((row) => ({ orders: row.orders })).aggregate({ customers: count(), total: sum((row: { total: string }) => row.total) })
    .to('sizes', { key: ['orders'], columns: { orders: 'int8', customers: 'int8', total: 'numeric' } });
  changes('public.totals').map(({ op }) => ({ op })).to('told', { columns: { op: 'text' } });
  table<{ op: string }>('public.ops').groupBy(({ op }) => ({ op })).aggregate({ times: count() }).to('happened', { key: ['op'], columns: { op: 'text', times: 'int8' } });
});
const [sized, told, happened] = sizes.plan.operators.flatMap((operator) => (operator.kind === 'output' ? [shapeOf(operator.output)] : [])) as [TableShape, TableShape, TableShape];

/** Nothing but customers: where all orders are gone, nothing is said but that it begins. */
const customers = stream(({ table }) => {
  table<{ b: string }>('public.orders').groupBy(({ b }) => ({ customer: b })).aggregate({ orders: count() }).to('totals', { key: ['customer'], columns: { customer: 'text', orders: 'int8' } });
});
const ofCustomers = stream(({ changes }) => {
  changes('public.totals').map(({ op }) => ({ op })).to('told', { columns: { op: 'text' } });
});

type Name = 'sales' | 'sizes';
type Crash = 'before' | 'after' | null;

/** Two streams, the second of which reads what the first gives, and a sink of the second. */
class Chain {
  readonly source: ScriptedSource;
  readonly bench: Bench;
  readonly published = new Map<Name, StreamPublisher>();
  readonly #running = new Map<Name, RunningSink>();
  readonly #crash: Record<Name, Crash> = { sales: null, sizes: null };
  readonly #asked = new Map<string, (ask: CopyAsk) => void>();
  readonly #definitions: Record<Name, StreamDefinition>;

  private constructor(bench: Bench, source: ScriptedSource, definitions: Record<Name, StreamDefinition>) {
    this.bench = bench;
    this.source = source;
    this.#definitions = definitions;
  }

  static async open(t: TestContext, definitions: Record<Name, StreamDefinition> = { sales, sizes }): Promise<Chain> {
    const source = new ScriptedSource([orders]);
    const heard = (stream: string, ask: CopyAsk): void => chain.#asked.get(stream)?.(ask);
    const bench = await Bench.open(t, source, {
      sinks: ['sales'], streams: [{ name: 'sales', sinks: ['sizes'] }, { name: 'sizes', sinks: ['local', 'later'] }], log: { segmentSize: 1024 }, onStreamAsked: heard,
    });
    const chain = new Chain(bench, source, definitions);
    await bench.start();
    return chain;
  }

  sink(name: Name): StreamSink {
    const dies = (when: Crash): void => {
      if (this.#crash[name] !== when) return;
      this.#crash[name] = null;
      throw new Error('the process dies here');
    };
    return new StreamSink({
      name, path: join(this.bench.directory, `${name}.state.sqlite`), module: { definition: this.#definitions[name], fingerprint: 'one' },
      outputs: {
        open: async (of) => {
          const publisher = await this.bench.publisher.openStream(name, of);
          this.published.set(name, publisher);
          return { input: publisher.input, asks: publisher.asks };
        },
        onAsk: (listener) => void this.#asked.set(name, listener),
        publishCopy: async (ask, piece) => this.published.get(name)?.publishCopy(ask, piece),
        publish: async (changes, step, last) => {
          dies('before');
          await this.published.get(name)?.publish(changes, step, last);
          dies('after');
        },
        close: async () => {},
      },
    });
  }

  async run(name: Name): Promise<RunningSink> {
    const running = await this.bench.replay(name, { sink: this.sink(name), topics: name === 'sales' ? topicNames('shop') : streamTopics('shop', 'sales') });
    this.#running.set(name, running);
    return running;
  }

  async reset(name: Name): Promise<void> {
    await this.#running.get(name)?.stop();
    await this.sink(name).forget();
  }

  replica(): Promise<RunningSink> {
    return this.bench.replay('local', { topics: streamTopics('shop', 'sizes') });
  }

  /** Dies at the next step that it publishes, and is begun again. */
  async dies(name: Name, crash: Crash, cause: () => void): Promise<void> {
    this.#crash[name] = crash;
    cause();
    const error = await this.#running.get(name)?.ended();
    assert.match(String(error), /dies here/);
    await this.run(name);
  }

  /** What the source's rows come to. */
  wanted(): string {
    const groups = Map.groupBy(this.source.rows(orders.relid), (row) => row[1]);
    const bySize = Map.groupBy(groups.values(), (rows) => rows.length);
    const total = (groups: readonly (readonly unknown[])[][]): string => String(groups.flat().reduce((all, row) => all + Number(row[2]), 0));
    return JSON.stringify([...bySize].map(([size, of]) => [String(size), String(of.length), total(of as never)]).map((row) => JSON.stringify(row)).toSorted());
  }

  async isRight(replica: RunningSink): Promise<void> {
    const shown = (): string => JSON.stringify(replica.rows(sized).map((row) => JSON.stringify(row.map(String))).toSorted());
    await eventually(() => shown() === this.wanted(), { what: 'the results behind two streams', timeoutMs: 30_000 }).catch(() => assert.equal(shown(), this.wanted()));
  }

  async isInOrder(name: Name): Promise<void> {
    const ends = (await control<StartRecord | EndRecord>(await this.bench.reader(), `shop.stream.${name}.transaction`)).filter((record) => record.type === 'end');
    for (const [i, end] of ends.entries()) {
      const before = ends[i - 1];
      if (before !== undefined) assert.ok(end.epoch > before.epoch || (end.epoch === before.epoch && end.commitLsn > before.commitLsn), 'each END stands above the one before it');
    }
  }

  /** How many events a topic has. */
  async events(topic: string): Promise<number> {
    let events = 0;
    for await (const _ of records(await this.bench.reader(), topic)) events++;
    return events;
  }
}

const rowOf = (id: number, customer: number, amount: number): string[] => [String(id), `c${customer}`, String(amount)];

const change = fc.record({ id: fc.integer({ min: 1, max: 6 }), customer: fc.integer({ min: 1, max: 3 }), amount: fc.integer({ min: 1, max: 9 }), goes: fc.boolean() });
const step = fc.record({
  changes: fc.uniqueArray(change, { minLength: 1, maxLength: 3, selector: ({ id }) => id }),
  crash: fc.option(fc.record({ name: fc.constantFrom<Name>('sales', 'sizes'), when: fc.constantFrom<Crash>('before', 'after') })),
  reconnects: fc.nat(5).map((n) => n === 0),
});

test('a stream of a stream gives what its tables come to, each of their changes counted once, whatever dies and whenever', async (t) => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 10 }), async (steps) => {
    const chain = await Chain.open(t);
    const { bench, source } = chain;
    await chain.run('sales');
    await chain.run('sizes');
    const replica = await chain.replica();
    let tag = 100;
    for (const { changes, crash, reconnects } of steps) {
      const commit = (): void => {
        const there = new Map(source.rows(orders.relid).map((row) => [row[0], row]));
        const written = changes.map(({ id, customer, amount, goes }) => {
          const old = there.get(String(id));
          return old === undefined ? insert(orders, rowOf(id, customer, amount)) : goes ? remove(orders, old) : update(orders, rowOf(id, customer, amount));
        });
        // One customer's orders grow with every commit, so that each stream has something to say.
        source.commit([...written, insert(orders, [String(tag++), 'often', '1'])]);
      };
      if (crash === null) commit();
      else await chain.dies(crash.name, crash.when, commit);
      if (reconnects) {
        await bench.disconnect();
        await bench.start();
      }
    }
    await chain.isRight(replica);
    const said = await chain.events('shop.stream.sales.public.totals');
    await eventually(() => replica.rows(told).length === said, { what: `${said} events of customers` }).catch(() => assert.equal(replica.rows(told).length, said));
    const times = replica.rows(happened).reduce((all, [, n]) => all + Number(n), 0);
    assert.equal(times, await chain.events('shop.stream.sales.public.ops'));
    await chain.isInOrder('sizes');
    await bench.stop();
  }), { numRuns: 12 });
});

test('a stream whose input is begun anew, or whose tables are truncated, follows', async (t) => {
  const chain = await Chain.open(t);
  const { source } = chain;
  await chain.run('sales');
  await chain.run('sizes');
  const replica = await chain.replica();
  source.commit([insert(orders, rowOf(1, 1, 5)), insert(orders, rowOf(2, 1, 7)), insert(orders, rowOf(3, 2, 1))]);
  await chain.isRight(replica);
  await chain.reset('sales');
  source.commit([remove(orders, rowOf(1, 1, 5))]);
  await chain.run('sales');
  await chain.isRight(replica);
  source.commit([truncate(orders)]);
  await chain.isRight(replica);
  source.commit([insert(orders, rowOf(4, 1, 5))]);
  await chain.isRight(replica);
});

test('a stream that begins later reads what the other one has given, also when that was begun anew before', async (t) => {
  const chain = await Chain.open(t, { sales: customers, sizes: ofCustomers });
  const { source, bench } = chain;
  await chain.run('sales');
  source.commit([insert(orders, rowOf(1, 1, 5)), insert(orders, rowOf(2, 2, 7))]);
  await bench.settled();
  await chain.reset('sales');
  source.commit([truncate(orders)]);
  await bench.settled();
  await (await chain.run('sales')).reaches(source.lsn);
  await chain.run('sizes');
  const replica = await chain.replica();
  const ops = (of: RunningSink): string => of.rows(told).map(([op]) => op).join(' ');
  // The last that there is to read is the truncate with which the input began anew, at a place as low as that at which the outputs began.
  await eventually(() => ops(replica).endsWith('t'), { what: 'the truncate' });
  await chain.isInOrder('sizes');
  source.commit([insert(orders, rowOf(3, 1, 5))]);
  await eventually(() => ops(replica).startsWith('c'), { what: 'what came behind it' });
  const later = await bench.replay('later', { topics: streamTopics('shop', 'sizes') });
  await eventually(() => ops(later) === ops(replica), { what: 'the same events' }).catch(() => assert.equal(ops(later), ops(replica)));
});

test('retention does not let go of what another stream still reads; a stream that begins later than that gets a copy', async (t) => {
  const chain = await Chain.open(t);
  const { source } = chain;
  await chain.run('sales');
  const reader = await chain.bench.reader();
  const range = (): Promise<{ readonly start: number }> => reader.range('shop.stream.sales.public.totals', 0);
  let id = 0;
  const publish = async (): Promise<void> => {
    const before = await chain.events('shop.stream.sales.public.ops');
    for (let i = 0; i < 3; i++) source.commit([insert(orders, rowOf(++id, id % 3, 1))]);
    await eventually(async () => (await reader.range('shop.stream.sales.public.ops', 0)).end >= before + 1, { what: 'something new' });
  };
  const retention = (sinks: readonly { readonly name: string; readonly hold: boolean }[]): Retention =>
    new Retention(chain.published.get('sales') as StreamPublisher, { topics: streamTopics('shop', 'sales'), retention: { size: 1 }, sinks }, silentLogger);
  const second = await chain.run('sizes');
  const replica = await chain.replica();
  await publish();
  await chain.isRight(replica);
  await second.stop();
  const held = retention([{ name: 'sizes', hold: true }]);
  for (let i = 0; i < 8; i++) {
    await publish();
    await held.enforce();
  }
  await chain.run('sizes');
  await chain.isRight(replica);
  await chain.reset('sizes');
  const free = retention([]);
  for (let i = 0; (await range()).start === 0; i++) {
    assert.ok(i < 50, 'retention lets go of nothing');
    await publish();
    await free.enforce();
  }
  await chain.run('sizes');
  await chain.isRight(replica);
  await publish();
  await chain.isRight(replica);
});

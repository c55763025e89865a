import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createCodec, type FormatConfig } from '../../src/registry.ts';
import { lsn, type Lsn } from '../../src/event/lsn.ts';
import { openEmbeddedLog } from '../../src/log/embedded/embedded-log.ts';
import { Retention } from '../../src/pipeline/retention.ts';
import { ShardFeed } from '../../src/pipeline/shard-feed.ts';
import { forgetTask, piecesShape, pieceTuple, rowsShape, StateLog } from '../../src/pipeline/state-log.ts';
import { taskTopics } from '../../src/pipeline/topics.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { armFailpoint } from '../../src/runtime/failpoint.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { LoggedState } from '../../src/stream/logged-state.ts';
import { lastingTables, State } from '../../src/stream/state.ts';
import { tempDirectory } from '../support/temp.ts';
import { seeded } from '../support/workload.ts';

process.env['NODE_ENV'] = 'test';

const codec = await createCodec({ type: 'tuple' } as FormatConfig, { pipeline: 'shop', logger: silentLogger });
const topics = taskTopics('shop', 'sales', '0');
const shapes = { pieces: piecesShape, rows: rowsShape, piece: pieceTuple };

/** One task whose state lasts in a log; its files are in folders, each as on a machine of its own. */
class Task {
  readonly #log: ReturnType<typeof openEmbeddedLog>;
  readonly #wholeAfter: number;
  readonly #machines: readonly string[];
  log: StateLog | null = null;
  state: LoggedState | null = null;

  private constructor(directory: string, machines: readonly string[], wholeAfter: number) {
    this.#log = openEmbeddedLog({ directory, segmentSize: 4096, segmentAge: 1e9 });
    this.#machines = machines;
    this.#wholeAfter = wholeAfter;
  }

  static async of(t: TestContext, wholeAfter: number): Promise<Task> {
    const made: Task[] = [];
    // In front of the folders.
    t.after(() => made[0]?.close());
    made.push(new Task(await tempDirectory(t), [await tempDirectory(t), await tempDirectory(t)], wholeAfter));
    return made[0] as Task;
  }

  async open(machine: number): Promise<LoggedState> {
    this.log = await StateLog.open({ log: this.#log, pipeline: 'shop', topics, name: 'sales.0', codec, shapes: [piecesShape, rowsShape], wholeAfter: this.#wholeAfter });
    this.state = await LoggedState.open({ path: join(this.#machines[machine] as string, 'state.sqlite'), log: this.log, shapes });
    return this.state;
  }

  async close(): Promise<void> {
    await this.state?.close();
    this.state = null;
  }

  /** As `streams reset` does. */
  async forget(): Promise<void> {
    const writer = await this.#log.openWriter();
    await forgetTask({ writer, reader: await this.#log.openReader(), pipeline: 'shop', topics, name: 'sales', codec });
    await writer.close();
  }

  feed(position: ShardFeed['position'], given: ShardFeed['known']): Promise<{ readonly feed: ShardFeed; close(): Promise<void> }> {
    return this.#log.openReader().then(async (reader) => ({ feed: await ShardFeed.open({ reader, topics, codec, position, given }), close: () => reader.close() }));
  }
}

/** All that lasts of a state, but for the mark by which the log knows it. */
function contents({ db }: State): unknown {
  return lastingTables.map((table) => db.prepare(`SELECT * FROM ${table} ${table === 'meta' ? "WHERE name <> 'log'" : ''} ORDER BY 1, 2`).all().map((row) => ({ ...row })));
}

/** Changes of every kind, the same for the same seed. */
function change(state: State, random: () => number): void {
  const pick = (n: number): number => Math.floor(random() * n);
  for (let i = pick(20); i >= 0; i--) {
    const key = `k${pick(30)}`;
    switch (pick(7)) {
      case 0: state.setEntry(1, key, null); break;
      case 1: state.setEntry(1, key, `${random()}`.repeat(1 + pick(40))); break;
      case 2: state.addEntry(2, key, 'there'); break;
      case 3: state.count(3, { key, item: `i${pick(3)}` }, pick(5) - 2); break;
      case 4: state.order(4, { key, ord: Uint8Array.of(pick(4), pick(4)), item: 'x' }, pick(3)); break;
      case 5: state.dropOrdered(4, key); break;
      default: state.post(5, null, key); if (pick(4) === 0) state.clearOutbox();
    }
  }
}

test('a state is what its steps have made of it, wherever it is opened next, and wherever a step was cut off', async (t) => {
  const seed = Number(process.env['TAILRACE_SEED'] ?? Math.floor(Math.random() * 1e6));
  t.diagnostic(`TAILRACE_SEED=${seed}`);
  const random = seeded(seed);
  const task = await Task.of(t, 20_000);
  const model = new State(':memory:');
  let state = await task.open(0);
  let given = 0;
  let last = 0n;
  for (let step = 1; step <= 120; step++) {
    const fate = random();
    const changes = random();
    const at = step * 16;
    state.begin();
    const run = (to: State): void => {
      change(to, seeded(changes * 1e9));
      to.setMeta('position', String(at));
    };
    run(state.state);
    if (random() < 0.3) state.cut();
    state.give(`1 0/${at.toString(16)}`, { operator: 1, times: 1, item: String(step) });
    const committed = (): Promise<void> => state.commit({ place: { epoch: 1, commitLsn: BigInt(at) }, commitTime: 0n });
    const reopen = async (): Promise<void> => {
      await task.close();
      state = await task.open(random() < 0.5 ? 0 : 1);
    };
    if (fate < 0.1) {
      state.abort();
    } else if (fate < 0.2) {
      // Cut off in front of its END, or behind it and before the file has it.
      const isDurable = fate < 0.15;
      armFailpoint(isDurable ? 'stream.state_durable:throw' : 'stream.rows_given:throw');
      await assert.rejects(committed());
      armFailpoint(undefined);
      if (isDurable) {
        run(model);
        given++;
        last = BigInt(at);
      }
      await reopen();
    } else {
      await committed();
      run(model);
      given++;
      last = BigInt(at);
      await state.settle();
      if (fate < 0.4) await reopen();
    }
    assert.deepEqual(contents(state.state), contents(model), `behind step ${step}`);
  }
  // Every step that counts has given its row once.
  const reading = await task.feed(null, null);
  // A look may go no further than to the end of a segment.
  while (reading.feed.known?.commitLsn !== last) await reading.feed.look(reading.feed.known);
  const seen: string[] = [];
  for (;;) {
    const row = await reading.feed.peek({ epoch: 9, commitLsn: 0n });
    if (row === null) break;
    seen.push(row.row);
    reading.feed.take();
  }
  await reading.close();
  assert.equal(seen.length, given);
  assert.deepEqual(seen, seen.toSorted((a, b) => Number(a) - Number(b)));
});

test('what a state was is let go of once it stands whole in the log and its rows were taken; from what is left it is made anew', async (t) => {
  const task = await Task.of(t, 2000);
  let state = await task.open(0);
  const retain = async (): Promise<void> => {
    const log = task.log as StateLog;
    const { publisher } = log;
    await publisher.writer.createTopic({ topic: topics.sink('results'), partitions: 1 });
    const retained = { reader: publisher.reader, writer: publisher.writer, isOnlyWriter: true, start: log, exclusively: publisher.exclusively.bind(publisher) };
    await new Retention(retained, { topics, retention: { age: -1000 }, sinks: [] }, silentLogger).enforce();
  };
  const range = (): { readonly start: number; readonly end: number } => (task.log as StateLog).publisher.writer.range(topics.transaction, 0);
  for (let step = 1; step <= 60; step++) {
    state.begin();
    state.state.setMeta('position', 'x'.repeat(5000) + step);
    state.state.setEntry(1, `k${step % 7}`, String(step));
    await state.commit({ place: { epoch: 1, commitLsn: BigInt(step) + 16n }, commitTime: 0n });
    if (step % 10 === 0) (task.log as StateLog).publisher.writer.roll?.(topics.transaction, 0);
    await state.settle();
    await retain();
  }
  assert.ok(range().start > 10, `${range().start} of ${range().end} were let go of`);
  const before = contents(state.state);
  await task.close();
  state = await task.open(1);
  assert.deepEqual(contents(state.state), before);
  // Who has not had the rows that went cannot begin behind them.
  const reading = await task.feed(null, null);
  await assert.rejects(reading.feed.look(null), (error) => error instanceof TailraceError && error.code === 'gap' && /what a shard gave at first is gone/.test(error.message));
  await reading.close();
});

test('a state that was given up begins anew, however often it is taken up before its first step; who read on without that is told', async (t) => {
  const task = await Task.of(t, 1e9);
  const step = async (state: LoggedState, at: string): Promise<void> => {
    state.begin();
    state.state.setMeta('position', at);
    state.give(`1 ${at}`, { operator: 1, times: 1, item: at });
    await state.commit({ place: { epoch: 1, commitLsn: lsn(at) }, commitTime: 0n });
  };
  const state = await task.open(0);
  await step(state, '0/10');
  const before = await task.feed(null, null);
  await before.feed.look(null);
  assert.equal((await before.feed.peek({ epoch: 1, commitLsn: lsn('0/10') }))?.row, '0/10');
  await task.close();
  await task.forget();
  for (let life = 0; life < 2; life++) {
    await task.open(0);
    await task.close();
  }
  const anew = await task.open(0);
  assert.equal(anew.state.meta('position'), null);
  await step(anew, '0/20');
  await assert.rejects(before.feed.look({ epoch: 1, commitLsn: lsn('0/10') }), (error) => error instanceof TailraceError && error.code === 'gap' && /a shard was begun anew/.test(error.message));
  await before.close();
  const behind = await task.feed(null, null);
  await behind.feed.look(null);
  assert.equal((await behind.feed.peek({ epoch: 1, commitLsn: lsn('0/20') }))?.row, '0/20');
  await behind.close();
});

test('rows of a step that are beyond the place that all shards have reached wait, also over a restart', async (t) => {
  const task = await Task.of(t, 1e9);
  const state = await task.open(0);
  state.begin();
  for (const at of ['0/10', '0/20', '0/20', '0/30']) state.give(`1 ${at}`, { operator: 1, times: 1, item: at });
  state.state.setMeta('position', 'here');
  await state.commit({ place: { epoch: 1, commitLsn: lsn('0/40') }, commitTime: 7n });
  const at = (text: string): { epoch: number; commitLsn: Lsn } => ({ epoch: 1, commitLsn: lsn(text) });
  const take = async (feed: ShardFeed, to: string): Promise<string[]> => {
    const rows: string[] = [];
    for (let row = await feed.peek(at(to)); row !== null; row = await feed.peek(at(to))) {
      rows.push(row.row);
      feed.take();
    }
    return rows;
  };
  const first = await task.feed(null, null);
  await first.feed.look(null);
  assert.deepEqual(first.feed.known, at('0/40'));
  assert.deepEqual(await take(first.feed, '0/25'), ['0/10', '0/20', '0/20']);
  assert.equal(first.feed.position, null, 'the step is not given whole');
  await first.close();
  const second = await task.feed(null, at('0/25'));
  await second.feed.look(at('0/25'));
  assert.deepEqual(await take(second.feed, '0/2F'), []);
  assert.deepEqual(await take(second.feed, '0/40'), ['0/30']);
  assert.equal(second.feed.position?.commitLsn, lsn('0/40'));
  await second.close();
});

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { watermarkPrefix } from '../../src/source/source.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { insert, ScriptedSource, type Written } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, tableOf } from './harness.ts';
import { ends, events, transactions } from './log-view.ts';

const items = tableOf('items', 2);
const orders = tableOf('orders', 2);

/** Lets everything happen that waits for nothing but its turn: the log's writes included. */
async function turns(bench: Bench): Promise<void> {
  // Behind whatever was handed to the log before.
  for (let i = 0; i < 5; i++) await bench.publisher.exclusively(async () => new Promise((resolve) => setImmediate(resolve)));
}

test('acknowledging: an END is acknowledged once it is durable, at its end LSN and not a byte further', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const begin = source.lsn;
  const gate = Promise.withResolvers<void>();
  bench.log.before = () => gate.promise;
  const [one, two] = [source.commit([insert(items, ['1', 'a'])]), source.commit([insert(items, ['2', 'b'])])];
  await eventually(() => bench.publisher.session?.counts.transactions === 2);
  assert.deepEqual(source.acknowledged, [begin], 'both are received and neither is durable');
  gate.resolve();
  await bench.acknowledged(two.endLsn);
  assert.ok(source.acknowledged.every((position) => [begin, one.endLsn, two.endLsn].includes(position)));
});

test('acknowledging: what the log refused is not acknowledged, whether it was written or not, and comes again', async (t) => {
  for (const moment of ['before', 'after'] as const) {
    const source = new ScriptedSource([items]);
    const bench = await Bench.open(t, source);
    await bench.start();
    const begin = source.lsn;
    bench.log[moment] = () => {
      throw new TailraceError('log-unwritable', 'scripted');
    };
    const one = source.commit([insert(items, ['1', 'a'])]);
    const failure = await bench.ended();
    assert.ok(failure instanceof TailraceError && failure.code === 'log-unwritable');
    assert.deepEqual(source.acknowledged, [begin]);
    await bench.stop();
    bench.log[moment] = () => {};
    await bench.start();
    await bench.acknowledged(one.endLsn);
    const named = (await ends(await bench.reader())).filter(({ parts }) => parts.length > 0);
    assert.deepEqual(named.map(({ commitLsn }) => commitLsn), [one.commitLsn], moment);
    await bench.stop();
  }
});

test('acknowledging: nothing while a transaction is open, whatever a keepalive says in its middle', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const begin = source.lsn;
  source.pieces = 1;
  const keepalive = (() => ({ op: 'keepalive', walEnd: 0x99999n })) as unknown as Written;
  source.lostAfter = 4;
  source.commit([insert(items, ['1', 'a']), keepalive, insert(items, ['2', 'b']), insert(items, ['3', 'c'])]);
  await bench.ended();
  assert.deepEqual(source.acknowledged, [begin]);
  assert.equal((await transactions(await bench.reader())).length, 2, 'START and the first END');
});

test('acknowledging: what a keepalive says in the middle of a transaction is not taken up behind it', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const keepalive = (() => ({ op: 'keepalive', walEnd: 0x99999n })) as unknown as Written;
  const one = source.commit([insert(items, ['1', 'a']), keepalive, insert(items, ['2', 'b'])]);
  await bench.acknowledged(one.endLsn);
  await turns(bench);
  assert.equal(source.acknowledged.at(-1), one.endLsn);
});

test('acknowledging: a keepalive\'s END that is due while a transaction is open waits for its end', { timeout: 30_000 }, async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000_000_000 });
  await bench.start();
  const first = source.keepalive();
  await bench.acknowledged(first);
  source.keepalive();
  source.pieces = 1;
  source.lostAfter = 3;
  source.onDeliver = ([item]) => {
    if (item?.op === 'c' && item.ordinal === 0) t.mock.timers.setTime(1_000_000_009_000);
  };
  source.commit([insert(items, ['1', 'a']), insert(items, ['2', 'b']), insert(items, ['3', 'c'])]);
  await bench.ended();
  assert.equal(source.acknowledged.at(-1), first);
  assert.equal((await ends(await bench.reader())).at(-1)?.endLsn, first);
});

test('acknowledging: a keepalive\'s position is acknowledged only behind an END without events that names it', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const begin = source.lsn;
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  bench.log.before = () => {
    reached.resolve();
    return gate.promise;
  };
  const idle = source.keepalive();
  await reached.promise;
  assert.deepEqual(source.acknowledged, [begin]);
  gate.resolve();
  await bench.acknowledged(idle);
  assert.equal((await ends(await bench.reader())).at(-1)?.endLsn, idle);
});

test('acknowledging: a transaction without events for us counts as a keepalive', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const { message } = await import('../support/scripted-source.ts');
  const none = source.commit([message(watermarkPrefix, 'of another life')]);
  await bench.acknowledged(none.endLsn);
  const last = (await ends(await bench.reader())).at(-1);
  assert.deepEqual([last?.endLsn, last?.epoch, last?.commitLsn, last?.parts], [none.endLsn, 0, 0n, []]);
});

test('acknowledging: of many keepalives one END without events is written in some seconds', { timeout: 30_000 }, async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000_000_000 });
  await bench.start();
  const first = source.keepalive();
  await bench.acknowledged(first);
  const later = [source.keepalive(), source.keepalive(), source.keepalive()];
  await turns(bench);
  assert.equal(source.acknowledged.at(-1), first);
  t.mock.timers.setTime(1_000_000_001_000);
  source.keepalive();
  await turns(bench);
  assert.equal(source.acknowledged.at(-1), first);
  t.mock.timers.setTime(1_000_000_002_000);
  const last = source.keepalive();
  await bench.acknowledged(last);
  assert.deepEqual((await ends(await bench.reader())).slice(1).map(({ endLsn }) => endLsn), [first, last]);
  assert.equal(later.length, 3);
});

test('acknowledging: of two adjacent transactions neither is lost nor doubled by a restart between them', async (t) => {
  for (const lostAcknowledgement of [false, true]) {
    const source = new ScriptedSource([items]);
    const bench = await Bench.open(t, source, { sinks: ['local'] });
    await bench.start();
    source.deliver(1);
    const one = source.commit([insert(items, ['1', 'a'])]);
    const two = source.commit([insert(items, ['2', 'b'])], { adjacent: true });
    assert.equal(one.endLsn, two.commitLsn);
    await bench.acknowledged(one.endLsn);
    await bench.stop();
    if (lostAcknowledgement) source.server = { ...source.server, confirmedFlush: 0x1000n };
    source.deliver();
    await bench.start();
    await bench.acknowledged(two.endLsn);
    assert.deepEqual((await events(await bench.reader(), items)).map(({ commitLsn }) => commitLsn), [one.commitLsn, two.commitLsn]);
    await bench.stop();
  }
});

test('acknowledging: a stop leaves nothing to be sent again', async (t) => {
  const source = new ScriptedSource([items]);
  const bench = await Bench.open(t, source);
  await bench.start();
  const one = source.commit([insert(items, ['1', 'a'])]);
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  bench.log.before = () => {
    reached.resolve();
    return gate.promise;
  };
  await reached.promise;
  // The second is received while the first is on its way into the log.
  const two = source.commit([insert(items, ['2', 'b'])]);
  await eventually(() => bench.publisher.session?.counts.transactions === 2);
  const stopped = bench.stop();
  gate.resolve();
  assert.equal(await stopped, null);
  assert.ok(one.endLsn < two.endLsn);
  assert.equal(source.acknowledged.at(-1), two.endLsn);
});

type Step =
  | { readonly kind: 'commit'; readonly rows: number; readonly adjacent: boolean }
  | { readonly kind: 'keepalive' | 'lose' | 'restart' | 'turns' }
  | { readonly kind: 'refuse'; readonly moment: 'before' | 'after'; readonly in: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('commit' as const), rows: fc.integer({ min: 0, max: 4 }), adjacent: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('keepalive', 'turns' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('lose', 'restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('refuse' as const), moment: fc.constantFrom('before', 'after' as const), in: fc.nat({ max: 3 }) }) },
);

/** Runs the steps, starting again whatever ended, and holds each acknowledgement against what was durable at its moment. */
async function run(t: TestContext, script: { readonly steps: readonly Step[]; readonly pieces: number }): Promise<void> {
  const source = new ScriptedSource([items, orders]);
  source.pieces = script.pieces;
  const bench = await Bench.open(t, source);
  const said: { position: bigint; durable: number }[] = [];
  source.onAcknowledge = (position) => said.push({ position, durable: bench.publisher.writer.range('shop.transaction', 0).end });
  const refusal = { moment: 'before', left: -1 };
  for (const moment of ['before', 'after'] as const) {
    bench.log[moment] = () => {
      if (refusal.moment === moment && refusal.left >= 0 && refusal.left-- === 0) throw new TailraceError('log-unwritable', 'scripted');
    };
  }
  const revive = async (): Promise<void> => {
    for (;;) {
      await bench.stop();
      try {
        await bench.start();
        return;
      } catch (error) {
        assert.ok(error instanceof TailraceError && error.code !== 'gap', String(error));
      }
    }
  };
  await revive();
  let id = 0;
  for (const each of script.steps) {
    if (each.kind === 'commit') source.commit(Array.from({ length: each.rows }, () => insert(id % 3 === 0 ? orders : items, [String(id++), 'v'])), { adjacent: each.adjacent });
    else if (each.kind === 'keepalive') source.keepalive();
    else if (each.kind === 'turns') await turns(bench);
    else if (each.kind === 'refuse') Object.assign(refusal, { moment: each.moment, left: each.in });
    else {
      if (each.kind === 'lose') source.lose();
      await revive();
    }
  }
  refusal.left = -1;
  source.lostAfter = null;
  await revive();
  const last = source.commit([insert(items, ['last', 'v'])]);
  await bench.acknowledged(last.endLsn);
  const reader = await bench.reader();
  const written = await ends(reader);
  const allStarts = (await transactions(reader)).filter((record) => record.type === 'start');
  for (const { position, durable } of said) {
    const end = written.findLast(({ at, startId }) => at < durable && allStarts.findLast((start) => start.at < at)?.startId === startId);
    assert.equal(position, end?.endLsn, `acknowledged while the log ended at ${durable}`);
  }
  // And everything is there once, by whichever way it came.
  const named = written.flatMap(({ parts, commitLsn }) => (parts.length === 0 ? [] : [commitLsn]));
  assert.deepEqual(named, source.wal.filter(({ items: all }) => all.length > 2).map(({ commitLsn }) => commitLsn));
  await bench.stop();
}

test('acknowledging: however commits, keepalives, losses, refusals and restarts mix, the position is the last durable END\'s', { timeout: 120_000 }, async (t) => {
  const script = fc.record({ steps: fc.array(step, { maxLength: 25 }), pieces: fc.constantFrom(1, 2, Number.POSITIVE_INFINITY) });
  await fc.assert(fc.asyncProperty(script, (given) => run(t, given)), { numRuns: 40 });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandCopies, type CopyCommand } from '../../src/pipeline/copy-commands.ts';
import { CopyOrders } from '../../src/pipeline/copy-orders.ts';
import type { CopyState } from '../../src/pipeline/status.ts';
import { isWalShort } from '../../src/pipeline/wal-budget.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import type { SourceHealth } from '../../src/source/source.ts';
import { insert, remove, update } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { copied, items, plain, row, same, world, type World } from './copy-world.ts';
import { events } from './log-view.ts';

type Command = Partial<CopyCommand> & { readonly action: CopyCommand['action'] };
const command = ({ bench }: World, of: Command): Promise<readonly string[]> => commandCopies(bench.publisher, 'shop', { tables: null, where: null, ...of });
const state = ({ bench }: World, table = 'public.items'): CopyState | undefined => bench.publisher.session?.progress.find((copy) => copy.table === table)?.state;
const ops = async (it: World): Promise<string> => (await events(await it.bench.reader(), items)).map(({ op }) => op).join('');

test('commands: a copy that was ordered outlives the daemon, from before its first row on', async (t) => {
  const it = await world(t, [1, 2]);
  const sink = await it.run();
  it.source.commit([remove(items, row(1))], { unsent: true });
  // The stream stands still: nothing of the copy gets into the log.
  it.source.deliver(it.source.wal.length);
  await command(it, { action: 'copy', tables: 'public.items' });
  await it.bench.disconnect();
  it.source.deliver();
  await it.bench.start();
  await copied(it.bench);
  await sink.reaches(it.source.lsn);
  same(sink, it.source);
  await it.bench.disconnect();
  await it.bench.start();
  assert.deepEqual(it.bench.publisher.session?.progress, [], 'and it is done once');
  assert.equal(await ops(it), 'rrtr');
});

test('commands: a copy of some rows reads those, over what the replica has, and changes nothing for the others', async (t) => {
  const it = await world(t, [1, 2, 3], { chunkRows: 1 });
  const sink = await it.run();
  it.source.commit([update(items, ['1', 'EU', 'fresh 1']), update(items, ['2', 'EU', 'fresh 2'])], { unsent: true });
  it.source.deliver(it.source.wal.length + 3);
  await command(it, { action: 'copy', tables: 'public.items', where: 'EU' });
  await eventually(() => it.source.chunks.at(-1)?.where === 'EU');
  // It goes on after a restart, as it was ordered.
  await it.bench.disconnect();
  it.source.deliver();
  await it.bench.start();
  assert.equal(it.bench.publisher.session?.progress[0]?.where, 'EU');
  await copied(it.bench);
  it.source.commit([update(items, ['3', 'touched', undefined])]);
  await sink.reaches(it.source.lsn);
  same(sink, it.source);
  assert.doesNotMatch(await ops(it), /t/, 'nothing is emptied');
  await it.bench.disconnect();
  await it.bench.start();
  assert.deepEqual(it.bench.publisher.session?.progress, []);
});

test('commands: some rows of a table without a key would be there twice, and are refused; so is what is not captured', async (t) => {
  const it = await world(t, [1]);
  await it.run();
  await assert.rejects(command(it, { action: 'copy', tables: 'public.plain', where: 'x' }), { code: 'command-refused', message: /has no key/ });
  await assert.rejects(command(it, { action: 'copy', tables: 'public.nothing' }), { code: 'command-refused', message: /captures no table public\.nothing/ });
  await assert.rejects(command(it, { action: 'stop' }), { code: 'command-refused', message: /no table is being copied/ });
});

test('commands: what is paused stays so over a restart, and goes on where it was', async (t) => {
  const it = await world(t, [1, 2, 3, 4], { chunkRows: 2 });
  const paused = Promise.withResolvers<void>();
  it.during('read', 1, async () => {
    await command(it, { action: 'pause' });
    paused.resolve();
  });
  await it.bench.start();
  await paused.promise;
  await eventually(() => state(it) === 'paused');
  await it.bench.disconnect();
  const read = it.source.chunks.length;
  await it.bench.start();
  const { endLsn } = it.source.commit([insert(items, row(9))]);
  await it.bench.acknowledged(endLsn);
  assert.equal(state(it), 'paused', 'changes go on, the copy does not');
  assert.equal(it.source.chunks.length, read);
  await assert.rejects(command(it, { action: 'resume', tables: 'public.items' }), { code: 'command-refused', message: /all copies are paused/ });
  await command(it, { action: 'resume' });
  const sink = await it.bench.replay('local');
  await copied(it.bench);
  await sink.reaches(it.source.lsn);
  same(sink, it.source);
  assert.ok(it.source.chunks.slice(read).every(({ after }) => after !== null), 'what was read before is not read again');
});

test('commands: a copy that is stopped is given up, until somebody orders one', async (t) => {
  const it = await world(t, [1, 2, 3, 4], { chunkRows: 2 });
  it.during('read', 1, async () => void (await command(it, { action: 'stop', tables: 'public.items' })));
  await it.bench.start();
  await eventually(() => state(it) === 'stopped');
  await eventually(() => state(it, 'public.plain') === 'done', { what: 'the other table' });
  await it.bench.disconnect();
  const read = it.source.chunks.length;
  await it.bench.start();
  assert.equal(state(it), 'stopped');
  const { endLsn } = it.source.commit([insert(items, row(9))]);
  await it.bench.acknowledged(endLsn);
  assert.equal(it.source.chunks.length, read);
  await command(it, { action: 'copy', tables: 'public.*' });
  const sink = await it.bench.replay('local');
  await copied(it.bench);
  await sink.reaches(it.source.lsn);
  same(sink, it.source);
});

test('commands: what orders come to, all in all', () => {
  const orders = new CopyOrders();
  let id = 0;
  const take = (action: Parameters<CopyOrders['take']>[0]['action'], table: string | null, where: string | null = null): void => orders.take({ type: 'copy-order', id: String(++id), action, table, where });
  take('pause', 'a');
  assert.deepEqual([orders.isPaused('a'), orders.isPaused('b')], [true, false]);
  take('pause', null);
  take('resume', null);
  assert.deepEqual([orders.isPaused('a'), orders.allPaused], [false, false]);
  take('copy', 'a');
  take('copy', 'a', 'x = 1');
  take('copy', 'b', 'x = 2');
  assert.deepEqual([orders.whole('a'), orders.whole('b'), orders.someRows().map((order) => order.where)], ['4', null, ['x = 1', 'x = 2']]);
  take('stop-rows', 'b');
  assert.deepEqual([orders.isStopped('b'), orders.someRows().length], [false, 1], 'the table as a whole is not concerned');
  take('stop', 'a');
  assert.deepEqual([orders.isStopped('a'), orders.someRows()], [true, []]);
  take('copy', 'a');
  assert.deepEqual([orders.isStopped('a'), orders.whole('a')], [false, '9']);
});

const health = (safeWalSize: number | null): SourceHealth => ({ slot: 'tailrace_shop', walHeldBytes: 100, safeWalSize, walStatus: 'extended', slotActive: true, restartLsn: null, confirmedFlush: null });

test('a copy gives way where WAL at the source runs short, says so, and goes on when the stream has caught up', async (t) => {
  const it = await world(t, [1, 2, 3, 4], { chunkRows: 1 });
  const streamed = Promise.withResolvers<void>();
  it.during('read', 1, async () => {
    it.source.health = () => health(20);
    await eventually(() => /WAL at the source, of which 20 bytes are left/.test(it.bench.publisher.session?.progress[0]?.waitingFor ?? ''));
    streamed.resolve();
  });
  await it.bench.start();
  await streamed.promise;
  const read = it.source.chunks.length;
  const { endLsn } = it.source.commit([insert(items, row(9))]);
  await it.bench.acknowledged(endLsn);
  assert.equal(it.source.chunks.length, read, 'nothing is read meanwhile');
  it.source.health = () => health(60);
  const sink = await it.bench.replay('local');
  await copied(it.bench);
  await sink.reaches(it.source.lsn);
  same(sink, it.source);
});

test('a copy in one piece, which holds up the stream, gives way in the middle, and leaves nothing behind', async (t) => {
  const it = await world(t, []);
  it.source.commit(Array.from({ length: 8 }, (_, i) => insert(plain, [String(i), 'x'])), { unsent: true });
  let blocks = 0;
  it.source.onWhole = async (phase) => {
    if (phase !== 'block' || ++blocks !== 2) return;
    it.source.health = () => health(1);
    await eventually(() => /WAL/.test(it.bench.publisher.session?.progress[1]?.waitingFor ?? ''));
    assert.equal(it.bench.publisher.session?.progress[1]?.holdsPublishing, true);
  };
  await it.bench.start();
  const sink = await it.bench.replay('local');
  await eventually(() => it.bench.publisher.session?.progress[1]?.retries === 1);
  const { endLsn } = it.source.commit([insert(plain, ['streamed', 'y'])]);
  await sink.reaches(endLsn);
  assert.deepEqual(sink.rows(plain), [['streamed', 'y']], 'what was read of it is of no transaction');
  it.source.health = () => health(null);
  await copied(it.bench);
  await sink.reaches(it.source.lsn);
  same(sink, it.source);
});

test('a table that cannot be read fails alone: changes and other copies go on, and it goes on when somebody has mended it', async (t) => {
  const it = await world(t, [1, 2]);
  let refused = true;
  it.source.onChunk = (phase) => {
    if (phase === 'low' && refused) throw new TailraceError('source-refused', 'permission denied for table items', { remedy: 'GRANT it' });
  };
  it.source.onWhole = (phase) => {
    if (phase === 'taken' && refused) throw new TailraceError('source-refused', 'permission denied for table plain');
  };
  await it.bench.start();
  await eventually(() => state(it) === 'failed' && state(it, 'public.plain') === 'failed');
  assert.deepEqual(it.bench.publisher.session?.progress[0]?.error, { code: 'source-refused', message: 'permission denied for table items', remedy: 'GRANT it' });
  const { endLsn } = it.source.commit([insert(items, row(9))]);
  await it.bench.acknowledged(endLsn);
  refused = false;
  await command(it, { action: 'resume' });
  const sink = await it.bench.replay('local');
  await copied(it.bench);
  await sink.reaches(it.source.lsn);
  same(sink, it.source);
});

for (const [what, of, expected] of [
  ['without a limit', [10 ** 12, null, 'reserved'], [false, false]],
  ['with a quarter and more left', [75, 25, 'extended'], [false, true]],
  ['with less than a quarter left', [76, 24, 'extended'], [true, true]],
  ['with a third left, once it was short', [66, 34, 'extended'], [false, false]],
  ['where the next checkpoint takes it', [10, 90, 'unreserved'], [true, true]],
] as const) {
  test(`WAL for the slot ${what} is ${expected[0] ? '' : 'not '}short`, () => {
    const [walHeldBytes, safeWalSize, walStatus] = of;
    assert.deepEqual([isWalShort({ walHeldBytes, safeWalSize, walStatus }), isWalShort({ walHeldBytes, safeWalSize, walStatus }, true)], expected);
  });
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotRecord } from '../../src/pipeline/control-records.ts';
import { commandCopies } from '../../src/pipeline/copy-commands.ts';
import { windowLimit } from '../../src/pipeline/snapshot-window.ts';
import type { ChunkRequest } from '../../src/source/source.ts';
import { insert, rekey, remove, truncate, update } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { copied, items, plain, row, same, world } from './copy-world.ts';
import { ends, events, schemaRecords, starts } from './log-view.ts';
import { sorted, tableOf } from './harness.ts';

test('snapshots: a transaction that is streamed before the low watermark and visible after the chunk is read again', async (t) => {
  const it = await world(t, [1, 2, 3, 4], { chunkRows: 2 });
  let hidden = it.source.commit([], { unsent: true });
  it.during('high', 0, async () => {
    hidden = it.source.commit([insert(items, row(9)), remove(items, row(3))], { hidden: true });
  });
  it.during('read', 1, () => it.source.reveal(hidden));
  const sink = await it.run();
  assert.equal(it.source.chunks[2]?.after?.[0], '2', 'the second chunk was read twice');
  same(sink, it.source);
});

test('snapshots: a full change in the window replaces the row of the chunk, and a delete takes it out', async (t) => {
  const it = await world(t, [1, 2, 3]);
  it.during('read', 0, () => {
    it.source.commit([update(items, ['1', 'new', 'big new']), remove(items, row(2)), insert(items, row(4))]);
  });
  const sink = await it.run();
  same(sink, it.source);
  const read = (await events(await it.bench.reader(), items)).filter(({ op }) => op === 'r');
  assert.deepEqual(read.map(({ texts }) => texts[0]?.[0]), ['3']);
});

test('snapshots: a partial change in the window is laid over the row of the chunk, which is the only whole copy', async (t) => {
  const it = await world(t, [1, 2]);
  it.during('read', 0, () => {
    it.source.commit([update(items, ['1', 'new', undefined])]);
    it.source.commit([update(items, ['1', 'newer', undefined])]);
  });
  const sink = await it.run();
  assert.deepEqual(sink.rows(items), [['1', 'newer', 'big 1'], ['2', 'old', 'big 2']]);
});

test('snapshots: a partial change of the key in the window is read again, and stands in the log until it is', async (t) => {
  const it = await world(t, [1, 2]);
  it.during('read', 0, () => {
    it.source.commit([rekey(items, row(1), ['7', 'new', undefined])]);
  });
  const sink = await it.run();
  assert.deepEqual(it.source.chunks.map(({ keys }) => keys), [null, [['7']]]);
  same(sink, it.source);
});

test('snapshots: a key that moves from what is to be read into what was read is read again, between two windows too', async (t) => {
  const it = await world(t, [10, 20, 30, 40], { chunkRows: 2 });
  // Behind the high watermark of the first chunk and in front of the low one of the second.
  it.during('high', 0, () => {
    it.source.commit([rekey(items, row(40), ['15', 'moved', undefined])]);
  });
  const sink = await it.run();
  same(sink, it.source);
  assert.deepEqual(sink.rows(items).map(([key]) => key), ['10', '15', '20', '30']);
});

test('snapshots: a moved key is not forgotten by a crash right behind it', async (t) => {
  const it = await world(t, [10, 20, 30, 40], { chunkRows: 2 });
  it.during('low', 1, async () => {
    const { endLsn } = it.source.commit([rekey(items, row(40), ['15', 'moved', undefined])]);
    await it.bench.acknowledged(endLsn);
    it.source.lose();
    // The rest of this chunk is the next life's.
    it.source.deliver(it.source.wal.length);
  });
  await it.bench.start();
  await it.bench.ended();
  it.source.deliver();
  const sink = await it.run();
  same(sink, it.source);
});

test('snapshots: a key that changes again while it is read again is read once more', async (t) => {
  const it = await world(t, [1, 2]);
  it.during('read', 0, () => void it.source.commit([rekey(items, row(1), ['7', 'new', undefined])]));
  it.during('read', 1, () => {
    it.source.commit([rekey(items, row(7), ['8', 'new', undefined])]);
    it.source.commit([rekey(items, row(8), ['7', 'newer', undefined])]);
  });
  const sink = await it.run();
  same(sink, it.source);
});

test('snapshots: a copy that is complete stays so: a key that moves right behind its last chunk is not read again, nor after a restart', async (t) => {
  const it = await world(t, [1, 2]);
  it.source.together = Infinity;
  it.during('high', 0, () => void it.source.commit([rekey(items, row(1), ['7', 'new', undefined])]));
  const sink = await it.run();
  await it.bench.restart();
  await copied(it.bench);
  assert.deepEqual(it.source.chunks.map(({ keys }) => keys), [null]);
  same(sink, it.source);
});

test('snapshots: a truncate in the window makes the chunk be read again', async (t) => {
  const it = await world(t, [1, 2]);
  it.during('read', 0, () => void it.source.commit([truncate(items)]));
  same(await it.run(), it.source);
});

test('snapshots: a table that changes its shape in the window is read again', async (t) => {
  const it = await world(t, [1, 2]);
  let bent = 0;
  it.source.bend = (chunk) => (bent++ === 0 ? { ...chunk, stable: false, rows: { ...chunk.rows, count: 1 } } : chunk);
  same(await it.run(), it.source);
  assert.equal(bent, 2);
});

test('snapshots: a table that has another key than its copy began with is copied anew, because the order of the old one means nothing', async (t) => {
  const it = await world(t, [1, 2]);
  let read = 0;
  // The table has another key at the first chunk, and its old one again at the second.
  it.source.bend = (chunk) => (read++ === 0 ? { ...chunk, shape: { ...chunk.shape, key: [1] } } : chunk);
  same(await it.run(), it.source);
  assert.equal(read, 3);
});

test('snapshots: nothing is copied before the transactions that ran when the table entered have ended', async (t) => {
  const it = await world(t, [1]);
  const entered = Promise.withResolvers<void>();
  it.source.onEntered = (table, onWait) => {
    if (table !== items) return Promise.resolve();
    onWait('pid 7');
    return entered.promise;
  };
  await it.bench.start();
  await eventually(() => it.bench.publisher.session?.progress.find(({ table }) => table === 'public.items')?.waitingFor === 'pid 7');
  await eventually(() => it.bench.publisher.session?.progress.find(({ table }) => table === 'public.plain')?.state === 'done', { what: 'the other table, which waits for nobody' });
  assert.deepEqual(it.source.chunks, []);
  // An update that was never sent, of a transaction that ended last.
  it.source.commit([update(items, ['1', 'unsent', 'unsent'])], { unsent: true });
  entered.resolve();
  const sink = await it.bench.replay('local');
  await copied(it.bench);
  await sink.reaches(it.source.lsn);
  same(sink, it.source);
});

test('snapshots: a stream that ends while a table without a key is being opened is waited for by nobody', async (t) => {
  const it = await world(t, [1]);
  const ended = Promise.withResolvers<void>();
  it.source.onEstimate = async (table) => {
    const [session] = it.source.sessions;
    if (table !== plain || session === undefined) return;
    const stop = session.stop.bind(session);
    session.stop = () => (stop(), ended.resolve());
    it.source.lose();
    await ended.promise;
  };
  await it.bench.start();
  await ended.promise;
  assert.match(String(await it.bench.ended()), /the connection is lost/);
  assert.equal(it.source.sessions[0]?.isClosed, true);
});

test('snapshots: D7: a copy that is being opened while another table gets the name of its table begins no more, and takes the name from nobody', async (t) => {
  const it = await world(t, [1], { copyParallel: 2 });
  const sink = await it.run();
  const before = tableOf('again', 2);
  const after = { ...before, relid: before.relid + 1000 };
  const opening = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  it.source.onEstimate = async (table) => {
    if (table.relid !== before.relid) return;
    opening.resolve();
    await answer.promise;
  };
  it.source.commit([insert(before, ['1', 'of the one before'])], { unsent: true });
  it.source.tables.push(before);
  await opening.promise;
  it.source.tables = [...it.source.tables.filter((table) => table !== before), after];
  it.source.commit([insert(after, ['2', 'of the one that is there'])], { unsent: true });
  await eventually(() => it.bench.publisher.session?.progress.some(({ table, state }) => table === 'public.again' && state === 'done'), { what: 'the copy of the one that is there' });
  answer.resolve();
  // What the other one would begin with stands in front of the last of these.
  for (const id of ['3', '4', '5']) await sink.reaches(it.source.commit([insert(after, [id, 'streamed'])]).endLsn);
  assert.deepEqual(sink.rows(after), sorted(it.source.rows(after.relid)));
});

test('snapshots: D7: a copy of a table that is gone before it begins takes nothing away', async (t) => {
  const it = await world(t, [1, 2]);
  const sink = await it.run();
  const waits = Promise.withResolvers<void>();
  const entered = Promise.withResolvers<void>();
  it.source.onEntered = (table) => (table === items ? (waits.resolve(), entered.promise) : Promise.resolve());
  await commandCopies(it.bench.publisher, 'shop', { action: 'copy', tables: 'public.items', where: null });
  await waits.promise;
  const later = tableOf('later', 2);
  it.source.tables = [...it.source.tables.filter((table) => table !== items), later];
  await eventually(() => it.bench.publisher.session?.progress.every(({ table }) => table !== 'public.items'), { what: 'the copy to be over' });
  entered.resolve();
  for (const id of ['1', '2']) await sink.reaches(it.source.commit([insert(later, [id, 'streamed'])]).endLsn);
  assert.deepEqual(sink.rows(items).length, 2);
  assert.equal((await events(await it.bench.reader(), items)).map(({ op }) => op).join(''), 'rr');
});

test('snapshots: a copy in one piece that has given way to another by the time that it is read is not written', async (t) => {
  const it = await world(t, []);
  it.source.commit([insert(plain, ['a', 'x'])], { unsent: true });
  const sink = await it.run();
  const again = (): Promise<unknown> => commandCopies(it.bench.publisher, 'shop', { action: 'copy', tables: 'public.plain', where: null });
  let asked = false;
  it.source.onWhole = async (phase) => {
    if (phase === 'low' || asked) return;
    asked = true;
    await again();
  };
  await again();
  await eventually(() => asked, { what: 'the second order' });
  await copied(it.bench);
  await sink.reaches(it.source.lsn);
  assert.equal((await events(await it.bench.reader(), plain)).map(({ op }) => op).join(''), 'trtr');
});

test('snapshots: a table without a key has no row twice, whatever its snapshot saw and the stream brings later', async (t) => {
  const it = await world(t, []);
  it.source.commit([insert(plain, ['a', 'x']), insert(plain, ['a', 'x'])], { unsent: true });
  it.source.onWhole = (phase) => {
    // In the snapshot, and behind the watermark in the stream.
    if (phase === 'low') it.source.commit([insert(plain, ['seen', 'y']), remove(plain, ['a', 'x'])]);
    else it.source.commit([insert(plain, ['unseen', 'z'])]);
  };
  const sink = await it.run();
  same(sink, it.source);
  // And after a restart that is sent everything again.
  it.source.server = { ...it.source.server, confirmedFlush: 0x1000n };
  await it.bench.disconnect();
  it.source.commit([insert(plain, ['later', 'w'])]);
  await it.bench.start();
  await sink.reaches(it.source.lsn);
  same(sink, it.source);
});

test('snapshots: a restart in the window reads the chunk again, and only what was not read yet', async (t) => {
  const it = await world(t, [1, 2, 3, 4, 5, 6], { chunkRows: 2 });
  it.during('read', 2, () => {
    it.source.lose();
    // The rest of this chunk is the next life's.
    it.source.deliver(it.source.wal.length);
  });
  await it.bench.start();
  await it.bench.ended();
  it.source.deliver();
  const before = it.source.chunks.length;
  const sink = await it.run();
  same(sink, it.source);
  assert.ok(Number(it.source.chunks[before]?.after?.[0] ?? 0) >= 2, 'it goes on behind the last chunk that counts');
});

test('snapshots: a copy that replaces another begins with a truncate event, before any row of it and behind all changes from before', async (t) => {
  const it = await world(t, [1, 2]);
  const sink = await it.run();
  // A row that the replica has and the source has not, as after a repair by hand.
  it.source.commit([remove(items, row(1))], { unsent: true });
  assert.deepEqual(await commandCopies(it.bench.publisher, 'shop', { action: 'copy', tables: 'public.items', where: null }), ['public.items']);
  await copied(it.bench);
  await sink.reaches(it.source.lsn);
  assert.deepEqual(sink.rows(items).map(([key]) => key), ['2']);
  const ops = (await events(await it.bench.reader(), items)).map(({ op }) => op).join('');
  assert.equal(ops, 'rrtr');
});

test('snapshots: only changes of rows that the chunk has count towards what a window may hold', async (t) => {
  const it = await world(t, [1, 2], { chunkRows: 2 });
  const many = Math.ceil(windowLimit.bytes / (1 << 20)) + 1;
  it.during('low', 0, () => it.source.deliver(it.source.wal.length));
  it.during('read', 0, () => {
    for (let i = 0; i < many; i++) it.source.commit([insert(items, [String(100 + i), 'x', 'new']), update(items, [String(100 + i), 'x'.repeat(1 << 20), undefined])]);
  });
  it.during('high', 0, () => it.source.deliver());
  const sink = await it.run();
  assert.equal(it.source.chunks.filter(({ keys, after }) => keys === null && after === null).length, 1, 'it was read once');
  assert.equal(sink.rows(items).length, many + 2);
});

test('snapshots: chunks of several tables, and several of one table, are under way at once, each row once', async (t) => {
  const it = await world(t, Array.from({ length: 60 }, (_, i) => i), { copyParallel: 3, chunkRows: 4 });
  let now = 0;
  let most = 0;
  const open = new Set<ChunkRequest>();
  const held = Promise.withResolvers<void>();
  it.source.onChunk = async (phase, request) => {
    if (phase === 'low') most = Math.max(most, ++now);
    if (phase === 'low') open.add(request);
    if (now === 3) held.resolve();
    if (phase === 'low') await held.promise;
    if (phase === 'high') now--;
  };
  const sink = await it.run();
  assert.equal(most, 3);
  same(sink, it.source);
  const reader = await it.bench.reader();
  assert.equal((await events(reader, items)).filter(({ op }) => op === 'r').length, 60);
  const records = (await schemaRecords(reader)).filter((record): record is SnapshotRecord & { at: number } => record.type === 'snapshot' && record.table === 'public.items' && !record.confirmed);
  assert.deepEqual(records.at(0)?.ranges.length, 12, 'four stretches for each worker');
  assert.deepEqual([records.at(-1)?.ranges, records.at(-1)?.last, records.at(-1)?.rows], [[], true, 60]);
  assert.equal((await ends(reader)).filter(({ snapshot }) => snapshot?.table === 'public.items' && snapshot.last).length, 1, 'it is done once');
});
test('snapshots: a table that comes while changes stream is copied, and the log names it as captured', async (t) => {
  const it = await world(t, [1]);
  const sink = await it.run();
  const later = tableOf('later', 2);
  it.source.commit([insert(later, ['1', 'from before it entered'])], { unsent: true });
  it.source.tables.push(later);
  await eventually(() => it.bench.publisher.session?.progress.some(({ table, state }) => table === 'public.later' && state === 'done'), { what: 'the copy of the new table' });
  const { endLsn } = it.source.commit([insert(later, ['2', 'streamed'])]);
  await sink.reaches(endLsn);
  assert.deepEqual(sink.rows(later), [['1', 'from before it entered'], ['2', 'streamed']]);
  const named = (await starts(await it.bench.reader())).at(-1)?.tables;
  assert.deepEqual(named, ['public.items', 'public.plain', 'public.later']);
});

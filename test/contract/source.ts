import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { SourceItem } from '../../src/event/change.ts';
import type { Lsn } from '../../src/event/lsn.ts';
import { tupleTexts } from '../../src/event/tuple.ts';
import { watermarkPrefix, type Chunk, type RowBlock, type Source, type SourceSession } from '../../src/source/source.ts';
import { there } from '../support/there.ts';
import { eventually } from '../support/wait.ts';

/** A source with a table `items (id int primary key, v text)` and a table `plain (v text)` without a key; both empty at first. */
export interface SourceHarness {
  readonly source: Source;
  /** Each call is one transaction; a value of null deletes the row. */
  write(rows: readonly (readonly [id: number, value: string | null])[]): Promise<void>;
  writePlain(values: readonly string[]): Promise<void>;
  /** Two transactions, of one row each, where the second's commit follows directly upon the first's. */
  writeAdjacent(first: number, second: number): Promise<void>;
  /** What the server counts as acknowledged. */
  confirmed(): Promise<Lsn>;
  /** Adds a column to `items`. */
  alter(): Promise<void>;
}

export type MakeSource = (t: TestContext) => Promise<SourceHarness>;

/** What every source keeps to, whatever it reads from. */
export function sourceContract(name: string, make: MakeSource): void {
  const rule = (title: string, body: (harness: SourceHarness, t: TestContext) => Promise<void>): void => {
    test(`${name}: ${title}`, async (t) => body(await make(t), t));
  };

  rule('transactions come whole, in commit order', async ({ source, write }, t) => {
    const tail = await opened(source, t);
    await write([[1, 'a'], [2, 'b']]);
    await write([[1, 'c'], [2, null]]);
    await tail.until((items) => count(items, 'commit') === 2);
    assert.deepEqual(tail.items.filter((item) => item.op !== 'keepalive').map(brief), [
      'begin', 'c 0 1 a', 'c 1 2 b', 'commit', 'begin', 'u 0 1 c', 'd 1', 'commit',
    ]);
    const lsns = tail.items.flatMap((item) => (item.op === 'begin' || item.op === 'commit' ? [item.commitLsn] : []));
    assert.deepEqual([lsns[0], lsns[2]], [lsns[1], lsns[3]]);
    assert.ok((lsns[0] as Lsn) < (lsns[2] as Lsn));
  });

  rule('what was not acknowledged comes again, what was does not', async ({ source, write, confirmed }, t) => {
    const first = await opened(source, t);
    await write([[1, 'a']]);
    await write([[2, 'b']]);
    await first.until((items) => count(items, 'commit') === 2);
    const [commit] = commits(first.items);
    first.session.acknowledge(commit?.endLsn ?? 0n);
    await first.session.close();
    assert.equal(await confirmed(), commit?.endLsn);
    const second = await opened(source, t);
    assert.equal(second.session.server.confirmedFlush, commit?.endLsn);
    assert.equal(second.session.server.slotCreated, false);
    await second.until((items) => count(items, 'commit') === 1);
    assert.deepEqual(second.items.flatMap((item) => (item.op === 'c' ? [brief(item)] : [])), ['c 0 2 b']);
  });

  rule('of two transactions with adjacent commits, the second comes after the first was acknowledged', async ({ source, writeAdjacent }, t) => {
    const first = await opened(source, t);
    let [one, two] = commits([]);
    // The server may have put a record of its own between them.
    for (let pair = 1; one === undefined || one.endLsn !== two?.commitLsn; pair++) {
      assert.ok(pair <= 5, 'the commits are adjacent');
      await writeAdjacent(2 * pair - 1, 2 * pair);
      await first.until((items) => count(items, 'commit') === 2 * pair);
      [one, two] = commits(first.items).slice(-2);
    }
    first.session.acknowledge(one.endLsn);
    await first.session.close();
    const second = await opened(source, t);
    await second.until((items) => count(items, 'commit') === 1);
    assert.equal(commits(second.items)[0]?.commitLsn, two.commitLsn);
  });

  rule('nothing is acknowledged but what was given', async ({ source, write, confirmed }, t) => {
    const tail = await opened(source, t);
    const { confirmedFlush } = tail.session.server;
    await write([[1, 'a']]);
    await write([[2, 'b']]);
    await tail.until((items) => count(items, 'commit') === 2);
    assert.equal(await confirmed(), confirmedFlush);
    const [one] = commits(tail.items);
    tail.session.acknowledge(one?.endLsn ?? 0n);
    tail.session.acknowledge(confirmedFlush);
    await eventually(async () => (await confirmed()) > confirmedFlush, { what: 'the acknowledgement' });
    await tail.session.close();
    assert.equal(await confirmed(), one?.endLsn);
  });

  rule('the same object means the same shape, another shape is another object', async ({ source, write, alter }, t) => {
    const tail = await opened(source, t);
    await write([[1, 'a']]);
    await write([[2, 'b']]);
    // Without a log the source knows of no shape before: one that the catalog is past already would be told by the stream alone.
    await tail.until((items) => count(items, 'c') === 2);
    await alter();
    await write([[3, 'c']]);
    await tail.until((items) => count(items, 'c') === 3);
    const [one, two, three] = tail.items.flatMap((item) => (item.op === 'c' ? [item.table] : []));
    assert.equal(one, two);
    assert.notEqual(two, three);
    assert.equal(two?.relid, three?.relid);
    assert.equal((two?.columns.length ?? 0) + 1, three?.columns.length);
    assert.deepEqual(one?.key, [0]);
    assert.ok(tail.session.tables.some((table) => table === one), 'the table as it was at the start is the same object too');
  });

  rule('stop ends the batches behind what was read, and the rest can still be acknowledged', async ({ source, write, confirmed }, t) => {
    const tail = await opened(source, t);
    await write([[1, 'a']]);
    await tail.until((items) => count(items, 'commit') === 1);
    tail.session.stop();
    await tail.done;
    assert.equal(tail.error, null);
    const [commit] = commits(tail.items);
    tail.session.acknowledge(commit?.endLsn ?? 0n);
    await eventually(async () => (await confirmed()) === commit?.endLsn, { what: 'the acknowledgement after stop' });
  });

  rule('close ends the batches, and may be called twice', async ({ source }, t) => {
    const tail = await opened(source, t);
    await tail.session.close();
    await tail.done;
    assert.equal(tail.error, null);
    await tail.session.close();
  });

  rule('a slot has one reader', async ({ source }, t) => {
    await opened(source, t);
    await assert.rejects(source.connect({ signal: new AbortController().signal }), { code: 'slot-in-use' });
  });

  rule('connecting can be given up', async ({ source }) => {
    await assert.rejects(source.connect({ signal: AbortSignal.abort(new Error('given up')) }), { message: 'given up' });
  });

  rule('chunks follow each other in key order between two watermarks', async ({ source, write }, t) => {
    await write([[3, 'c'], [10, 'd'], [1, 'a'], [2, 'b']]);
    const tail = await opened(source, t);
    const { tables, snapshots } = tail.session;
    const table = tables.find((candidate) => candidate.name === 'items');
    assert.ok(table !== undefined);
    const { signal } = new AbortController();
    await snapshots.entered(table, { signal, onWait: () => {} });
    const seen: string[] = [];
    let after: readonly string[] | null = null;
    for (let n = 0, last = false; !last; n++) {
      const chunk: Chunk = there(await snapshots.chunk({ table, low: `${n} low`, high: `${n} high`, after, keys: null, maxRows: 3, maxBytes: 1 << 20, signal }));
      assert.equal(chunk.shape, table);
      assert.equal(chunk.stable, true);
      seen.push(texts(chunk.rows).join(' '));
      const lastRow = chunk.rows.count === 0 ? undefined : texts(chunk.rows).at(-1);
      after = lastRow === undefined ? after : [lastRow.split('=')[0] ?? ''];
      ({ last } = chunk);
    }
    assert.deepEqual(seen.filter((rows) => rows !== ''), ['1=a 2=b 3=c', '10=d']);
    await tail.until((items) => watermarks(items).includes('1 high'));
    assert.deepEqual(watermarks(tail.items).slice(0, 4), ['0 low', '0 high', '1 low', '1 high']);
  });

  rule('a chunk of keys has their rows and no others', async ({ source, write }, t) => {
    await write([[1, 'a'], [2, 'b'], [3, 'c']]);
    const { session } = await opened(source, t);
    const table = session.tables.find((candidate) => candidate.name === 'items');
    assert.ok(table !== undefined);
    const chunk = there(await session.snapshots.chunk({
      table, low: 'l', high: 'h', after: null, keys: [['3'], ['1'], ['99']], maxRows: 10, maxBytes: 1 << 20, signal: new AbortController().signal,
    }));
    assert.deepEqual(texts(chunk.rows), ['1=a', '3=c']);
  });

  rule('a chunk ends at about the bytes that were asked for, and the next goes on there', async ({ source, write }, t) => {
    await write(Array.from({ length: 200 }, (_, i) => [i + 1, 'x'.repeat(1000)] as const));
    const { session } = await opened(source, t);
    const table = session.tables.find((candidate) => candidate.name === 'items');
    assert.ok(table !== undefined);
    const read = async (after: readonly string[] | null) => there(await session.snapshots.chunk({
      table, low: 'l', high: 'h', after, keys: null, maxRows: 1000, maxBytes: 50_000, signal: new AbortController().signal,
    }));
    const first = await read(null);
    assert.equal(first.last, false);
    assert.ok(first.rows.length >= 50_000 && first.rows.length < 60_000, String(first.rows.length));
    const second = await read([String(first.rows.count)]);
    assert.equal(texts(second.rows)[0]?.split('=')[0], String(first.rows.count + 1));
  });

  rule('a table without a key is read whole, as it was at one moment', async ({ source, writePlain }, t) => {
    await writePlain(['a', 'b', 'a']);
    const { session } = await opened(source, t);
    const table = session.tables.find((candidate) => candidate.name === 'plain');
    assert.ok(table !== undefined);
    const whole = there(await session.snapshots.whole(table, new AbortController().signal));
    await writePlain(['later']);
    const seen: string[] = [];
    for await (const block of whole.blocks()) seen.push(...texts(block));
    assert.deepEqual(seen.sort(), ['a', 'a', 'b']);
    assert.ok(whole.lsn > 0n && whole.visibility.xmax > 0n);
    await whole.close();
  });
}

/** A session whose items are collected from now on. */
async function opened(source: Source, t: TestContext): Promise<Collected> {
  const collected = new Collected(await source.connect({ signal: new AbortController().signal }));
  t.after(() => collected.session.close());
  return collected;
}

class Collected {
  readonly session: SourceSession;
  readonly items: SourceItem[] = [];
  readonly done: Promise<void>;
  error: unknown = null;

  constructor(session: SourceSession) {
    this.session = session;
    this.done = this.#collect();
  }

  async until(condition: (items: readonly SourceItem[]) => boolean): Promise<void> {
    await eventually(() => {
      if (this.error !== null) throw this.error as Error;
      return condition(this.items);
    }, { what: `the items (have: ${this.items.map((item) => item.op).join(' ')})` });
  }

  async #collect(): Promise<void> {
    try {
      for await (const batch of this.session.batches()) this.items.push(...batch);
    } catch (error) {
      this.error = error;
    }
  }
}

function count(items: readonly SourceItem[], op: SourceItem['op']): number {
  return items.filter((item) => item.op === op).length;
}

function commits(items: readonly SourceItem[]): (SourceItem & { op: 'commit' })[] {
  return items.filter((item) => item.op === 'commit');
}

function watermarks(items: readonly SourceItem[]): string[] {
  return items.flatMap((item) => (item.op === 'm' && item.prefix === watermarkPrefix ? [Buffer.from(item.content).toString()] : []));
}

function brief(item: SourceItem): string {
  if (item.op === 'c' || item.op === 'u') return `${item.op} ${item.ordinal} ${tupleTexts(item.bytes, item.newAt).join(' ')}`;
  return item.op === 'd' ? `d ${item.ordinal}` : item.op;
}

function texts(rows: RowBlock): string[] {
  return Array.from({ length: rows.count }, (_, i) => tupleTexts(rows.bytes, rows.starts[i] as number).join('='));
}

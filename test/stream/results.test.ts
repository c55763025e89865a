import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { lsn } from '../../src/event/lsn.ts';
import { tupleTexts } from '../../src/event/tuple.ts';
import { count, stream } from '../../src/stream/api.ts';
import { encodeValue } from '../../src/stream/canonical.ts';
import type { InputPlace, StreamOutputs } from '../../src/stream/outputs.ts';
import { Results, type ShardRow, type ShardRows } from '../../src/stream/results.ts';
import type { StateLog, StatePiece } from '../../src/stream/state-log.ts';
import { piecesShape, pieceTuple, rowsShape } from '../../src/pipeline/state-log.ts';
import { tempDirectory } from '../support/temp.ts';
import { eventually } from '../support/wait.ts';

const at = (text: string): InputPlace => ({ epoch: 1, commitLsn: lsn(text) });

/** A shard that has given rows up to a place, in memory. */
class FakeShard implements ShardRows {
  readonly rows: ShardRow[] = [];
  #told: InputPlace | null = null;
  known: InputPlace | null = null;
  readonly commitTime = 0n;
  readonly position = null;
  #next = 0;
  #more = Promise.withResolvers<void>();

  reach(place: string, ...rows: readonly (readonly [place: string, operator: number, row: unknown, times: number])[]): void {
    for (const [where, operator, row, times] of rows) this.rows.push({ at: at(where), operator, row: encodeValue(row), times });
    this.#told = at(place);
    this.#more.resolve();
    this.#more = Promise.withResolvers<void>();
  }

  async look(): Promise<void> {
    this.known = this.#told;
  }

  peek(place: InputPlace): ShardRow | null {
    const row = this.rows[this.#next];
    return row !== undefined && row.at.commitLsn <= place.commitLsn ? row : null;
  }

  take(): void {
    this.#next++;
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (this.#told === this.known) await Promise.race([this.#more.promise, new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))]);
  }
}

test('results stand at the place that every shard has reached: a row that moves from one shard to another is never in both, or in neither', async (t) => {
  const definition = stream(({ table }) => {
    table<{ id: number; who: string }>('public.orders').groupBy(({ who }) => ({ who })).aggregate({ n: count() }).to('groups', { key: ['who'], columns: { who: 'text', n: 'int8' } });
    table<{ id: number; who: string }>('public.orders').map(({ id, who }) => ({ id, who })).to('orders', { key: ['id'], columns: { id: 'int4', who: 'text' } });
  });
  const orders = definition.plan.operators.find(({ kind }) => kind === 'flat-map')?.id ?? -1;
  const published: string[] = [];
  const outputs: StreamOutputs = {
    open: async () => ({ input: null, asks: [] }),
    onAsk: () => {},
    publish: async (changes, { place }) => void published.push(...changes.map(({ shape, before, after }) => `${place.commitLsn} ${shape.name} ${before && tupleTexts(before, 0).join()} ${after && tupleTexts(after, 0).join()}`)),
    publishCopy: async () => {},
    close: async () => {},
  };
  const log: StateLog = { last: null, isLong: false, begin: () => 'mark', publish: async () => {}, publishWhole: async () => {}, close: async () => {}, async *since(): AsyncGenerator<StatePiece> {} };
  const shards = [new FakeShard(), new FakeShard()] as const;
  const results = await Results.open({
    name: 's', definition, fingerprint: 'f', shards: 2, path: join(await tempDirectory(t), 'results.sqlite'), openLog: async () => log, shapes: { pieces: piecesShape, rows: rowsShape, piece: pieceTuple },
    outputs, openShard: async (index) => shards[index] as FakeShard, input: async () => ({ logId: 'l', systemIdentifier: 'x' }), onTaken: () => {},
  });
  const stop = new AbortController();
  const running = results.run(stop.signal);
  const reaches = (place: string): Promise<unknown> => eventually(() => results.progress.place?.commitLsn === lsn(place), { what: place });
  shards[0].reach('0/10', ['0/10', orders, { id: 1, who: 'ann' }, 1]);
  shards[1].reach('0/10');
  await reaches('0/10');
  // The row goes to the other shard at 0/20; its old one has not got there yet, and is further on when it has.
  shards[1].reach('0/28', ['0/20', orders, { id: 1, who: 'ben' }, 1], ['0/28', orders, { id: 2, who: 'ben' }, 1]);
  await eventually(() => shards[1].known?.commitLsn === lsn('0/28'), { what: 'the second shard to be looked at' });
  assert.deepEqual(published.splice(0), ['16 orders null 1,ann']);
  shards[0].reach('0/24', ['0/20', orders, { id: 1, who: 'ann' }, -1]);
  await reaches('0/24');
  assert.deepEqual(published.splice(0), ['36 orders 1,ann 1,ben']);
  shards[0].reach('0/30');
  await reaches('0/28');
  assert.deepEqual(published.splice(0), ['40 orders null 2,ben']);
  stop.abort();
  await running;
  await results.close();
});

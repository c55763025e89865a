import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { ChunkRequest } from '../../src/source/source.ts';
import { insert, ScriptedSource, type ChunkPhase } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { Bench, sorted, tableOf, type BenchOptions, type RunningSink } from './harness.ts';

/** Key, a small column, and one that is out of line: an update that leaves it alone does not bring it. */
export const items = tableOf('items', 3);
export const plain = tableOf('plain', 2, { key: [] });

export const row = (key: number, b = 'old'): readonly string[] => [String(key), b, `big ${key}`];

export interface World {
  readonly source: ScriptedSource;
  readonly bench: Bench;
  /** Begins publishing and replaying; resolves when everything is copied and at the replica. */
  run(): Promise<RunningSink>;
  /** Runs `work` once, in the chunk of this number and at this place in it. */
  during(phase: ChunkPhase, chunk: number, work: (request: ChunkRequest) => void | Promise<void>): void;
}

/** A table with these rows in it, from before the slot was made. */
export async function world(t: TestContext, keys: readonly number[], options: BenchOptions & { readonly chunkRows?: number } = {}): Promise<World> {
  const source = new ScriptedSource([items, plain]);
  source.commit(keys.map((key) => insert(items, row(key))), { unsent: true });
  source.chunkRows = options.chunkRows ?? Infinity;
  const bench = await Bench.open(t, source, { snapshot: 'initial', sinks: ['local'], ...options });
  const steps: { readonly phase: ChunkPhase; readonly chunk: number; readonly work: (request: ChunkRequest) => void | Promise<void> }[] = [];
  const ofItems = new Set<ChunkRequest>();
  source.onChunk = async (phase, request) => {
    ofItems.add(request);
    const number = [...ofItems].indexOf(request);
    for (const step of steps) if (step.phase === phase && step.chunk === number) await step.work(request);
  };
  return {
    source, bench,
    during: (phase, chunk, work) => void steps.push({ phase, chunk, work }),
    run: async () => {
      const publisher = await bench.start();
      const sink = await bench.replay('local');
      await copied(bench);
      await sink.reaches(source.lsn);
      assert.equal(publisher.session?.progress.length, 2);
      return sink;
    },
  };
}

export async function copied(bench: Bench): Promise<void> {
  await eventually(() => bench.publisher.session?.progress.every(({ state }) => state === 'done'), { what: 'the copies to be done', timeoutMs: 30_000 });
}

export function same(sink: RunningSink, source: ScriptedSource): void {
  for (const table of [items, plain]) assert.deepEqual(sink.rows(table), sorted(source.rows(table.relid)));
}

import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { insert, rekey, remove, ScriptedSource, truncate, update, type Written } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { seeded } from '../support/workload.ts';
import { Bench, sorted, tableOf } from './harness.ts';

const items = tableOf('items', 3);
type Transaction = ReturnType<ScriptedSource['commit']>;

/** An application that writes at any moment: also while its last transactions are in the WAL and not visible yet. */
class Writer {
  readonly #source: ScriptedSource;
  readonly #random: () => number;
  readonly #rows = new Map<string, readonly [string, string, string]>();
  readonly #hidden: { readonly transaction: Transaction; readonly keys: readonly string[] }[] = [];
  #value = 0;

  constructor(source: ScriptedSource, random: () => number) {
    this.#source = source;
    this.#random = random;
  }

  fill(count: number): void {
    const changes = Array.from({ length: count }, (_, i) => {
      const row = [String(i * 3), 'old', `big ${i}`] as const;
      this.#rows.set(row[0], row);
      return insert(items, row);
    });
    this.#source.commit(changes, { unsent: true });
  }

  /** Rows that a transaction has locked until it is visible can't be written by others. */
  act(): void {
    const random = this.#random;
    if (random() < 0.5) this.reveal(random() < 0.3 ? Infinity : 1);
    for (let n = Math.floor(random() * 3); n > 0; n--) {
      if (random() < 0.02 && this.#hidden.length === 0) {
        this.#rows.clear();
        this.#source.commit([truncate(items)]);
        continue;
      }
      const keys: string[] = [];
      const changes = Array.from({ length: 1 + Math.floor(random() * 3) }, () => this.#change(keys)).filter((change) => change !== null);
      const hidden = random() < 0.3;
      const transaction = this.#source.commit(changes, { hidden });
      if (hidden) this.#hidden.push({ transaction, keys });
    }
  }

  reveal(count: number): void {
    for (const { transaction } of this.#hidden.splice(0, count)) this.#source.reveal(transaction);
  }

  #change(touched: string[]): Written | null {
    const key = this.#pick(touched);
    const fresh = String(Math.floor(this.#random() * 200));
    const kind = this.#random();
    const value = `v${++this.#value}`;
    if (key === null || kind < 0.2) {
      if (this.#isLocked(fresh) || this.#rows.has(fresh)) return null;
      touched.push(fresh);
      const row = [fresh, value, `big ${value}`] as const;
      this.#rows.set(fresh, row);
      return insert(items, row);
    }
    touched.push(key);
    const old = this.#rows.get(key) as readonly [string, string, string];
    if (kind < 0.3) {
      this.#rows.delete(key);
      return remove(items, old);
    }
    const whole = this.#random() < 0.4;
    const big = whole ? `big ${value}` : old[2];
    if (kind < 0.6 && !this.#isLocked(fresh) && !this.#rows.has(fresh)) {
      touched.push(fresh);
      this.#rows.delete(key);
      this.#rows.set(fresh, [fresh, value, big]);
      return rekey(items, old, [fresh, value, whole ? big : undefined]);
    }
    this.#rows.set(key, [key, value, big]);
    return update(items, [key, value, whole ? big : undefined]);
  }

  #pick(touched: readonly string[]): string | null {
    const free = [...this.#rows.keys()].filter((key) => !this.#isLocked(key) && !touched.includes(key));
    return free[Math.floor(this.#random() * free.length)] ?? null;
  }

  #isLocked(key: string): boolean {
    return this.#hidden.some(({ keys }) => keys.includes(key));
  }

  rows(): (readonly string[])[] {
    return [...this.#rows.values()];
  }
}

test('snapshots: however writing, visibility, chunks side by side and lost connections mix, the replica becomes equal', { timeout: 120_000 }, async (t) => {
  const seed = Number(process.env['TAILRACE_SEED'] ?? 1 + (Date.now() % 100_000));
  const rounds = Number(process.env['TAILRACE_ROUNDS'] ?? 25);
  for (let round = 0; round < rounds; round++) {
    t.diagnostic(`TAILRACE_SEED=${seed + round}`);
    await oneRound(t, seeded(seed + round));
  }
});

async function oneRound(t: TestContext, random: () => number): Promise<void> {
  const source = new ScriptedSource([items]);
  const writer = new Writer(source, random);
  writer.fill(30);
  source.chunkRows = 1 + Math.floor(random() * 6);
  const bench = await Bench.open(t, source, { snapshot: 'initial', sinks: ['local'], copyParallel: 1 + Math.floor(random() * 3) });
  let losses = Math.floor(random() * 3);
  let acts = 60;
  const step = (): void => {
    if (acts-- > 0) writer.act();
    else writer.reveal(Infinity);
    if (losses > 0 && random() < 0.05) {
      losses--;
      source.lose();
    }
  };
  source.onChunk = step;
  source.onDeliver = () => void (random() < 0.2 && step());
  const life = async (): Promise<boolean> => {
    await bench.start();
    const done = eventually(() => (bench.publisher.session?.progress.every(({ state }) => state === 'done') === true ? 'done' : bench.publisher.session === null ? 'lost' : null), { timeoutMs: 20_000 });
    return (await done) === 'done';
  };
  while (!(await life())) await bench.ended();
  source.onChunk = () => {};
  source.onDeliver = () => {};
  writer.reveal(Infinity);
  await bench.disconnect();
  source.lostAfter = null;
  await bench.start();
  const last = source.commit([insert(items, ['last', 'x', 'y'])]);
  const sink = await bench.replay('local');
  await sink.reaches(last.endLsn);
  assert.deepEqual(sink.rows(items), sorted([...writer.rows(), ['last', 'x', 'y']]));
  await sink.stop();
  await bench.stop();
}

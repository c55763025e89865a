import assert from 'node:assert/strict';
import { test } from 'node:test';
import { supervise, type Health } from '../../src/pipeline/supervision.ts';
import type { ErrorCode } from '../../src/runtime/error-catalogue.ts';
import { TailraceError } from '../../src/runtime/errors.ts';

/** Lets promises settle. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function failing(errors: readonly unknown[]): { readonly runs: () => number; readonly heard: Health[]; readonly part: Parameters<typeof supervise>[0] } {
  let runs = 0;
  const heard: Health[] = [];
  const part = {
    run: async (signal: AbortSignal, healthy: () => void): Promise<void> => {
      const error = errors[runs++];
      if (error === 'works') {
        healthy();
        throw new TailraceError('source-unreachable', 'lost again');
      }
      if (error !== undefined) throw error as Error;
      healthy();
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    },
    onHealth: (health: Health): void => void heard.push(health),
  };
  return { runs: () => runs, heard, part };
}

const of = (code: ErrorCode): TailraceError => new TailraceError(code, 'scripted');

test('supervision: what passes by itself is tried again, each time after twice as long, ten seconds at most', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { part, runs, heard } = failing(Array.from({ length: 12 }, () => of('source-unreachable')));
  const stop = new AbortController();
  const done = supervise(part, stop.signal);
  await turns();
  for (const [n, delay] of [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000].entries()) {
    assert.equal(runs(), n + 1);
    t.mock.timers.tick(delay - 1);
    await turns();
    assert.equal(runs(), n + 1, `not before ${delay} ms`);
    t.mock.timers.tick(1);
    await turns();
  }
  assert.equal(runs(), 9);
  assert.ok(heard.every(({ state }) => state === 'retrying'));
  stop.abort();
  assert.equal(await done, null, 'a stop ends the pause');
});

test('supervision: once it has worked the pauses begin anew', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { part, runs, heard } = failing([of('sink-unreachable'), of('sink-unreachable'), 'works', undefined]);
  const stop = new AbortController();
  const done = supervise(part, stop.signal);
  for (const delay of [200, 400, 200]) {
    await turns();
    t.mock.timers.tick(delay);
  }
  await turns();
  assert.equal(runs(), 4);
  assert.deepEqual(heard.map(({ state }) => state), ['retrying', 'retrying', 'running', 'retrying', 'running']);
  stop.abort();
  assert.equal(await done, null);
});

test('supervision: what a person has to mend is looked at again after a second, then less and less often, with its remedy shown meanwhile', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const stop = new AbortController();
  const heard: Health[] = [];
  let runs = 0;
  let works = Promise.resolve();
  const run = async (_: AbortSignal, healthy: () => void): Promise<void> => {
    runs++;
    healthy();
    await works;
    throw of('sink-conflict');
  };
  const done = supervise({ run, onHealth: (health) => void heard.push(health) }, stop.signal);
  const passes = async (delays: readonly number[]): Promise<void> => {
    for (const delay of delays) {
      await turns();
      const before = runs;
      t.mock.timers.tick(delay - 1);
      await turns();
      assert.equal(runs, before, `not before ${delay} ms`);
      t.mock.timers.tick(1);
      await turns();
      assert.equal(runs, before + 1);
    }
  };
  await passes([1000, 2000, 4000, 8000]);
  const error = { code: 'sink-conflict', message: 'scripted', remedy: of('sink-conflict').remedy };
  assert.deepEqual(heard.slice(0, 2), [{ state: 'running' }, { state: 'retrying', error }]);
  const long = Promise.withResolvers<void>();
  works = long.promise;
  await passes([10_000]);
  t.mock.timers.tick(10_000);
  long.resolve();
  // It has worked for a while: this is another trouble.
  await passes([1000, 2000]);
  stop.abort();
  await done;
});

test('supervision: what would lose or bend data stops the part, and so does what nobody foresaw', async () => {
  for (const error of [of('gap'), of('slot-lost'), of('fenced'), new TypeError('nobody foresaw it'), 'no error at all']) {
    const { part, runs, heard } = failing([error]);
    assert.equal(await supervise(part, new AbortController().signal), error);
    assert.equal(runs(), 1);
    const code = error instanceof TailraceError ? error.code : 'internal';
    assert.deepEqual(heard.map((health) => [health.state, 'error' in health && health.error.code]), [['stopped', code]]);
  }
});

test('supervision: what fails behind a stop is not an error', async () => {
  const stop = new AbortController();
  const { part, heard } = failing([of('gap')]);
  const done = supervise({ ...part, run: (signal, healthy) => (stop.abort(), part.run(signal, healthy)) }, stop.signal);
  assert.equal(await done, null);
  assert.deepEqual(heard, []);
});

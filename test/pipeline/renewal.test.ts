import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { commandCopies } from '../../src/pipeline/copy-commands.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import type { Sink } from '../../src/sink/sink.ts';
import { insert, ScriptedSource, update } from '../support/scripted-source.ts';
import { eventually } from '../support/wait.ts';
import { copied } from './copy-world.ts';
import { Bench, sorted, tableOf, type RunningSink } from './harness.ts';

const plain = tableOf('plain', 2, { key: [] });
const other = tableOf('other', 2);

interface Renewed {
  readonly source: ScriptedSource;
  readonly bench: Bench;
}

/** A table without a key, with two rows, copied. */
async function copiedTable(t: TestContext): Promise<Renewed> {
  const source = new ScriptedSource([plain, other]);
  source.commit([insert(plain, ['1', 'a']), insert(plain, ['2', 'b'])], { unsent: true });
  const bench = await Bench.open(t, source, { snapshot: 'initial', sinks: ['local'] });
  await bench.start();
  await copied(bench);
  return { source, bench };
}

/** A row becomes another one without an event, and changes then: what it was is not at a replica. */
function rewrite(source: ScriptedSource, key: string, from: string): void {
  source.commit([update(plain, [key, 'anew'], [key, from])], { unsent: true });
  source.commit([update(plain, [key, 'later'], [key, 'anew'])]);
}

async function copyAgain(bench: Bench): Promise<void> {
  await commandCopies(bench.publisher, 'shop', { action: 'copy', tables: 'public.plain', where: null });
  await copied(bench);
}

/** Waits for the copy of the table that is the newest under this name. */
async function copyOf(bench: Bench, name: string): Promise<void> {
  await eventually(() => bench.publisher.session?.progress.some(({ table, state }) => table === `public.${name}` && state === 'done'), { what: `the copy of ${name}` });
}

/** A sink that has the first copy, has taken what `work` makes, and does not write it before it is told to: what follows comes with it or behind it. */
async function heldAtPlain({ source, bench }: Renewed, work: () => void): Promise<{ readonly sink: RunningSink; readonly release: () => void }> {
  const { sink } = bench.sqlite();
  const [taken, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let isHeld = false;
  const open: Sink['open'] = async (options) => {
    const session = await sink.open(options);
    const begin = session.begin.bind(session);
    session.begin = async (to) => {
      if (isHeld) {
        taken.resolve();
        await released.promise;
      }
      return begin(to);
    };
    return session;
  };
  const running = await bench.replay('local', { sink: { check: (tables) => sink.check(tables), forget: () => sink.forget(), openVerifier: () => sink.openVerifier(), open } });
  await running.reaches(source.lsn);
  isHeld = true;
  // Of nothing to be refused: the rest is read once this is written.
  source.commit([insert(other, ['held', 'here'])]);
  await taken.promise;
  work();
  return { sink: running, release: released.resolve };
}

/** Also that the copies so far are written down as confirmed: by them a sink knows where they begin. */
async function settled({ source, bench }: Renewed): Promise<void> {
  for (const what of ['behind them', 'behind their records']) {
    source.commit([insert(other, [what, 'x'])]);
    await bench.acknowledged(source.lsn);
  }
}

test('renewal: a row that is refused waits for the copy of its table that is the next, whatever copies lie before it in the same batch', { timeout: 60_000 }, async (t) => {
  const it = await copiedTable(t);
  const { source, bench } = it;
  rewrite(source, '1', 'a');
  // The table is known by its first copy alone, because its next one comes under another name.
  const moved = { ...plain, name: 'moved' };
  source.tables.splice(0, 1, moved);
  source.commit([insert(moved, ['3', 'c'])]);
  await copyOf(bench, 'moved');
  await settled(it);
  const sink = await bench.replay('local');
  await sink.reaches(source.lsn);
  assert.deepEqual(sink.rows(moved), sorted(source.rows(plain.relid)));
});

test('renewal: each refusal passes over what is in front of one more copy', { timeout: 60_000 }, async (t) => {
  const it = await copiedTable(t);
  const { source, bench } = it;
  const { sink, release } = await heldAtPlain(it, () => rewrite(source, '1', 'a'));
  await copyAgain(bench);
  rewrite(source, '2', 'b');
  await copyAgain(bench);
  await settled(it);
  release();
  await sink.reaches(source.lsn);
  assert.deepEqual(sink.rows(plain), sorted(source.rows(plain.relid)));
});

test('renewal: what is passed over is one table\'s: another that took its name meanwhile has its own rows, and its own copy', { timeout: 60_000 }, async (t) => {
  const it = await copiedTable(t);
  const { source, bench } = it;
  const { sink, release } = await heldAtPlain(it, () => rewrite(source, '1', 'a'));
  const moved = { ...plain, name: 'moved' };
  const successor = tableOf('plain', 2);
  const entering = Promise.withResolvers<void>();
  source.onEntered = (table) => (table.name === 'moved' ? entering.promise : Promise.resolve());
  source.tables.splice(0, 1, moved, successor);
  source.commit([insert(successor, ['1', 'copied alone'])], { unsent: true });
  // So large that what follows comes in a batch of its own.
  source.commit([insert(moved, ['3', 'c'.repeat(4 << 20)])]);
  source.commit([insert(successor, ['2', 'streamed'])]);
  await eventually(() => bench.publisher.session?.progress.some(({ table }) => table === 'public.moved'), { what: 'the copy of the moved table to be due' });
  await copyOf(bench, 'plain');
  // Only then begins the copy that makes the refused row void.
  entering.resolve();
  await copyOf(bench, 'moved');
  await settled(it);
  release();
  await sink.reaches(source.lsn);
  for (const table of [moved, successor]) assert.ok(isDeepStrictEqual(sink.rows(table), sorted(source.rows(table.relid))), table.name);
});

test('renewal: without a copy to come a refused row stops the sink, and no other copy lets it by', { timeout: 60_000 }, async (t) => {
  const it = await copiedTable(t);
  rewrite(it.source, '1', 'a');
  await commandCopies(it.bench.publisher, 'shop', { action: 'copy', tables: 'public.other', where: null });
  await copied(it.bench);
  await settled(it);
  const error = await (await it.bench.replay('local')).ended();
  assert.ok(error instanceof TailraceError && error.code === 'sink-data', String(error));
});

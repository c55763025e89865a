import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import { tempDirectory } from '../../support/temp.ts';
import { eventually } from '../../support/wait.ts';
import { appendNumbered, checkNumbered, limits, makeTopics } from './numbered.ts';

interface Appender {
  readonly process: ChildProcess;
  /** Groups acknowledged so far, counted from the log's first. */
  acked: number;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; errors: string }>;
}

/** A child that appends until it is killed; resolves once it has the log. */
async function startAppender(directory: string, options: { failpoint?: string; groups?: number } = {}): Promise<Appender> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'appender.ts'), directory, String(options.groups ?? Infinity)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_ENV: 'test', TAILRACE_FAILPOINT: options.failpoint ?? '' },
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const appender: Appender = {
    process: child,
    acked: -1,
    ended: once(child, 'close').then(([code, signal]) => ({ code: code as number | null, signal: signal as NodeJS.Signals | null, errors })),
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('open ')) appender.acked = Number(line.slice(5));
    else if (line !== 'closed') appender.acked = Number(line) + 1;
  });
  let over = false;
  void appender.ended.then(() => (over = true));
  await eventually(() => over || appender.acked >= 0, { what: 'the appender opening the log' });
  return appender;
}

/** What must hold after any death: what was acknowledged is there, and at most the group that was under way besides. */
async function checkAfterDeath(directory: string, acked: number): Promise<void> {
  const writer = await openEmbeddedLog({ directory, ...limits }).openWriter();
  const found = await checkNumbered(directory);
  assert.ok(found === acked || found === acked + 1, `${acked} groups were acknowledged, ${found} are there`);
  await appendNumbered(writer, found);
  await writer.close();
  assert.equal(await checkNumbered(directory), found + 1);
}

/** mulberry32: the same moments again for the same seed. */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

test('kill -9 at any moment loses nothing that was acknowledged and leaves no half group', async (t) => {
  const seed = Number(process.env['TAILRACE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`TAILRACE_SEED=${seed}`);
  const next = random(seed);
  const directory = join(await tempDirectory(t), 'log');
  for (let round = 0; round < Number(process.env['TAILRACE_CRASH_ROUNDS'] ?? 6); round++) {
    const appender = await startAppender(directory);
    const until = appender.acked + 1 + Math.floor(next() * 300);
    await eventually(() => appender.acked >= until, { what: `group ${until}` });
    // Between two groups as likely as within one: the child does not wait for us.
    await new Promise((resolve) => setTimeout(resolve, next() * 4));
    appender.process.kill('SIGKILL');
    await appender.ended;
    await checkAfterDeath(directory, appender.acked);
  }
});

for (const point of [
  'log.group_written_unsynced', 'log.synced_unpublished', 'log.topic_half_written', 'log.roll_mid', 'log.journal_rotated', 'log.journal_old_removed', 'log.trim_mid',
  'log.rewrite_mid', 'log.rewritten_unused', 'log.replace_journaled', 'log.replace_renamed', 'log.replace_mid', 'log.compacted_unnoted',
]) {
  test(`kill -9 at ${point} loses nothing that was acknowledged and leaves no half group`, async (t) => {
    const directory = join(await tempDirectory(t), 'log');
    // Some groups first; the next opening then has something to redo, and the point is passed before and after a rotation.
    for (const nth of [3, 1, 2]) {
      const appender = await startAppender(directory, { failpoint: `${point}:kill9:${nth}`, groups: 2000 });
      const { signal, errors } = await appender.ended;
      assert.equal(signal, 'SIGKILL', errors);
      await checkAfterDeath(directory, Math.max(appender.acked, 0));
    }
  });
}

test('a death while the log is being opened is survived by the next opening', async (t) => {
  const directory = join(await tempDirectory(t), 'log');
  const appender = await startAppender(directory);
  await eventually(() => appender.acked > 120);
  appender.process.kill('SIGKILL');
  await appender.ended;
  for (const point of ['log.redo_mid:kill9:3', 'log.redo_mid:kill9:1', 'log.journal_old_removed:kill9']) {
    const dying = await startAppender(directory, { failpoint: point });
    assert.equal((await dying.ended).signal, 'SIGKILL');
    assert.equal(dying.acked, -1, 'it died before it was open');
  }
  await checkAfterDeath(directory, appender.acked);
});

test('a death while a rewritten segment is put in its place at the opening is survived by the next opening', async (t) => {
  const directory = join(await tempDirectory(t), 'log');
  const appender = await startAppender(directory, { failpoint: 'log.replace_journaled:kill9' });
  await appender.ended;
  for (const point of ['log.replace_renamed:kill9', 'log.redo_replace:kill9']) {
    const dying = await startAppender(directory, { failpoint: point });
    assert.equal((await dying.ended).signal, 'SIGKILL');
    assert.equal(dying.acked, -1, 'it died before it was open');
  }
  await checkAfterDeath(directory, appender.acked);
});

test('a log is open in one process at a time, and free as soon as that one is killed', async (t) => {
  const directory = join(await tempDirectory(t), 'log');
  const first = await startAppender(directory);
  await assert.rejects(openEmbeddedLog({ directory }).openWriter(), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'log-locked');
    assert.ok(error.message.includes(directory));
    return true;
  });
  const second = await startAppender(directory, { groups: 1 });
  assert.match((await second.ended).errors, /log-locked/);
  await assert.doesNotReject(eventually(() => first.acked > 5));
  first.process.kill('SIGKILL');
  await first.ended;
  const writer = await openEmbeddedLog({ directory, ...limits }).openWriter();
  await assert.rejects(openEmbeddedLog({ directory }).openWriter(), { code: 'log-locked' });
  await writer.close();
});

test('of two processes that start at the same instant one gets the log', async (t) => {
  const directory = join(await tempDirectory(t), 'log');
  const both = await Promise.all([startAppender(directory), startAppender(directory)]);
  const open = both.filter(({ acked }) => acked >= 0);
  assert.equal(open.length, 1);
  open[0]?.process.kill('SIGKILL');
  await Promise.all(both.map(({ ended }) => ended));
});

test('readers in another process see whole records only, in order, while the log is written, killed and opened again', async (t) => {
  const directory = join(await tempDirectory(t), 'log');
  let appender = await startAppender(directory);
  const reader = await openEmbeddedLog({ directory }).openReader();
  let read = 0;
  const stop = new AbortController();
  const following = (async () => {
    while (!stop.signal.aborted || read < appender.acked) {
      const cursor = await reader.fetch('end', 0, read, 3000);
      while (cursor.next()) {
        const end = JSON.parse(Buffer.from(cursor.value.bytes.subarray(cursor.value.start, cursor.value.end)).toString()) as { n: number; at: [string, number, number][] };
        assert.equal(end.n, cursor.offset);
        // The events stand before their END is seen, but for what was trimmed since.
        for (const [topic, partition, base] of end.at) {
          const { start } = await reader.range(topic, partition);
          if (base < start) continue;
          const events = await reader.fetch(topic, partition, base, 1000);
          assert.ok(events.next());
          assert.ok(Buffer.from(events.value.bytes.subarray(events.value.start, events.value.end)).toString().startsWith(`${end.n}.`));
        }
      }
      if (cursor.nextOffset === read) await reader.wait('end', 0, read, stop.signal);
      read = cursor.nextOffset;
    }
  })();
  for (let round = 0; round < 3; round++) {
    const until = appender.acked + 150;
    await eventually(() => appender.acked >= until);
    appender.process.kill('SIGKILL');
    await appender.ended;
    if (round < 2) appender = await startAppender(directory);
  }
  stop.abort();
  await following;
  assert.ok(read >= appender.acked && read <= appender.acked + 1);
  await reader.close();
});

test('a reader in another thread is woken by the writer, and by one that was opened again', async (t) => {
  const directory = join(await tempDirectory(t), 'log');
  const log = openEmbeddedLog({ directory, ...limits });
  let writer = await log.openWriter();
  await makeTopics(writer);
  const worker = new Worker(new URL('./tailing-thread.ts', import.meta.url), { workerData: { directory, shared: writer.shared, until: 400 } });
  let seen = 0;
  worker.on('message', (n: number) => (seen = n));
  const done = once(worker, 'exit');
  for (let n = 0; n < 400; n++) {
    if (n % 100 === 50) {
      await writer.close();
      writer = await log.openWriter();
    }
    await appendNumbered(writer, n);
  }
  const [code] = (await done) as [number];
  assert.equal(code, 0);
  assert.equal(seen, 400);
  await writer.close();
});

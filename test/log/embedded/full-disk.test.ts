import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import type { LogWriter } from '../../../src/log/log.ts';
import { TailraceError } from '../../../src/runtime/errors.ts';
import { lastFirst } from '../../contract/log-samples.ts';
import { tempDirectory } from '../../support/temp.ts';
import { appendNumbered, checkNumbered, limits, makeTopics } from './numbered.ts';

/** A file system of `size` bytes of its own; undefined, said aloud, where this user may not mount one. */
async function smallDisk(t: TestContext, size: number): Promise<string | undefined> {
  const scope = lastFirst(t);
  const directory = await tempDirectory(scope);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', directory], { encoding: 'utf8' });
  if (mounted.status !== 0) {
    t.skip(`platform: a full disk needs the right to mount: ${mounted.error?.message ?? mounted.stderr.trim().split('\n')[0]}`);
    return undefined;
  }
  scope.after(() => spawnSync('umount', [directory]));
  return directory;
}

/** Leaves `free` bytes on the disk. */
function fill(disk: string, free: number): void {
  rmSync(join(disk, 'filler'), { force: true });
  const { bavail, bsize } = statfsSync(disk);
  writeFileSync(join(disk, 'filler'), Buffer.alloc(Math.max(bavail * bsize - free, 0)));
}

async function appendUntilFull(writer: LogWriter, from: number): Promise<number> {
  for (let n = from; ; n++) {
    try {
      await appendNumbered(writer, n);
    } catch (error) {
      assert.ok(error instanceof TailraceError);
      assert.equal(error.code, 'log-unwritable');
      assert.match(error.message, /no space/);
      return n;
    }
  }
}

test('a disk that is full, at whatever write, costs nothing that was acknowledged, and with space again the log goes on', async (t) => {
  const disk = await smallDisk(t, 2_000_000);
  if (disk === undefined) return;
  const directory = join(disk, 'log');
  const log = openEmbeddedLog({ directory, ...limits });
  let writer = await log.openWriter();
  await makeTopics(writer);
  let acked = 0;
  for (let free = 4096; free < 160_000; free += 12_288) {
    fill(disk, free);
    acked = await appendUntilFull(writer, acked);
    await assert.rejects(appendNumbered(writer, acked), { code: 'log-unwritable' });
    await writer.close();
    // Still full: either it opens, or it says why not and stays as it is.
    try {
      writer = await log.openWriter();
      await writer.close();
    } catch (error) {
      assert.ok(error instanceof TailraceError && error.code === 'log-unwritable', String(error));
    }
    rmSync(join(disk, 'filler'));
    writer = await log.openWriter();
    const found = await checkNumbered(directory);
    assert.ok(found === acked || found === acked + 1, `${acked} acknowledged, ${found} there, ${free} bytes free`);
    acked = found;
    await appendNumbered(writer, acked++);
  }
  await writer.close();
  assert.equal(await checkNumbered(directory), acked);
});

test('a new log on a full disk says so, and is made once there is space', async (t) => {
  const disk = await smallDisk(t, 200_000);
  if (disk === undefined) return;
  const directory = join(disk, 'log');
  for (const free of [0, 4096, 8192, 12_288, 16_384, 20_480]) {
    fill(disk, free);
    try {
      await (await openEmbeddedLog({ directory }).openWriter()).close();
    } catch (error) {
      assert.ok(error instanceof TailraceError && error.code === 'log-unwritable', String(error));
    }
  }
  rmSync(join(disk, 'filler'));
  const writer = await openEmbeddedLog({ directory }).openWriter();
  await makeTopics(writer);
  await appendNumbered(writer, 0);
  await writer.close();
  assert.equal(await checkNumbered(directory), 1);
});

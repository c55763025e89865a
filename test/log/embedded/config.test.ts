import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { embeddedLogConfig } from '../../../src/log/embedded/config.ts';
import { createEmbeddedLog } from '../../../src/log/embedded/index.ts';
import { openEmbeddedLog } from '../../../src/log/embedded/embedded-log.ts';
import { tempDirectory } from '../../support/temp.ts';

test('sizes and ages are written with units, and have defaults', () => {
  assert.deepEqual(embeddedLogConfig.parse({ directory: 'd' }), { directory: 'd', segment_size: 64 * 1024 * 1024, segment_age: 86_400_000 });
  assert.deepEqual(embeddedLogConfig.parse({ directory: 'd', segment_size: '1MiB', segment_age: '1h' }), { directory: 'd', segment_size: 1_048_576, segment_age: 3_600_000 });
  for (const wrong of [{}, { directory: '' }, { directory: 'd', segment_size: 5 }, { directory: 'd', segment_size: '1KiB' }, { directory: 'd', segment_age: '7 parsecs' }, { directory: 'd', other: 1 }]) {
    assert.equal(embeddedLogConfig.safeParse(wrong).success, false, JSON.stringify(wrong));
  }
});

test('a log makes its folder where it is missing, for its own user alone', async (t) => {
  const directory = join(await tempDirectory(t), 'a/b/log');
  const log = createEmbeddedLog(embeddedLogConfig.parse({ directory }));
  await assert.rejects(log.openReader(), { code: 'log-missing' });
  assert.ok(!existsSync(directory), 'a reader makes nothing');
  const writer = await log.openWriter();
  await writer.createTopic({ topic: 't', partitions: 1 });
  const batch = writer.batch('t', 0);
  batch.add({ timestamp: 1, key: { bytes: Buffer.alloc(1), start: 0, end: 1 }, value: { bytes: Buffer.alloc(1), start: 0, end: 1 }, headers: [] });
  await writer.append([batch]);
  await writer.close();
  const modeOf = (path: string): string => (statSync(join(directory, path)).mode & 0o777).toString(8);
  for (const path of ['', 'journal', 'topics', 'topics/t', 'topics/t/0']) assert.equal(modeOf(path), '700', path);
  for (const path of ['log.json', 'lock.db', 'topics/t/topic.json', 'topics/t/0/00000000000000000000.log', 'topics/t/0/00000000000000000000.index']) {
    assert.equal(modeOf(path), '600', path);
  }
});

test('a folder that cannot be used is named, with the user that cannot use it', async (t) => {
  const parent = await tempDirectory(t);
  writeFileSync(join(parent, 'file'), '');
  await assert.rejects(openEmbeddedLog({ directory: join(parent, 'file') }).openWriter(), { code: 'log-directory', message: /file/ });
  await assert.rejects(openEmbeddedLog({ directory: join(parent, 'file/log') }).openWriter(), { code: 'log-directory', message: /file\/log/ });
  const directory = join(parent, 'log');
  mkdirSync(directory);
  const uid = process.getuid?.() === 0 ? 65_534 : process.getuid?.();
  if (process.getuid?.() === 0) {
    chmodSync(parent, 0o755);
    chownSync(directory, 65_534, 65_534);
  }
  chmodSync(directory, 0o500);
  const module = new URL('../../../src/log/embedded/embedded-log.ts', import.meta.url).pathname;
  const program = `const { openEmbeddedLog } = await import(${JSON.stringify(module)});
    await openEmbeddedLog({ directory: ${JSON.stringify(directory)} }).openWriter().catch((error) => console.log(error.code, error.message));`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', ...(uid === undefined ? {} : { uid }), cwd: '/' });
  assert.match(child.stdout, new RegExp(`^log-directory .*${directory}.*user id ${uid}`), child.stderr);
});

test('a process that may open few files writes and reads many partitions', async (t) => {
  const directory = join(await tempDirectory(t), 'log');
  const module = new URL('../../../src/log/embedded/embedded-log.ts', import.meta.url).pathname;
  const program = `const { openEmbeddedLog } = await import(${JSON.stringify(module)});
    const log = openEmbeddedLog({ directory: ${JSON.stringify(directory)} });
    const writer = await log.openWriter();
    await writer.createTopic({ topic: 't', partitions: 100 });
    const value = { bytes: Buffer.alloc(5000), start: 0, end: 5000 };
    const partitions = Array.from({ length: 100 }, (_, partition) => partition);
    for (let round = 0; round < 2; round++) {
      const batches = partitions.map((partition) => writer.batch('t', partition));
      for (const batch of batches) batch.add({ timestamp: 1, key: value, value, headers: [] });
      await writer.append(batches);
    }
    const reader = await log.openReader();
    let count = 0;
    for (const partition of partitions) for (const cursor = await reader.fetch('t', partition, 0, 100_000); cursor.next(); ) count++;
    await writer.close();
    console.log(count);`;
  const child = spawnSync('sh', ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, program], { encoding: 'utf8' });
  assert.equal(child.stdout.trim(), '200', child.stderr);
});

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { logWith } from './log-fixture.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

describe('the process', () => {
  test('a pipe that nobody reads on from is no error', async () => {
    // More than a pipe takes, so that the command is still writing when `head` has gone.
    const { file, writer } = await logWith(Array.from({ length: 2000 }, (_, i) => ({ op: 'c' as const, new: [String(i), 'x'.repeat(100), null] })));
    await writer.close();
    const consume = `"${process.execPath}" "${main}" consume shop.public.items "${file}" --from-beginning`;
    const { stdout, stderr } = await promisify(execFile)('sh', ['-c', `(${consume}; echo "code $?" >&2) | head -n 1`]);
    assert.match(stdout, /^\{"topic":"shop.public.items"[^\n]*\n$/);
    assert.equal(stderr, 'code 0\n');
  });

  test('Ctrl-C ends a command with 130', async () => {
    const { file, writer, add } = await logWith([{ op: 'c', new: ['1', 'a', 'b'] }]);
    const child = spawn(process.execPath, [main, 'consume', 'shop.public.items', file, '--from-beginning', '--follow'], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    await add([]).catch(() => undefined);
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number | null];
    await writer.close();
    assert.equal(code, 130);
  });

  test('a SIGTERM that comes while the daemon is still reading its file stops it in good order, and is not lost', async () => {
    const { file, writer } = await logWith([]);
    await writer.close();
    // The signal comes in the middle of the reading, which is one go: it waits to be dispatched when the daemon begins to listen for it.
    const preload = `import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module';
      const open = fs.openSync; fs.openSync = (path, ...more) => { if (path === ${JSON.stringify(file)}) process.kill(process.pid, 'SIGTERM'); return open(path, ...more); }; syncBuiltinESMExports();`;
    const child = spawn(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(preload)}`, main, 'run', file, '--no-http'], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 20_000, killSignal: 'SIGKILL' });
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 0, out);
    assert.match(out, /"stopping; a second signal ends it at once"/);
  });

  test('an error is told without a stack, and on stderr', async () => {
    const failed = await promisify(execFile)(process.execPath, [main, 'check', 'no/such.yaml']).catch((error: unknown) => error as { code: number; stdout: string; stderr: string });
    assert.ok('code' in failed);
    assert.equal(failed.code, 2);
    assert.equal(failed.stdout, '');
    assert.doesNotMatch(failed.stderr, /^\s+at /m);
  });
});

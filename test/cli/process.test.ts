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

  test('an error is told without a stack, and on stderr', async () => {
    const failed = await promisify(execFile)(process.execPath, [main, 'check', 'no/such.yaml']).catch((error: unknown) => error as { code: number; stdout: string; stderr: string });
    assert.ok('code' in failed);
    assert.equal(failed.code, 2);
    assert.equal(failed.stdout, '');
    assert.doesNotMatch(failed.stderr, /^\s+at /m);
  });
});

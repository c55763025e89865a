import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { eventually } from '../support/wait.ts';

const module = new URL('../../src/runtime/failpoint.ts', import.meta.url).pathname;

function run(spec: string, environment = 'test'): { stdout: string; stderr: string; signal: string | null } {
  const program = `const { failpoint } = await import(${JSON.stringify(module)});
    for (let i = 1; i <= 3; i++) { failpoint('other'); console.log('at', i); failpoint('here'); }`;
  const { stdout, stderr, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { ...process.env, NODE_ENV: environment, TAILRACE_FAILPOINT: spec },
  });
  return { stdout: stdout.replaceAll('\n', ' '), stderr, signal };
}

test('the process dies where it was told to, the first time or the nth', () => {
  assert.deepEqual([run('here:kill9').stdout, run('here:kill9').signal], ['at 1 ', 'SIGKILL']);
  assert.deepEqual([run('here:kill9:3').stdout, run('here:kill9:3').signal], ['at 1 at 2 at 3 ', 'SIGKILL']);
  assert.equal(run('elsewhere:kill9').stdout, 'at 1 at 2 at 3 ');
});

test('a failpoint that throws looks like a disk that fails', () => {
  const { stdout, stderr } = run('here:throw:2');
  assert.equal(stdout, 'at 1 at 2 ');
  assert.match(stderr, /failpoint here/);
  assert.match(stderr, /EIO/);
});

const linux = { skip: process.platform === 'linux' ? false : 'platform: that a process stands still is read from /proc' };

test('a pause holds the thread that reached it, too, from there on until it is ended', linux, async () => {
  const thread = `const { failpoint } = await import(${JSON.stringify(pathToFileURL(module).href)}); failpoint('here'); const { writeSync } = await import('node:fs'); writeSync(1, 'on');`;
  const program = `new (await import('node:worker_threads')).Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(thread)})))`;
  const one = async (): Promise<void> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { env: { ...process.env, NODE_ENV: 'test', TAILRACE_FAILPOINT: 'here:pause' } });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually(() => /^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, 'utf8')), { what: 'a process that stands still' });
    // What it had said by then has come before what is asked now.
    await new Promise((done) => setImmediate(done));
    assert.equal(said, '');
    child.kill('SIGCONT');
    await once(child, 'close');
    assert.equal(said, 'on');
  };
  await Promise.all(Array.from({ length: 8 }, one));
});

test('outside of a test, and with a spec that is not understood, nothing starts', () => {
  assert.match(run('here:kill9', 'production').stderr, /NODE_ENV=test/);
  for (const spec of ['here', 'here:explode', 'here:kill9:0', ':kill9']) assert.match(run(spec).stderr, /TAILRACE_FAILPOINT is not/, spec);
  assert.equal(run('', 'production').stdout, 'at 1 at 2 at 3 ');
});

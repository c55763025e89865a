import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { eventually } from '../support/wait.ts';

const handOverUrl = new URL('../../bin/hand-over.mjs', import.meta.url).href;

// Both halves of bin/tailrace.mjs on one Node, as if the first were too old: the launcher hands over to a child.
const launcher = `
  import { handOver } from ${JSON.stringify(handOverUrl)};
  handOver(process.execPath, ['--input-type=module', '-e', process.argv[1]]);`;
const childStart = `
  import { endWithParent } from ${JSON.stringify(handOverUrl)};
  endWithParent();
  console.log('pid ' + process.pid);`;

function launch(t: TestContext, childCode: string): { launcher: ChildProcess; said: () => string; childPid: () => number } {
  const args = ['--input-type=module', '-e', launcher, childStart + childCode];
  const process_ = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  process_.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  t.after(() => process_.kill('SIGKILL'));
  return { launcher: process_, said: () => text, childPid: () => Number(/pid (\d+)/.exec(text)?.[1]) };
}

test('the exit code is that of the child, and a finished child is not kept alive', async (t) => {
  const { launcher: parent } = launch(t, 'process.exitCode = 4;');
  assert.deepEqual(await once(parent, 'exit'), [4, null]);
});

test('a child that dies of a signal takes the launcher with it by the same signal', async (t) => {
  const { launcher: parent } = launch(t, `process.kill(process.pid, 'SIGTERM'); setInterval(() => {}, 1000);`);
  assert.deepEqual(await once(parent, 'exit'), [null, 'SIGTERM']);
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} is passed on, and the child has the time to end well`, async (t) => {
    const run = launch(
      t,
      `process.on('${signal}', () => setTimeout(() => process.exit(7), 50)); setInterval(() => {}, 1000); console.log('ready');`,
    );
    await eventually(() => run.said().includes('ready'), { what: 'the child' });
    run.launcher.kill(signal);
    assert.deepEqual(await once(run.launcher, 'exit'), [7, null]);
  });
}

test('kill -9 of the launcher ends the child', async (t) => {
  const run = launch(t, 'setInterval(() => {}, 1000);');
  await eventually(() => run.childPid() > 0, { what: 'the child' });
  process.kill(run.childPid(), 0);
  run.launcher.kill('SIGKILL');
  // The child holds the other end of our pipe: 'close' comes when it is gone, even where nobody reaps it.
  await once(run.launcher, 'close');
});

test('stdin belongs to the child', async (t) => {
  const run = launch(t, `for await (const chunk of process.stdin) console.log('read ' + chunk);`);
  run.launcher.stdin?.end('a line');
  await once(run.launcher, 'exit');
  assert.match(run.said(), /read a line/);
});

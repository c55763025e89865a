import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tempDirectory } from '../support/temp.ts';

const program = fileURLToPath(new URL('../../bin/tailrace.mjs', import.meta.url));
const cache = new URL('../../bin/compile-cache.mjs', import.meta.url).href;

function run(args: readonly string[], environment: NodeJS.ProcessEnv): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, ...environment } });
  assert.equal(status, 0, stderr);
  return stdout.trim();
}

test('a checkout keeps its compiled code, where it is told or in a folder that is its own', async (t) => {
  const told = await tempDirectory(t);
  run([program, '--version'], { NODE_COMPILE_CACHE: told });
  assert.notDeepEqual(readdirSync(told), []);
  // Nobody else may put code into it: not a temporary folder.
  const script = `import { enableCompileCache } from ${JSON.stringify(cache)}; enableCompileCache(); console.log(process.env.NODE_COMPILE_CACHE);`;
  const own = run(['--input-type=module', '-e', script], { NODE_COMPILE_CACHE: undefined });
  assert.equal(own, join(fileURLToPath(new URL('../../', import.meta.url)), 'node_modules', '.cache', 'node'));
});

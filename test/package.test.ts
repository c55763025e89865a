import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cp, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { tempDirectory } from './support/temp.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const { version, files: packed } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string;
  files: string[];
};

// Here and not in the hook, whose end would remove it.
const workspace = await tempDirectory();
const installed = join(workspace, 'installed');

function run(command: string, args: readonly string[], cwd: string): string {
  const done = spawnSync(command, args, { cwd, encoding: 'utf8' });
  assert.equal(done.status, 0, `${command} ${args.join(' ')}:\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

describe('the published package', () => {
  let contents: string[] = [];

  before(async () => {
    // From a copy: the build would otherwise write dist/ into a checkout that others are testing in.
    const copy = join(workspace, 'checkout');
    const wanted = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'LICENSE', 'README.md', 'bin', 'src'];
    for (const name of wanted)
      if (existsSync(join(root, name))) await cp(join(root, name), join(copy, name), { recursive: true });
    // Things that must stay out, beside what goes in.
    await cp(join(root, 'test'), join(copy, 'test'), { recursive: true });
    writeFileSync(join(copy, 'server.key'), 'secret');
    await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
    run('npm', ['pack', '--silent'], copy);
    const tarball = join(copy, `tailrace-${version}.tgz`);
    contents = run('tar', ['-tzf', tarball], copy)
      .trim()
      .split('\n')
      .map((path) => path.replace(/^package\//, ''));
    mkdirSync(installed);
    writeFileSync(join(installed, 'package.json'), '{"private": true}');
    run(
      'npm',
      ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error', tarball],
      installed,
    );
  });

  test('it holds the launcher, JavaScript, the licence and nothing else', () => {
    const known = [...packed.map((folder) => `${folder}/`), 'package.json', 'LICENSE', 'README.md'];
    assert.deepEqual(
      contents.filter((path) => !known.some((allowed) => path.startsWith(allowed))),
      [],
    );
    assert.deepEqual(
      contents.filter((path) => /(?<!\.d)\.ts$|\.key$|\.pem$|\.test\.|\.env/.test(path)),
      [],
    );
    for (const needed of ['bin/tailrace.mjs', 'dist/main.js', 'package.json', 'LICENSE'])
      assert.ok(contents.includes(needed), needed);
  });

  test('its JavaScript imports JavaScript', () => {
    const main = readFileSync(join(installed, 'node_modules/tailrace/dist/main.js'), 'utf8');
    assert.doesNotMatch(main, /from '[^']*\.ts'/);
  });

  test('installed in an empty folder, its command says its version and its help', () => {
    const command = join(installed, 'node_modules', '.bin', 'tailrace');
    assert.equal(run(command, ['--version'], installed).trim(), version);
    assert.match(run(command, ['--help'], installed), /run[\s\S]*check[\s\S]*verify/);
  });

  test('a module of a stream is checked against its types, and runs', () => {
    const module = join(installed, 'sales.ts');
    writeFileSync(module, readFileSync(join(root, 'connectors', 'streams', 'sales.ts')));
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--skipLibCheck', 'false', '--types', ''];
    run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), ...options, module], installed);
    writeFileSync(module, readFileSync(module, 'utf8').replace('total }: Order) => total', 'totl }: Order) => totl'));
    const wrong = spawnSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), ...options, module], { cwd: installed, encoding: 'utf8' });
    assert.match(wrong.stdout, /'totl' does not exist on type 'Order'/);
    writeFileSync(join(installed, 'shop.yaml'), `name: shop
source: { type: postgres, url: "postgres://nobody@127.0.0.1:1/nowhere" }
log: { type: embedded, directory: ./log }
streams: [{ name: sales, module: ./sales.ts }]
`);
    const checked = spawnSync(join(installed, 'node_modules', '.bin', 'tailrace'), ['check', 'shop.yaml'], { cwd: installed, encoding: 'utf8' });
    assert.match(checked.stdout, /the stream sales reads public\.orders, which is not captured/, 'its module was loaded by the JavaScript that is installed');
  });

  test('what it installs holds none of the tools that made it', () => {
    for (const tool of ['typescript', 'oxlint', 'testcontainers', '@types/node']) {
      assert.equal(existsSync(join(installed, 'node_modules', tool)), false, tool);
    }
  });
});

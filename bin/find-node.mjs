// Plain JavaScript of any Node from 18 on: it runs before we know which Node this is.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const NODE_MAJOR = 24;
export const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));

export function isNewEnough(version) {
  return Number(/^v?(\d+)\./.exec(version)?.[1]) >= NODE_MAJOR;
}

/** A Node 24 that the set-up put into this checkout; undefined when there is none. */
export function nodeOfCheckout() {
  const node = join(packageRoot, 'node_modules', '.bin', 'node');
  if (!existsSync(node)) return undefined;
  const asked = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return asked.status === 0 && isNewEnough(asked.stdout) ? node : undefined;
}

export function whatIsNeeded() {
  const remedy = existsSync(join(packageRoot, 'scripts', 'setup.mjs'))
    ? `run "npm run setup" in ${packageRoot}: it adds Node ${NODE_MAJOR} for this checkout alone`
    : `install it from https://nodejs.org or with your version manager (nvm install ${NODE_MAJOR})`;
  return `tailrace needs Node.js ${NODE_MAJOR} or newer and this is ${process.version}: ${remedy}.`;
}

#!/usr/bin/env node
// The command `tailrace`. In a checkout it runs the TypeScript as it stands; the published package carries JavaScript,
// because Node strips no types under node_modules. src/main.ts reads process.argv and sets process.exitCode.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { enableCompileCache } from './compile-cache.mjs';
import { isNewEnough, nodeOfCheckout, packageRoot, whatIsNeeded } from './find-node.mjs';
import { endWithParent, handOver } from './hand-over.mjs';

const HANDED_OVER = 'TAILRACE_HANDED_OVER';

if (isNewEnough(process.version)) {
  if (process.env[HANDED_OVER] !== undefined) {
    // Not for our own children: a channel of theirs is their parent's business.
    delete process.env[HANDED_OVER];
    endWithParent();
  }
  enableCompileCache();
  const source = join(packageRoot, 'src', 'main.ts');
  await import(pathToFileURL(existsSync(source) ? source : join(packageRoot, 'dist', 'main.js')).href);
} else {
  const node = nodeOfCheckout();
  if (node === undefined) {
    process.stderr.write(`${whatIsNeeded()}\n`);
    process.exitCode = 3;
  } else {
    process.env[HANDED_OVER] = '1';
    handOver(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)]);
  }
}

// Plain JavaScript of any Node from 18 on.
import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { join } from 'node:path';
import { packageRoot } from './find-node.mjs';

/**
 * A checkout runs TypeScript, and taking the types off it costs each thread a second of CPU and 15 MiB. Node remembers what came
 * of it, for our threads and children too, who get to know by the environment. The folder is ours: in a temporary folder of
 * everybody's, others could put code for us to run.
 */
export function enableCompileCache() {
  if (!existsSync(join(packageRoot, 'src')) || nodeModule.enableCompileCache === undefined) return;
  process.env['NODE_COMPILE_CACHE'] ??= join(packageRoot, 'node_modules', '.cache', 'node');
  nodeModule.enableCompileCache(process.env['NODE_COMPILE_CACHE']);
}

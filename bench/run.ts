/**
 * The benchmarks, each a program of its own that starts what it needs and prints tables, each figure beside its reference:
 *
 *     npm run bench                       all of them, about 15 minutes
 *     npm run bench -- replicate latency  these
 *     npm run bench -- replicate --full   with the sizes of the figures that are published
 *     npm run bench -- --list             what there is; so does --help
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** In this order; whatever else lies in this folder comes behind. */
const order = ['capture', 'replicate', 'transaction', 'sqlite', 'snapshot', 'latency', 'visible', 'kafka', 'debezium', 'growth'];

const folder = fileURLToPath(new URL('.', import.meta.url));
const found = readdirSync(folder).filter((file) => file.endsWith('.ts') && file !== 'run.ts').map((file) => file.slice(0, -3));
const all = [...order.filter((name) => found.includes(name)), ...found.filter((name) => !order.includes(name)).toSorted()];
const args = process.argv.slice(2);
const named = args.filter((arg) => all.includes(arg));

if (args.includes('--list') || args.includes('--help')) {
  for (const name of all) console.log(`${name.padEnd(16)}${about(name)}`);
} else {
  const rest = args.filter((arg) => !named.includes(arg));
  for (const name of named.length > 0 ? named : all) {
    console.log(`\n── ${name}: ${about(name)}`);
    const { status } = spawnSync(process.execPath, ['--expose-gc', `${folder}${name}.ts`, ...rest], { stdio: 'inherit' });
    if (status !== 0) process.exitCode = 1;
  }
}

/** The first sentence of a benchmark's own words. */
function about(name: string): string {
  const path = `${folder}${name}.ts`;
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const comment = /\/\*\*([\s\S]*?)\*\//.exec(text)?.[1] ?? '';
  return comment.replaceAll(/\s*\n \*\s?/g, ' ').trim().split(/(?<=\.)\s|:\s/)[0]?.trim() ?? '';
}

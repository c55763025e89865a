import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { testCache } from './test-cache.ts';

const confluent = '2.16.1';

export type Python = { readonly packages: string; readonly missing?: undefined } | { readonly missing: string };

/**
 * Python with Confluent's client and what its AvroDeserializer needs: packages in a folder of the user's cache, fetched by pip the
 * first time. Nothing of the machine's own Python is touched.
 */
export function confluentPython(): Python {
  const version = spawnSync('python3', ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'], { encoding: 'utf8' });
  if (version.status !== 0) return { missing: 'python3 is not installed' };
  const packages = join(testCache(), `confluent-kafka-${confluent}-python-${version.stdout.trim()}`);
  if (existsSync(packages)) return { packages };
  mkdirSync(testCache(), { recursive: true });
  const work = mkdtempSync(join(testCache(), 'fetching-'));
  try {
    const flags = ['--quiet', '--retries', '10', '--disable-pip-version-check', '--only-binary', ':all:', '--target', join(work, 'packages')];
    const pip = spawnSync('python3', ['-m', 'pip', 'install', ...flags, `confluent-kafka[avro]==${confluent}`], { encoding: 'utf8', timeout: 180_000 });
    if (pip.error !== undefined || pip.status !== 0) return { missing: `pip could not fetch confluent-kafka: ${pip.error?.message ?? pip.stderr.trim().split('\n').at(-1)}` };
    // Another test process may have been faster.
    if (!existsSync(packages)) renameSync(join(work, 'packages'), packages);
    return { packages };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What a script prints; rejects with all that it has said where it fails or does not end. */
export function runPython(packages: string, script: string): Promise<string> {
  const child = spawn('python3', ['-'], { env: { ...process.env, PYTHONPATH: packages, PYTHONIOENCODING: 'utf-8' }, timeout: 60_000 });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  child.stdin.end(script);
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('close', (code) => (code === 0 ? done(out) : fail(new Error(`the script ended with ${code}\n${script}\n${out}${err}`))));
  });
}

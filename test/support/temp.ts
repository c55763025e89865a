import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { Scope } from './postgres.ts';

/** A new empty directory, removed when the scope ends: `t`, or without one the running test, or the file. */
export async function tempDirectory(scope?: Scope): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tailrace-test-'));
  const remove = (): Promise<void> => rm(path, { recursive: true, force: true, maxRetries: 3 });
  if (scope === undefined) after(remove);
  else scope.after(remove);
  return path;
}

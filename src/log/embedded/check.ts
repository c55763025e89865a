import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Finding } from '../../runtime/finding.ts';
import { formatSize } from '../../runtime/units.ts';

const leastFree = 100_000_000;
const littleFree = 1_000_000_000;

/**
 * What would stop a log from being written in this folder, without writing there. Not for a process that has the log open
 * itself: looking at the lock would let go of it.
 */
export function checkEmbeddedLog({ directory }: { readonly directory: string }): readonly Finding[] {
  const path = resolve(directory);
  const there = nearestThat(path);
  const error = (check: string, message: string, remedy: string): Finding => ({ severity: 'error', check, message, remedy });
  if (!statSync(there).isDirectory()) return [error('log-directory', `${there} is a file, and the log needs a folder`, 'move it away, or name another directory')];
  try {
    accessSync(there, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    const who = process.getuid === undefined ? 'this user' : `user ${process.getuid()}`;
    return [error('log-directory', `${there} cannot be written by ${who}`, `chown ${process.getuid?.() ?? 'USER'} ${there}`)];
  }
  const findings: Finding[] = [];
  const { bavail, bsize } = statfsSync(there);
  const free = bavail * bsize;
  if (free < leastFree) findings.push(error('log-space', `only ${formatSize(free)} are free where ${there} is`, 'free or add disk space'));
  else if (free < littleFree) findings.push({ severity: 'warning', check: 'log-space', message: `${formatSize(free)} are free where ${there} is`, remedy: 'add disk space, or set log.retention.size below it' });
  if (isLocked(join(path, 'lock.db'))) {
    findings.push({ severity: 'warning', check: 'log-lock', message: `another process has the log in ${directory} open`, remedy: 'that is right while the daemon runs; a second one would be refused' });
  }
  return findings;
}

function nearestThat(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : nearestThat(dirname(path));
}

function isLocked(path: string): boolean {
  if (!existsSync(path)) return false;
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      database.prepare('SELECT count(*) FROM sqlite_master').get();
      return false;
    } finally {
      database.close();
    }
  } catch {
    return true;
  }
}

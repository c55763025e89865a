import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { testCache } from './test-cache.ts';

/** Where Postgres's own regression tests are, `sql/`, `data/` and the schedule, or the reason why they are not to be had. */
export type RegressScripts = { readonly folder: string; readonly missing?: undefined } | { readonly missing: string };

/** The first version whose psql reads what the scripts take from the environment. */
const oldestPsql = 15;
const parts = ['sql', 'data', 'parallel_schedule'];

/**
 * The regression scripts of the installed psql's own major version: from the user's cache, or out of the system's source package of
 * Postgres the first time. Nothing of the system's package lists is touched.
 */
export function regressScripts(): RegressScripts {
  const psql = spawnSync('psql', ['--version'], { encoding: 'utf8' });
  if (psql.error !== undefined) return { missing: 'platform: no psql on this machine (it comes with the PostgreSQL client programs)' };
  const major = Number(/\) (\d+)/.exec(psql.stdout)?.[1] ?? 0);
  if (major < oldestPsql) return { missing: `platform: the regression scripts need psql ${oldestPsql}, and this is ${major}` };
  const folder = join(testCache(), `postgres-${major}-regress`);
  if (existsSync(folder)) return { folder };
  if (spawnSync('apt-get', ['--version']).error !== undefined) return { missing: 'platform: no apt-get on this machine, which fetches the source of Postgres' };
  mkdirSync(testCache(), { recursive: true });
  const work = mkdtempSync(join(testCache(), 'fetching-'));
  try {
    const tar = fetchSource(work, `postgresql-${major}`);
    if (tar === null) return { missing: `apt-get could not fetch the source of postgresql-${major}` };
    const wanted = parts.map((part) => `*/src/test/regress/${part}`);
    const unpacked = spawnSync('tar', ['-xf', tar, '--no-same-owner', '--no-same-permissions', '--strip-components=4', '--wildcards', ...wanted], { cwd: work, encoding: 'utf8' });
    if (unpacked.status !== 0) return { missing: `the source of postgresql-${major} could not be unpacked: ${unpacked.stderr}` };
    mkdirSync(join(work, 'regress'));
    for (const part of parts) renameSync(join(work, part), join(work, 'regress', part));
    // Another test process may have been faster.
    if (!existsSync(folder)) renameSync(join(work, 'regress'), folder);
    return { folder };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The name of the tarball in `work`; null where no version of the package could be fetched. */
function fetchSource(work: string, name: string): string | null {
  mkdirSync(join(work, 'etc'));
  mkdirSync(join(work, 'lists', 'partial'), { recursive: true });
  for (const { file, text } of archives()) writeFileSync(join(work, 'etc', file), text);
  const own = ['-q', '-o', 'Dir::Etc::SourceList=/dev/null', '-o', `Dir::Etc::SourceParts=${join(work, 'etc')}`, '-o', `Dir::State::Lists=${join(work, 'lists')}`, '-o', `Dir::Cache=${join(work, 'cache')}`];
  const run = (command: string, args: readonly string[]): string | null => {
    const { status, stdout } = spawnSync(command, [...own, ...args], { cwd: work, encoding: 'utf8', timeout: 120_000 });
    return status === 0 ? stdout : null;
  };
  if (run('apt-get', ['update']) === null) return null;
  const versions = [...(run('apt-cache', ['showsrc', name]) ?? '').matchAll(/^Version: (.*)$/gm)].map(([, version]) => version);
  // An archive may lack the newest one.
  const fetched = versions.some((version) => run('apt-get', ['source', '--download-only', '--tar-only', `${name}=${version}`]) !== null);
  return fetched ? (readdirSync(work).find((file) => file.includes('.orig.tar')) ?? null) : null;
}

/** The archives that the system knows, asked for sources in place of packages. */
function archives(): readonly { readonly file: string; readonly text: string }[] {
  const etc = '/etc/apt';
  const more = join(etc, 'sources.list.d');
  const files = [join(etc, 'sources.list'), ...(existsSync(more) ? readdirSync(more).map((file) => join(more, file)) : [])];
  return files
    .filter((file) => /\.(list|sources)$/.test(file) && existsSync(file))
    .map((file) => ({ file: basename(file), text: readFileSync(file, 'utf8').replaceAll(/^Types:.*$/gm, 'Types: deb-src').replaceAll(/^deb(?=\s)/gm, 'deb-src') }));
}

/** Scripts that are about the server itself, or take away what a pipeline stands on; those with parallel queries only cost time. */
const unfit = /^(test_setup|tablespace|database|publication|subscription|event_trigger|fast_default|infinite_recurse|stats|maintain_every|\w+_parallel)$/;

/** Every script that is a workload, in the order in which Postgres's own schedule has them. */
export function allRegressScripts(folder: string): readonly string[] {
  const schedule = readFileSync(join(folder, 'parallel_schedule'), 'utf8');
  return [...schedule.matchAll(/^test: (.*)$/gm)].flatMap(([, names]) => (names ?? '').split(' ')).filter((name) => name !== '' && !unfit.test(name));
}

/**
 * Runs a script as psql does, statement by statement; the errors of statements are part of it. Resolves with how many statements failed.
 * `folder` is one that the server may read too.
 */
export async function playRegress(url: string, folder: string, script: string): Promise<number> {
  // As pg_regress sets them.
  const environment = { ...process.env, PGTZ: 'PST8PDT', PGDATESTYLE: 'Postgres, MDY', PG_ABS_SRCDIR: folder, PG_ABS_BUILDDIR: folder, PG_LIBDIR: folder, PG_DLSUFFIX: '.so' };
  const psql = spawn('psql', ['-X', '-q', '-d', url, '-f', join(folder, 'sql', `${script}.sql`)], { cwd: folder, env: environment, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  psql.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(psql, 'close')) as [number | null];
  // Not of a statement: a lost connection, a file that is not there.
  if (code !== 0) throw new Error(`psql ended with ${code} in ${script}: ${said.slice(-1000)}`);
  return [...said.matchAll(/^psql:\S+ ERROR:/gm)].length;
}

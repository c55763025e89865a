import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DaemonStatus } from '../../src/app/daemon-http.ts';
import { lsn } from '../../src/event/lsn.ts';
import type { PipelineStatus } from '../../src/pipeline/status.ts';
import { databaseUsers, type Scope } from './postgres.ts';
import { eventually } from './wait.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Where daemons of this file's tests take commands: what killed ones leave behind goes with it. */
const runtimeFolder = mkdtempSync(join(tmpdir(), 'tailrace-run-'));
process.once('exit', () => rmSync(runtimeFolder, { recursive: true, force: true }));
const shared = { ...process.env, TAILRACE_RUNTIME_DIR: runtimeFolder };

export interface CommandResult {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs one command of the program to its end, as a user would; `began` gets its process. */
export async function tailrace(args: readonly string[], environment: Readonly<Record<string, string>> = {}, input?: string, began: (child: ChildProcess) => void = () => {}): Promise<CommandResult> {
  const child = spawn(process.execPath, [main, ...args], { stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'], env: { ...shared, ...environment } });
  began(child);
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

/** The daemon as a process of its own, which can be killed: `tailrace run FILE`. */
export class TestDaemon {
  readonly file: string;
  #child: ChildProcess | null = null;
  #url: string | null = null;
  /** Everything that it has printed, over all its lives. */
  output = '';

  private constructor(file: string) {
    this.file = file;
  }

  /** Writes the connector file into `directory`; `start` runs it. Killed when the scope ends. */
  static async create(scope: Scope, directory: string, yaml: string): Promise<TestDaemon> {
    const file = join(directory, 'pipeline.yaml');
    await writeFile(file, yaml);
    const daemon = new TestDaemon(file);
    scope.after(() => daemon.kill());
    databaseUsers.add(() => daemon.kill());
    return daemon;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** `path`: in place of the one file, a folder of them; `directory`: where relative paths begin; `args`: more of the command. */
  start(
    environment: Readonly<Record<string, string>> = {},
    { path = this.file, directory, args = [] }: { readonly path?: string; readonly directory?: string; readonly args?: readonly string[] } = {},
  ): void {
    const child = spawn(process.execPath, [main, 'run', path, '--http', '127.0.0.1:0', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'], env: { ...shared, NODE_ENV: 'test', ...environment }, cwd: directory,
    });
    this.#child = child;
    this.#url = null;
    const take = (chunk: Buffer): void => {
      this.output += chunk.toString();
      const port = /"port":(\d+)/.exec(chunk.toString())?.[1];
      if (port !== undefined) this.#url ??= `http://127.0.0.1:${port}`;
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
  }

  /** Where `/status` and the others are served. */
  async url(): Promise<string> {
    return eventually(() => this.#url, { what: () => `the daemon's address (it has said: ${this.output.slice(-2000)})` });
  }

  /** Of the one pipeline, or the first of several. */
  async status(): Promise<PipelineStatus> {
    const [pipeline] = await this.statuses();
    if (pipeline === undefined) throw new Error('no pipeline');
    return pipeline;
  }

  /** What it says is up to a quarter of a second old: this one knows of what the source committed behind the place (`pg_current_wal_insert_lsn`). */
  async statusBehind(place: string): Promise<PipelineStatus> {
    return eventually(async () => {
      const status = await this.status();
      return lsn(status.source?.lastEnd ?? '0/0') > lsn(place) ? status : null;
    }, { what: () => `a status behind ${place}; the daemon said: ${this.output.slice(-2000)}` });
  }

  async statuses(): Promise<readonly PipelineStatus[]> {
    const response = await fetch(`${await this.url()}/status`, { signal: AbortSignal.timeout(5000) });
    return ((await response.json()) as DaemonStatus).pipelines;
  }

  /** Waits until the daemon streams, all of its pipelines do, and every table is copied. */
  async streaming(): Promise<void> {
    await eventually(async () => (await this.statuses()).every(({ state }) => state === 'streaming'), { what: () => `streaming; the daemon said: ${this.output.slice(-3000)}`, timeoutMs: 120_000 });
  }

  /** Resolves with the exit code, null after a signal. */
  async exited(): Promise<number | null> {
    const child = this.#child;
    if (child === null) return null;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode;
  }

  get hasExited(): boolean {
    return this.#child !== null && (this.#child.exitCode !== null || this.#child.signalCode !== null);
  }

  /** Nobody reads any more what it prints: every write of it fails from now on. */
  closeOutput(): void {
    this.#child?.stdout?.destroy();
    this.#child?.stderr?.destroy();
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.exited();
  }

  /** SIGSTOP and SIGCONT: it stands still, and goes on as if no time had passed. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(name);
  }

  async stop(): Promise<number | null> {
    this.#child?.kill('SIGTERM');
    return this.exited();
  }
}

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { DaemonStatus } from '../../app/daemon-http.ts';
import { TailraceError } from '../../runtime/errors.ts';

/** In a checkout main is TypeScript, in the published package JavaScript: the same ending as this file's. */
const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
const main = fileURLToPath(new URL(`../../main${extension}`, import.meta.url));

/** Runs another command of this program; resolves with its exit code. `onLine` gets what it prints. */
export async function runTailrace(args: readonly string[], onLine: (line: string) => void): Promise<number> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let rest = '';
  const take = (chunk: Buffer): void => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const [code] = (await once(child, 'close')) as [number | null];
  if (rest !== '') onLine(rest);
  return code ?? 1;
}

/** Follows a topic as a user would, in a process of its own, and keeps the newest event. */
export class EventTail {
  readonly #child: ChildProcess;
  #newest: string | null = null;

  constructor(topic: string, connector: string) {
    this.#child = spawn(process.execPath, [main, 'consume', topic, connector, '--follow', '--format', 'line'], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#newest = chunk.toString().trimEnd().split('\n').at(-1) ?? null;
    });
  }

  /** The event that came last since the question before; null when none did. */
  take(): string | null {
    const newest = this.#newest;
    this.#newest = null;
    return newest;
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

/** The daemon of the demo, `tailrace run` in a process of its own, so that it can be killed as anything can be killed. */
export class DemoDaemon {
  readonly #args: readonly string[];
  readonly #log: WriteStream;
  readonly #url: string;
  #child: ChildProcess | null = null;
  #killed = false;

  constructor(options: { readonly connector: string; readonly port: number; readonly logFile: string }) {
    this.#args = [main, 'run', options.connector, '--http', `127.0.0.1:${options.port}`];
    this.#url = `http://127.0.0.1:${options.port}`;
    this.#log = createWriteStream(options.logFile, { flags: 'a' });
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    this.#killed = false;
    const child = spawn(process.execPath, [...this.#args], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.pipe(this.#log, { end: false });
    child.stderr.pipe(this.#log, { end: false });
    this.#child = child;
  }

  /** Throws when the daemon ended although nobody killed it. */
  check(): void {
    const child = this.#child;
    if (child === null || this.#killed || (child.exitCode === null && child.signalCode === null)) return;
    throw new TailraceError('internal', `the daemon ended with ${child.exitCode ?? child.signalCode}; its log says why: ${String(this.#log.path)}`);
  }

  /** Null while it does not answer. */
  async status(): Promise<DaemonStatus | null> {
    try {
      const response = await fetch(`${this.#url}/status`, { signal: AbortSignal.timeout(1000) });
      return (await response.json()) as DaemonStatus;
    } catch {
      return null;
    }
  }

  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** In good order; killed when it takes too long. */
  async stop(): Promise<void> {
    await Promise.race([this.#end('SIGTERM'), delay(15_000, undefined, { ref: false })]);
    await this.#end('SIGKILL');
    this.#log.end();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#killed = true;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  }
}

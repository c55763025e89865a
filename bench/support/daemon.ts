import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openEmbeddedLog } from '../../src/log/embedded/embedded-log.ts';
import type { LogReader } from '../../src/log/log.ts';
import { cpuSeconds, peakMemory, until } from './meter.ts';

const program = fileURLToPath(new URL('../../bin/tailrace.mjs', import.meta.url));

/** A daemon in a process of its own, as a user runs it, whose CPU and memory can be read. */
export class BenchDaemon {
  readonly directory: string;
  readonly #file: string;
  #child: ChildProcess | null = null;
  #output = '';
  #reader: LogReader | null = null;
  #peak = Number.NaN;

  private constructor(directory: string) {
    this.directory = directory;
    this.#file = join(directory, 'bench.yaml');
  }

  /** `yaml` gets a folder that goes with the daemon; its log must be in `log` there. */
  static async create(yaml: (directory: string) => string): Promise<BenchDaemon> {
    const directory = await mkdtemp(join(tmpdir(), 'tailrace-bench-'));
    const daemon = new BenchDaemon(directory);
    await writeFile(daemon.#file, yaml(directory));
    return daemon;
  }

  /** `BENCH_NODE_FLAGS` are for a profile: `--cpu-prof --cpu-prof-dir=…`. */
  start(): void {
    const flags = (process.env['BENCH_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '');
    const child = spawn(process.execPath, [...flags, program, 'run', this.#file, '--http', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    this.#child = child;
  }

  async streaming(): Promise<void> {
    await until(async () => {
      if (this.#child?.exitCode != null) throw new Error(`the daemon ended: ${this.#output.slice(-2000)}`);
      const port = [...this.#output.matchAll(/"port":(\d+)/g)].at(-1)?.[1];
      if (port === undefined) return false;
      const status = await fetch(`http://127.0.0.1:${port}/status`).then((response) => response.json(), () => null) as { pipelines: { state: string }[] } | null;
      return status?.pipelines.every(({ state }) => state === 'streaming') ?? false;
    });
  }

  /** How many records a topic holds that are durable. */
  readonly logged = async (topic: string): Promise<number> => {
    if (this.#reader === null) {
      if (!existsSync(join(this.directory, 'log', 'topics'))) return 0;
      this.#reader = await openEmbeddedLog({ directory: join(this.directory, 'log') }).openReader();
    }
    return (await this.#reader.range(topic, 0)).end;
  };

  /** CPU seconds so far. */
  get cpu(): number {
    return cpuSeconds(this.#child?.pid);
  }

  /** Peak resident memory in MiB, of its last life if it has ended. */
  get peak(): number {
    const now = peakMemory(this.#child?.pid);
    return Number.isNaN(now) ? this.#peak : now;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null) return;
    this.#peak = this.peak;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
    this.#output = '';
  }

  async remove(): Promise<void> {
    await this.stop();
    await this.#reader?.close();
    await rm(this.directory, { recursive: true, force: true });
  }
}

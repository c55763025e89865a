import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../src/cli/demo/embedded-postgres.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** A server as one would run it: durable, with room for a backlog. */
export function benchServer(): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({
    settings: { fsync: 'on', synchronous_commit: 'on', shared_buffers: '512MB', autovacuum: 'off', max_wal_size: '8GB', checkpoint_timeout: '1h' },
  });
}

export const rowTable = `
  CREATE TABLE rows (
    id bigint PRIMARY KEY, customer int NOT NULL, amount numeric(12,2) NOT NULL, status text NOT NULL,
    note text NOT NULL, ratio double precision NOT NULL, flag boolean NOT NULL, at timestamptz NOT NULL
  )`;

/** Rows of 8 columns and about 200 bytes, `perTransaction` to a transaction. */
export async function fill(server: EmbeddedPostgres, database: string, rows: number, perTransaction: number): Promise<void> {
  await server.sql(`
    CREATE OR REPLACE PROCEDURE fill(total int, step int) LANGUAGE plpgsql AS $$
    DECLARE base bigint := (SELECT coalesce(max(id), 0) FROM rows);
    BEGIN
      FOR i IN 0 .. total / step - 1 LOOP
        INSERT INTO rows SELECT base + i * step + n, n % 1000, n * 1.01, 'status ' || n % 7, repeat(md5((i * step + n)::text), 3), n / 7.0, n % 2 = 0, now()
        FROM generate_series(1, step) n;
        COMMIT;
      END LOOP;
    END $$`, [], database);
  await server.sql(`CALL fill(${rows}, ${perTransaction})`, [], database);
}

/** A daemon in a process of its own, whose CPU and memory can be read. */
export class BenchDaemon {
  readonly directory: string;
  readonly #file: string;
  #child: ChildProcess | null = null;
  #output = '';

  private constructor(directory: string) {
    this.directory = directory;
    this.#file = join(directory, 'bench.yaml');
  }

  static async create(yaml: (directory: string) => string): Promise<BenchDaemon> {
    const directory = await mkdtemp(join(tmpdir(), 'tailrace-bench-'));
    const daemon = new BenchDaemon(directory);
    await writeFile(daemon.#file, yaml(directory));
    return daemon;
  }

  start(): void {
    const child = spawn(process.execPath, [main, 'run', this.#file, '--http', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    this.#child = child;
  }

  async streaming(): Promise<void> {
    await until(async () => {
      if (this.#child?.exitCode != null) throw new Error(`the daemon ended: ${this.#output.slice(-2000)}`);
      const port = [...this.#output.matchAll(/"port":(\d+)/g)].at(-1)?.[1];
      if (port === undefined) return false;
      const status = await fetch(`http://127.0.0.1:${port}/status`).then((response) => response.json(), () => null) as { pipelines: { state: string }[] } | null;
      return status?.pipelines[0]?.state === 'streaming';
    });
  }

  /** CPU seconds so far, and peak resident memory in MiB. */
  async usage(): Promise<{ readonly cpu: number; readonly peak: number }> {
    const pid = this.#child?.pid ?? 0;
    return { cpu: await cpuSeconds(pid), peak: await peakMemory(pid) };
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#output = '';
    if (child === null || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(10);
}

/** User and system time of a process, from /proc; NaN where there is none. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function peakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024);
}

export function percentile(sorted: readonly number[], fraction: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Seconds of CPU by whose they are: `ours`, `source`, `replica`, … */
export type Cpu = Readonly<Record<string, number>>;

/** A run that makes rows appear somewhere. */
export interface Watched {
  /**
   * How many of `total` have appeared: 0, a number that was right when the first ones were seen, or `total`. Asked every few
   * milliseconds, so it must be cheap.
   */
  seen(total: number): Promise<number>;
  cpu(): Cpu;
}

export interface Measured {
  /** From the start of the run to the first rows, in seconds: processes, connections, reading up to the first row. */
  readonly start: number;
  /** From the first rows to the last. */
  readonly seconds: number;
  /** Those that appeared in this time. */
  readonly rows: number;
  /** Seconds in this time. */
  readonly cpu: Cpu;
}

const pollMs = 5;

/** Watches a run from now until all rows have appeared. */
export async function watch(total: number, run: Watched): Promise<Measured> {
  const began = performance.now();
  let seen = await run.seen(total);
  while (seen === 0) {
    await delay(pollMs);
    seen = await run.seen(total);
  }
  const stopProfile = profile();
  const first = { at: performance.now(), rows: seen, cpu: run.cpu() };
  while (seen < total) {
    await delay(pollMs);
    seen = await run.seen(total);
  }
  const at = performance.now();
  const cpu = run.cpu();
  await stopProfile();
  return {
    start: (first.at - began) / 1000,
    seconds: (at - first.at) / 1000,
    rows: total - first.rows,
    cpu: Object.fromEntries(Object.entries(cpu).map(([who, seconds]) => [who, seconds - (first.cpu[who] ?? 0)])),
  };
}

/** With `BENCH_PERF=FILE` Linux's perf records the whole machine meanwhile, for `perf report`; start nodes with `--perf-basic-prof`. */
function profile(): () => Promise<void> {
  const file = process.env['BENCH_PERF'];
  if (file === undefined) return async () => {};
  const child = spawn('perf', ['record', '-a', '-g', '-F', '997', '-o', file], { stdio: 'ignore' });
  return async () => {
    const exited = once(child, 'exit');
    child.kill('SIGINT');
    await exited;
  };
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await delay(10);
}

/** User and system time of a process in seconds; with `reaped`, also of its children that have ended. 0 when it is gone. */
export function cpuSeconds(pid: number | undefined, reaped = false): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
    const ticks = reaped ? fields.slice(11, 15) : fields.slice(11, 13);
    return ticks.reduce((sum, value) => sum + Number(value), 0) / 100;
  } catch {
    return 0;
  }
}

/** CPU of a Postgres server: the postmaster, its processes, and those that have ended. */
export function serverCpuSeconds(postmaster: number | undefined): number {
  return childrenOf(postmaster).reduce((sum, pid) => sum + cpuSeconds(pid), cpuSeconds(postmaster, true));
}

/** Peak resident memory in MiB; NaN when it is gone. */
export function peakMemory(pid: number | undefined): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024);
  } catch {
    return Number.NaN;
  }
}

function childrenOf(pid: number | undefined): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter((text) => text !== '').map(Number);
  } catch {
    return [];
  }
}

/** The value below which the fraction lies. Sorts in place. */
export function percentile(values: number[], fraction: number): number {
  values.sort((a, b) => a - b);
  return values[Math.min(values.length - 1, Math.floor(values.length * fraction))] ?? Number.NaN;
}

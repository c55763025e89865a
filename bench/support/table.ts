import { cpus, totalmem } from 'node:os';
import type { Measured } from './meter.ts';

/** A line of a table: the first cell is what, the others are figures. */
export type Line = readonly [what: string, ...figures: string[]];

export function printTable(title: string, head: readonly string[], lines: readonly Line[]): void {
  const all = [['', ...head], ...lines];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((line) => (line[column] ?? '').length))) ?? [];
  console.log(`\n${title}`);
  for (const line of all) {
    console.log(`  ${line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('   ')}`.trimEnd());
  }
}

/** Figures mean something only side by side, and with the machine that they are of. */
export function machine(): string {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model.trim() ?? 'CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
}

/** One run of one contender. */
export interface Run extends Measured {
  readonly what: string;
  /** Peak resident memory of its own process, in MiB; NaN where it has none. */
  readonly peak: number;
}

/**
 * A table of runs: the rate from the first row to the last, the CPU that a million rows took by whose it was, the start and the
 * peak of memory. `of` is whom the others are compared with: by the best run of each.
 */
export function printRuns(title: string, runs: readonly Run[], of: string): void {
  const whose = [...new Set(runs.flatMap((run) => Object.keys(run.cpu)))];
  const reference = bestRate(runs, of);
  const lines = runs.map((run): Line => {
    const ratio = run.what === of || !Number.isFinite(reference) ? '' : (rate(run) / reference).toFixed(2);
    const cpu = whose.map((who) => perMillion(run, run.cpu[who]));
    const all = Object.values(run.cpu).reduce((sum, seconds) => sum + seconds, 0);
    return [run.what, count(rate(run)), ratio, ...cpu, perMillion(run, all), run.start.toFixed(2), Number.isNaN(run.peak) ? '' : String(run.peak)];
  });
  printTable(title, ['rows/s', `of ${of}`, ...whose.map((who) => `CPU ${who}`), 'CPU all', 'start s', 'peak MiB'], lines);
}

export function rate(run: Measured): number {
  return run.rows / run.seconds;
}

function bestRate(runs: readonly Run[], what: string): number {
  return Math.max(...runs.filter((run) => run.what === what).map(rate));
}

/** Seconds a million rows: the same number as microseconds a row. */
function perMillion(run: Measured, seconds: number | undefined): string {
  return seconds === undefined ? '' : ((seconds / run.rows) * 1e6).toFixed(1);
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}

import type { Writable } from 'node:stream';
import type { PipelineStatus } from '../pipeline/status.ts';
import { printable } from '../runtime/printable.ts';
import { renderProgress } from './progress.ts';
import type { Terminal } from './terminal.ts';

const redrawMs = 250;

/**
 * One block at the bottom of the terminal that is drawn over itself, with the log lines scrolling by above it. It is the
 * logger's destination too, so that a line never lands in the middle of the block.
 */
export class ProgressDisplay {
  readonly #terminal: Terminal;
  readonly #stream: Writable & { readonly rows?: number };
  #look: () => readonly PipelineStatus[] = () => [];
  #timer: NodeJS.Timeout | undefined;
  #drawn = 0;
  readonly #counts = new Map<string, { readonly events: number; readonly at: number; readonly rate: number }>();

  constructor(terminal: Terminal, stream: Writable & { readonly rows?: number }) {
    this.#terminal = terminal;
    this.#stream = stream;
  }

  start(look: () => readonly PipelineStatus[]): void {
    this.#look = look;
    this.#timer = setInterval(() => this.#draw(''), redrawMs);
    // It shows the work; it must not keep a finished process alive.
    this.#timer.unref();
  }

  /** The picture goes, or with `leave` is drawn a last time and stays. */
  stop({ leave }: { readonly leave: boolean }): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (!leave) this.#look = () => [];
    this.#draw('');
    this.#drawn = 0;
  }

  /** A line of the logger. */
  write(line: string): void {
    this.#draw(`${readableLine(line)}\n`);
  }

  #draw(above: string): void {
    const pipelines = this.#look();
    const rates = this.#rates(pipelines);
    const { width, style } = this.#terminal;
    const rows = Math.max(1, (this.#stream.rows || 24) - 1);
    // A block that is taller than the window could not be drawn over.
    const lines = this.#timer === undefined && above !== '' ? [] : renderProgress(pipelines, rates, { width, style }).slice(0, rows);
    const back = this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A\r`;
    this.#stream.write(`${back}\u001b[J${above}${lines.map((line) => `${line}\n`).join('')}`);
    this.#drawn = lines.length;
  }

  /** Smoothed over about two seconds. */
  #rates(pipelines: readonly PipelineStatus[]): ReadonlyMap<string, number> {
    const now = performance.now();
    const rates = new Map<string, number>();
    for (const { pipeline, source } of pipelines) {
      if (source === null) continue;
      const last = this.#counts.get(pipeline);
      const elapsed = last === undefined ? 0 : now - last.at;
      if (last !== undefined && elapsed < redrawMs / 2) {
        rates.set(pipeline, last.rate);
        continue;
      }
      const current = last === undefined ? 0 : Math.max(0, source.events - last.events) / (elapsed / 1000);
      const rate = last === undefined ? 0 : last.rate * 0.75 + current * 0.25;
      this.#counts.set(pipeline, { events: source.events, at: now, rate });
      rates.set(pipeline, rate);
    }
    return rates;
  }
}

/** pino's JSON for people: `12:00:01 warn  shop: the sink waits  sink=local`. */
export function readableLine(line: string): string {
  try {
    const { time, level, msg, pipeline, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
    const message = (err as { message?: unknown } | undefined)?.message;
    const fields = Object.entries(rest).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
    const head = `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${typeof pipeline === 'string' ? `${pipeline}: ` : ''}${String(msg)}`;
    return printable([head, ...(typeof message === 'string' ? [message] : []), ...fields].join('  '));
  } catch {
    return printable(line.trimEnd());
  }
}

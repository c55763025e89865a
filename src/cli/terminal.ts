import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import { describeError } from '../runtime/logger.ts';
import { printable } from '../runtime/printable.ts';

/** Where a command writes and asks. One object, so that a test can look at what was said. */
export interface Terminal {
  /** One or more lines; the line feed is added. */
  out(text: string): void;
  /** Resolves when what was given to `out` has been handed on: nobody holds it back, and a reader that lags is waited for. */
  flushed(): Promise<void>;
  /** For people, not for pipes: progress, warnings, errors. */
  err(text: string): void;
  /** Whether stdout is a terminal that somebody looks at. */
  readonly interactive: boolean;
  /** What is typed, or comes through a pipe. */
  readonly input: Readable;
  /** Columns of that terminal; read again for each picture, because windows change. */
  readonly width: number;
  readonly style: Style;
  /** The answer, or null when there is nobody to ask. */
  ask(question: string): Promise<string | null>;
}

/** Each wraps a text in its escape codes, or gives it back as it is. */
export interface Style {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
}

type Paint = (text: string) => string;

interface Streams {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean };
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export function createTerminal({ stdin, stdout, stderr, environment }: Streams): Terminal {
  const interactive = stdout.isTTY === true && environment['TERM'] !== 'dumb';
  return {
    out: (text) => void stdout.write(`${text}\n`),
    flushed: () => new Promise((resolve) => void stdout.write('', () => resolve())),
    err: (text) => void stderr.write(`${text}\n`),
    interactive,
    input: stdin,
    get width() {
      // 0 where the terminal does not know.
      return Math.max(20, stdout.columns || 80);
    },
    style: createStyle(interactive && (environment['NO_COLOR'] ?? '') === ''),
    async ask(question) {
      if (stdin.isTTY !== true || stderr.isTTY !== true) return null;
      const prompt = createInterface({ input: stdin, output: stderr });
      try {
        return await prompt.question(question);
      } finally {
        prompt.close();
      }
    },
  };
}

export function createStyle(colour: boolean): Style {
  const paint = (code: number) => (text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  return { bold: paint(1), dim: paint(2), red: paint(31), green: paint(32), yellow: paint(33) };
}

/** Rows in columns, two spaces apart; the last column is as long as it is. Cells from outside must be `printable`. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows.map((row) => row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  ').trimEnd()).join('\n');
}

/** An error's message and remedy as a command prints them. */
export function errorText(error: { readonly message: string; readonly remedy: string }, style: Style): string {
  const remedy = error.remedy === '' ? '' : `\n  → ${lines(error.remedy)}`;
  return `${style.red('tailrace:')} ${lines(error.message)}${remedy}`;
}

/** An error that nobody foresaw: with its stack, and without the fields that a driver hangs on it (settings, rows). */
export function unforeseenText(error: unknown): string {
  const { message, stack } = describeError(error) as { message?: string; stack?: string };
  return `tailrace: this should not have happened: ${lines(message ?? String(error))}\n${stack ?? ''}\nPlease report it with the lines above.`;
}

/** Line feeds of our own messages stay; what else a terminal would obey does not. */
function lines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

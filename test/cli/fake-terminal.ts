import { Readable } from 'node:stream';
import { runCli } from '../../src/cli/cli.ts';
import { createStyle, type Terminal } from '../../src/cli/terminal.ts';

export interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Fake {
  readonly environment?: Readonly<Record<string, string>>;
  readonly interactive?: boolean;
  readonly width?: number;
  /** Ctrl-C. */
  readonly signal?: AbortSignal;
  /** The standard input, in pieces. */
  readonly input?: readonly string[];
  /** What is typed when asked; without it there is nobody to ask. */
  readonly answer?: string;
}

/** Runs a command in this process and gives back what it said. */
export async function tailrace(args: readonly string[], fake: Fake = {}): Promise<Said> {
  const out: string[] = [];
  const err: string[] = [];
  const terminal: Terminal = {
    out: (text) => void out.push(`${text}\n`),
    flushed: () => Promise.resolve(),
    err: (text) => void err.push(`${text}\n`),
    input: Readable.from((fake.input ?? []).map((piece) => Buffer.from(piece))),
    interactive: fake.interactive ?? false,
    width: fake.width ?? 80,
    style: createStyle(false),
    ask: (question) => {
      err.push(question);
      return Promise.resolve(fake.answer ?? null);
    },
  };
  const code = await runCli(args, { terminal, environment: fake.environment ?? {}, version: '1.2.3', takeSignals: () => fake.signal ?? new AbortController().signal });
  process.exitCode = undefined;
  return { code, out: out.join(''), err: err.join('') };
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runCli } from './cli/cli.ts';
import { createTerminal, unforeseenText } from './cli/terminal.ts';

// Loading a command would let the heap grow to twice what is kept of it. The threads of the daemon are set otherwise (app.ts).
setFlagsFromString('--optimize-for-size');

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string };

// `tailrace … | head`: nobody reads on, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
process.stderr.on('error', () => {});

// Node would print every field of the error: a driver's holds connection settings and rows.
process.on('uncaughtException', (error) => {
  process.stderr.write(`${unforeseenText(error)}\n`);
  process.exit(1);
});

const numbers = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;
type Signal = keyof typeof numbers;
const signals = Object.keys(numbers) as Signal[];
const end = (signal: Signal): never => process.exit(128 + numbers[signal]);

/** Set once the command has something to finish. */
let stopping: AbortController | null = null;

// One listener from the beginning to the end: a signal that has come and was not yet dispatched is lost with a listener that is taken away.
for (const signal of signals) {
  process.on(signal, () => {
    if (stopping === null || stopping.signal.aborted) end(signal);
    else stopping.abort();
  });
}

function takeSignals(): AbortSignal {
  stopping ??= new AbortController();
  return stopping.signal;
}

const terminal = createTerminal({ stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, environment: process.env });
const code = await runCli(process.argv.slice(2), { terminal, environment: process.env, version, takeSignals });
// Not by exit() here: what is still being written to a pipe would be lost. Once nothing is left to wait for, by exit() after all: left
// to itself, Node then takes its environment apart, and has been seen to do that for ever (24.21: it counted a request as open that no
// event would end any more).
process.exitCode = code;
process.once('beforeExit', () => process.exit());

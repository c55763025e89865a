import type { Command } from 'commander';
import type { Environment } from '../config/substitute.ts';
import type { Terminal } from './terminal.ts';

/** What every command gets from main.ts. */
export interface CliContext {
  readonly terminal: Terminal;
  readonly environment: Environment;
  readonly version: string;
  /**
   * For a command that has something to finish: from here on the first SIGINT, SIGTERM or SIGHUP aborts the signal, and the
   * second one ends the process. Without a call the first one ends it (130 for Ctrl-C).
   */
  takeSignals(): AbortSignal;
}

/** Fills in a command: description, arguments, options and what it does. Its file is loaded only when it is asked for. */
export type DefineCommand = (command: Command, context: CliContext) => void;

/** Wraps what a command does: its result is the exit code. */
export function action<Args extends unknown[]>(run: (...args: Args) => Promise<number> | number): (...args: Args) => Promise<void> {
  return async (...args) => {
    process.exitCode = await run(...args);
  };
}

/** The examples under a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ tailrace ${line}`).join('\n')}\n`;
}

import { action, examples, type DefineCommand } from './context.ts';
import { runDemo } from './demo/run-demo.ts';
import { TailraceError } from '../runtime/errors.ts';

/** Without a terminal nobody presses Ctrl-C. */
const secondsWithoutTerminal = 20;

export const defineDemo: DefineCommand = (command, context) => {
  command
    .description('A real Postgres of its own, live traffic, a SQLite and a Postgres replica, a daemon that is killed once, and proof that both replicas are equal. Needs the development packages of a checkout.')
    .option('--seconds <n>', `end by itself after this many seconds of traffic (on a terminal: at Ctrl-C; elsewhere: ${secondsWithoutTerminal})`)
    .addHelpText('after', examples('demo', 'demo --seconds 30'))
    .action(action(async (options: { readonly seconds?: string }) => {
      const { terminal } = context;
      const seconds = options.seconds === undefined ? (terminal.interactive ? null : secondsWithoutTerminal) : wholeSeconds(options.seconds);
      return runDemo({ seconds, terminal, signal: context.takeSignals() });
    }));
};

function wholeSeconds(text: string): number {
  const seconds = Number(text);
  if (Number.isInteger(seconds) && seconds >= 4 && seconds <= 86_400) return seconds;
  throw new TailraceError('usage', `--seconds takes a whole number from 4 to 86400, not ${text}`);
}

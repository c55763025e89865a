import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';
import { BroadcastChannel, getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';
import { redact } from './secret.ts';
import { TailraceError } from './errors.ts';
import { printable } from './printable.ts';

/**
 * Structured lines: `logger.info({ table, rows }, 'snapshot of a table is complete')`. The prose is lower case and fixed,
 * what varies stands in fields. Row values never stand in either.
 */
export type Logger = Pick<PinoLogger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'level' | 'isLevelEnabled'> & {
  child(fields: Record<string, unknown>): Logger;
};

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Keys whose value is never printed, wherever a library hangs its own config on an error or a field. */
const secretKeys = ['url', 'password', 'connectionString', 'sasl', 'sslpassword', 'token', 'authorization'];
const paths = secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);

/** JSON lines on stdout (fd 1), or wherever `destination` says. */
export function createLogger(options: { readonly level: LogLevel; readonly destination?: DestinationStream }): Logger {
  const settings = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths, censor: '***' },
    serializers: { err: describeError, error: describeError },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(settings, options.destination ?? defaultDestination());
}

const channelName = 'tailrace.log-lines';

/**
 * Lets `write` have the log lines of threads that are started from now on. Without it they go to stdout by themselves, as
 * those of the main thread do: a progress display must not have lines land in the middle of its block.
 */
export function routeThreadLogs(write: (line: string) => void): void {
  const channel = new BroadcastChannel(channelName);
  channel.addEventListener('message', (event) => write(String((event as unknown as { readonly data: unknown }).data)));
  channel.unref();
  setEnvironmentData(channelName, 'routed');
}

function defaultDestination(): DestinationStream {
  if (isMainThread || getEnvironmentData(channelName) !== 'routed') {
    // Synchronous: the last lines before a crash are the ones that matter, and no flush can be forgotten on the way out.
    return pino.destination({ fd: 1, sync: true });
  }
  const channel = new BroadcastChannel(channelName);
  channel.unref();
  return { write: (line) => channel.postMessage(line) };
}

export const silentLogger: Logger = pino({ level: 'silent' });

/** For commands, whose output is for people or for programs: warnings alone, in prose on stderr. */
export const commandLogger: Logger = createLogger({ level: 'warn', destination: { write: (line) => void process.stderr.write(`${prose(line)}\n`) } });

function prose(line: string): string {
  const { msg, err } = JSON.parse(line) as { readonly msg: string; readonly err?: { readonly message?: string } };
  return printable(`tailrace: ${msg}${err?.message === undefined ? '' : `: ${err.message}`}`);
}

/**
 * What of an error is printed: never its enumerable fields, because drivers hang connection settings and whole rows
 * (`detail: Key (email)=(…)`) on theirs.
 */
export function describeError(error: unknown): unknown {
  return describe(error, true);
}

/** Where one of ours says what is wrong, nobody needs to know where in a library it began. */
function describe(error: unknown, withStack: boolean): unknown {
  if (!(error instanceof Error)) return typeof error === 'string' ? redact(error) : error;
  const code = (error as { code?: unknown }).code;
  const ours = error instanceof TailraceError;
  return {
    type: error.name,
    ...(typeof code === 'string' ? { code } : {}),
    message: redact(error.message),
    ...(ours ? { remedy: redact(error.remedy) } : {}),
    ...(withStack && (!ours || error.code === 'internal') ? { stack: redact(error.stack ?? '') } : {}),
    ...(error.cause === undefined ? {} : { cause: describe(error.cause, withStack && !ours) }),
  };
}

import { runPipelines, type Parts } from '../app.ts';
import { requirePipelines } from '../config/load.ts';
import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import { parseHttpAddress, type HttpAddress } from '../runtime/http.ts';
import { createLogger, LOG_LEVELS, routeThreadLogs, type LogLevel } from '../runtime/logger.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { word } from './options.ts';
import { ProgressDisplay } from './progress-display.ts';

export const DEFAULT_HTTP = '127.0.0.1:7717';

interface Options {
  readonly http?: string | false;
  readonly httpAllowRemote?: boolean;
  readonly role?: string;
  readonly sink?: readonly string[];
  readonly logLevel?: string;
  readonly progress: boolean;
}

export const defineRun: DefineCommand = (command, context) => {
  command
    .description('Run pipelines until a signal. The first SIGINT or SIGTERM stops them in good order, a second one at once.')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--role <role>', 'publisher, sinks or streams: do only this part, and leave the others to processes elsewhere; streams are those with shards; needs a log that takes many writers (Kafka)', word(['publisher', 'sinks', 'streams']))
    .option('--sink <name>', 'do only this sink of them; may be given several times', (name: string, others: readonly string[] | undefined) => [...(others ?? []), name])
    .option('--http <host:port>', `serve /healthz, /readyz, /metrics and /status there (default: ${DEFAULT_HTTP}; environment: TAILRACE_HTTP)`, word())
    .option('--no-http', 'serve nothing (environment: TAILRACE_HTTP=off)')
    .option('--http-allow-remote', 'allow an address that others can reach; what is served needs no login (environment: TAILRACE_HTTP_ALLOW_REMOTE=1)')
    .option('--log-level <level>', `${LOG_LEVELS.join(', ')} (default: info; environment: TAILRACE_LOG_LEVEL)`, word(LOG_LEVELS))
    .option('--no-progress', 'log lines on a terminal too, in place of the progress display')
    .addHelpText('after', examples('run', 'run connectors/shop.yaml', 'run connectors/ --http 127.0.0.1:9000 --log-level debug', 'run connectors/shop.yaml --role sinks --sink reporting', 'run connectors/shop.yaml --role streams'))
    .action(action((paths: string[], options: Options) => run(paths, options, context)));
};

async function run(paths: readonly string[], options: Options, context: CliContext): Promise<number> {
  const configs = requirePipelines(paths, context.environment).map(({ config }) => config);
  const parts = partsOf(options, configs);
  const http = httpAddress(options, context);
  const level = logLevel(options.logLevel ?? context.environment['TAILRACE_LOG_LEVEL']);
  const display = context.terminal.interactive && options.progress ? new ProgressDisplay(context.terminal, process.stdout) : null;
  const logger = createLogger(display === null ? { level } : { level, destination: display });
  if (display !== null) routeThreadLogs((line) => display.write(line));
  const signal = context.takeSignals();
  signal.addEventListener('abort', () => logger.info('stopping; a second signal ends it at once'));
  try {
    return await runPipelines(configs, { logger, http, signal, parts, version: context.version, runtimeFolder: context.environment['TAILRACE_RUNTIME_DIR'], ...(display === null ? {} : { onRunning: (look) => display.start(look) }) });
  } finally {
    // After a signal everything has ended; where all have stopped by themselves the picture says why.
    display?.stop({ leave: !signal.aborted });
  }
}

/** What this process does of the pipelines. */
function partsOf({ role, sink }: Pick<Options, 'role' | 'sink'>, configs: readonly PipelineConfig[]): Parts {
  if (sink !== undefined && role !== 'sinks') throw new TailraceError('usage', '--sink goes with --role sinks', { remedy: 'add --role sinks, or leave --sink out' });
  const known = configs.flatMap(({ sinks }) => sinks.map(({ name }) => name));
  const unknown = sink?.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new TailraceError('usage', `there is no sink ${shortened(unknown, 60)}`, { remedy: `there is ${known.join(', ') || 'none'}` });
  const all = role === undefined;
  return { publisher: all || role === 'publisher', streams: all || role === 'streams', sinks: all || role === 'sinks' ? sink : [] };
}

/** The flag counts before the environment, and the environment before the default. */
export function httpAddress(options: Pick<Options, 'http' | 'httpAllowRemote'>, { environment }: Pick<CliContext, 'environment'>): HttpAddress | null {
  if (options.http === false) return null;
  const given = typeof options.http === 'string' ? options.http : environment['TAILRACE_HTTP'];
  if (given === 'off') return null;
  const allowRemote = options.httpAllowRemote === true || environment['TAILRACE_HTTP_ALLOW_REMOTE'] === '1';
  return parseHttpAddress(given === undefined || given === '' ? DEFAULT_HTTP : given, { allowRemote });
}

function logLevel(text: string | undefined): LogLevel {
  const level = LOG_LEVELS.find((known) => known === (text ?? 'info'));
  if (level === undefined) throw new TailraceError('usage', 'TAILRACE_LOG_LEVEL is no log level', { remedy: `one of ${LOG_LEVELS.join(', ')}` });
  return level;
}

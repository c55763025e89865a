import { verifyPipelines, type PipelineVerification, type SinkVerification, type TableReport } from '../app/verify.ts';
import { requirePipelines } from '../config/load.ts';
import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import { parseTimer } from '../runtime/units.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { word } from './options.ts';
import { errorText } from './terminal.ts';
import { renderSinkSummary, renderTable, sinkHeading } from './verify-report.ts';

interface Options {
  readonly sink?: string;
  readonly table?: string;
  readonly timeout?: string;
  readonly json?: boolean;
}

const defaultTimeout = '60s';

export const defineVerify: DefineCommand = (command, context) => {
  command
    .description(
      'Compare each replica with its source, row by row where it must, while both are written. Reads only, but for markers in the WAL of the source. Exits with 0 when all are equal, 4 when one differs, 3 when that cannot be said now, 1 when rows never came to rest.',
    )
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--sink <name>', 'this sink only', word())
    .option('--table <pattern>', 'tables of the source: schema.table, with * for any run of characters', word())
    .option('--timeout <duration>', `how long a sink may stand still before it is given up (default: ${defaultTimeout})`, word())
    .option('--json', 'print JSON')
    .addHelpText('after', examples('verify connectors/shop.yaml', "verify connectors/shop.yaml --sink reporting --table 'public.order*'", 'verify --json'))
    .action(action((paths: string[], options: Options) => verify(paths, options, context)));
};

async function verify(paths: readonly string[], options: Options, context: CliContext): Promise<number> {
  const { terminal } = context;
  const json = options.json === true;
  const configs = requirePipelines(paths, context.environment).map(({ config }) => config);
  const line = new ProgressLine(context, terminal.interactive && !json);
  const told = new Set<string>();
  const heading = (pipeline: string, sink: string): void => {
    if (json || told.has(`${pipeline} ${sink}`)) return;
    told.add(`${pipeline} ${sink}`);
    line.above(terminal.style.bold(sinkHeading(pipeline, sink)));
  };
  const results = await verifyPipelines(configs, {
    sink: options.sink,
    table: options.table,
    timeout: timeoutOf(options.timeout ?? defaultTimeout),
    signal: new AbortController().signal,
    progress: ({ sink, table, phase, rows }) => line.show(`${sink}: ${table}: ${phase}${rows === null ? '' : `, ${rows.toLocaleString('en')} rows`}`),
    onTable: (pipeline: string, sink: string, report: TableReport) => {
      heading(pipeline, sink);
      if (!json) line.above(renderTable(report, terminal.style));
    },
    onSink: (pipeline: string, verification: SinkVerification) => {
      heading(pipeline, verification.sink);
      if (!json) line.above(renderSinkSummary(verification, terminal.style));
    },
  });
  line.clear();
  tell(results, json, context);
  if (results.every(({ error }) => error === null) && results.every(({ sinks }) => sinks.every(({ tables, error }) => tables.length === 0 && error === null))) {
    throw new TailraceError('usage', options.table === undefined ? 'no table is captured for these sinks' : `no captured table matches ${shortened(options.table, 60)}`, { remedy: 'See tailrace topics list for the tables that are captured.' });
  }
  return exitCode(results);
}

function tell(results: readonly PipelineVerification[], json: boolean, { terminal }: CliContext): void {
  if (json) terminal.out(JSON.stringify(results, null, 2));
  for (const { pipeline, error } of results) {
    if (error !== null && !json) terminal.err(errorText({ message: `${pipeline}: ${error.message}`, remedy: error.remedy }, terminal.style));
  }
}

/** A difference that is certain counts before whatever could not be looked at. */
function exitCode(results: readonly PipelineVerification[]): number {
  const codes = results.map(({ exit }) => exit);
  return ([4, 3, 2, 1] as const).find((code) => codes.includes(code)) ?? 0;
}

function timeoutOf(text: string): number {
  const parsed = parseTimer(text, { min: '1s' });
  if (parsed.problem !== undefined) throw new TailraceError('usage', `--timeout: ${parsed.problem}`);
  return parsed.value;
}

/** One line at the bottom of a terminal that is written over itself; nothing elsewhere. */
class ProgressLine {
  readonly #context: CliContext;
  readonly #shown: boolean;

  constructor(context: CliContext, shown: boolean) {
    this.#context = context;
    this.#shown = shown;
  }

  show(text: string): void {
    if (!this.#shown) return;
    const { width, style } = this.#context.terminal;
    process.stdout.write(`\r\u001b[K${style.dim(shortened(text, width - 1))}`);
  }

  clear(): void {
    if (this.#shown) process.stdout.write('\r\u001b[K');
  }

  above(text: string): void {
    this.clear();
    this.#context.terminal.out(text);
  }
}

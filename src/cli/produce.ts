import { InvalidArgumentError } from 'commander';
import { lineFormat, readJsonLine, readLines } from '../app/produced-records.ts';
import { produce } from '../app/produce.ts';
import { requirePipelines } from '../config/load.ts';
import { TailraceError } from '../runtime/errors.ts';
import { printable } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { word } from './options.ts';

interface Options {
  readonly format?: string;
  readonly property?: Readonly<Record<string, string>>;
}

export const defineProduce: DefineCommand = (command, context) => {
  command
    .description('Append a record for each line of the standard input to a topic made by tailrace topics create. When it says how many, so many are durable. While a daemon runs on an embedded log, it writes them. At Ctrl-C what was read is written first.')
    .argument('<topic>', 'for example shop.clicks; with one pipeline its name may be left out')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--format <format>', 'line: the line is the value; json: {"key": …, "value": …, "headers": {…}, "partition": …, "timestamp": …} (default: line)', word(['line', 'json']))
    .option('--property <name=value>', 'of lines, as Kafka names them: parse.key=true, key.separator (default: a tab), parse.headers=true, headers.delimiter, headers.separator, headers.key.separator, null.marker; may be given several times', property)
    .addHelpText('after', examples("produce shop.clicks < clicks.txt", "produce shop.clicks --property parse.key=true --property key.separator=:", 'produce shop.clicks --format json < clicks.ndjson'))
    .action(action((topic: string, paths: string[], options: Options) => run({ topic, paths, options }, context)));
};

async function run({ topic, paths, options }: { topic: string; paths: readonly string[]; options: Options }, context: CliContext): Promise<number> {
  const { terminal, environment } = context;
  const isJson = options.format === 'json';
  if (isJson && options.property !== undefined) throw new TailraceError('usage', '--property is about lines, and --format json says them otherwise', { remedy: 'leave one out' });
  const read = isJson ? readJsonLine : readLines(lineFormat(options.property ?? {}));
  const configs = requirePipelines(paths, environment).map(({ config }) => config);
  let durable = 0;
  try {
    await produce(configs, { topic, read, input: terminal.input, runtimeFolder: environment['TAILRACE_RUNTIME_DIR'], signal: context.takeSignals(), onDurable: (records) => (durable = records) });
  } catch (error) {
    terminal.err(`${records(durable)} durable in ${printable(topic)}, those in front of what failed`);
    throw error;
  }
  terminal.out(`${records(durable)} durable in ${printable(topic)}`);
  return 0;
}

function records(count: number): string {
  return count === 1 ? '1 record is' : `${count.toLocaleString('en')} records are`;
}

function property(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('name=value is needed, for example parse.key=true.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

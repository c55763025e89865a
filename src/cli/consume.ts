import { InvalidArgumentError } from 'commander';
import { consume } from '../app/consume.ts';
import type { RecordView } from '../app/event-view.ts';
import { requirePipelines } from '../config/load.ts';
import { TailraceError } from '../runtime/errors.ts';
import { printable } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { wholeNumber, word } from './options.ts';

interface Options {
  readonly fromBeginning?: boolean;
  readonly offset?: number;
  readonly max?: number;
  readonly until?: number;
  readonly follow?: boolean;
  readonly partition?: number;
  readonly whole?: boolean;
  readonly format?: string;
}

export const defineConsume: DefineCommand = (command, context) => {
  command
    .description('Print the records of a topic. Without --from-beginning or --offset it begins at the end and waits for what comes; with one of them it ends where the topic does now, unless --follow says otherwise.')
    .argument('<topic>', 'for example shop.public.orders; with one pipeline its name may be left out')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--from-beginning', 'begin at the first record that the log holds')
    .option('--offset <n>', 'begin at this offset', wholeNumber(0))
    .option('--follow', 'wait for more at the end')
    .option('--max <n>', 'end after so many records', wholeNumber(1))
    .option('--until <time>', 'end at the first record of this time or later, for example 2026-01-31T12:00:00Z', time)
    .option('--partition <n>', 'only this partition', wholeNumber(0, 100_000))
    .option('--whole', 'complete updates that lack unchanged columns (TOAST) from what the log holds of the row')
    .option('--format <format>', 'json: one object a line; line: for people (default: line on a terminal, else json)', word(['json', 'line']))
    .addHelpText('after', examples('consume shop.public.orders --from-beginning --max 10', 'consume shop.public.orders --format json | jq .after', 'consume shop.transaction --offset 0 --follow'))
    .action(action((topic: string, paths: string[], options: Options) => run({ topic, paths, options }, context)));
};

async function run({ topic, paths, options }: { topic: string; paths: readonly string[]; options: Options }, { terminal, environment }: CliContext): Promise<number> {
  if (options.fromBeginning === true && options.offset !== undefined) throw new TailraceError('usage', '--from-beginning and --offset both say where to begin', { remedy: 'leave one out' });
  const configs = requirePipelines(paths, environment).map(({ config }) => config);
  const from = options.fromBeginning === true ? 'beginning' : (options.offset ?? 'end');
  const format = options.format ?? (terminal.interactive ? 'line' : 'json');
  await consume(configs, {
    topic,
    partition: options.partition,
    from,
    max: options.max ?? Number.POSITIVE_INFINITY,
    whole: options.whole === true,
    until: options.until ?? Number.POSITIVE_INFINITY,
    follow: options.follow === true || from === 'end',
    // Ctrl-C ends the process: nothing is held that would have to be given back.
    signal: new AbortController().signal,
    onRecord: (record) => terminal.out(format === 'json' ? JSON.stringify(record) : line(record)),
  });
  return 0;
}

const ops: Readonly<Record<string, string>> = { c: 'insert', r: 'read', u: 'update', d: 'delete', t: 'truncate', m: 'message', tombstone: 'tombstone' };

/** `12:00:01.250  16  update  0/1A2B.3  {"id":"1"}  {"id":"1","total":"9.99"}`. */
function line(record: RecordView): string {
  const { offset, timestamp, op, commit_lsn: lsn, ordinal, before, after, value, half, prefix, content } = record;
  const what = op === undefined ? '' : `${ops[op] ?? op}${half === undefined ? '' : ` (${half} key)`}`;
  const parts = [timestamp.slice(11, 23), String(offset), what.padEnd(8), lsn === undefined ? '' : `${lsn}.${ordinal}`];
  if (op === 'd') parts.push(JSON.stringify(before));
  else if (prefix !== undefined) parts.push(prefix, JSON.stringify(content));
  else if (after != null) parts.push(JSON.stringify(after));
  else if (value !== undefined) parts.push(JSON.stringify(value));
  return printable(parts.filter((part) => part !== '').join('  '));
}

function time(text: string): number {
  const at = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw new InvalidArgumentError('A time is needed, for example 2026-01-31T12:00:00Z.');
  return at;
}

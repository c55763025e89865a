import { InvalidArgumentError, Option } from 'commander';
import { consume } from '../app/consume.ts';
import { lsnOf, type ConsumeFrom } from '../app/consume-from.ts';
import type { RecordView } from '../app/event-view.ts';
import { parseFilter, type RecordFilter } from '../app/record-filter.ts';
import { requirePipelines } from '../config/load.ts';
import { TailraceError } from '../runtime/errors.ts';
import { printable, shortened } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { time, wholeNumber, word } from './options.ts';

interface Options {
  readonly fromBeginning?: boolean;
  readonly offset?: number | 'earliest' | 'latest';
  readonly fromTime?: number;
  readonly fromLsn?: bigint;
  readonly group?: string;
  readonly maxMessages?: number;
  /** An older name of the same. */
  readonly max?: number;
  readonly until?: number;
  readonly follow?: boolean;
  readonly partition?: number;
  readonly filter?: readonly RecordFilter[];
  readonly whole?: boolean;
  readonly format?: string;
}

export const defineConsume: DefineCommand = (command, context) => {
  command
    .description('Print the records of a topic. Without a place to begin it begins at the end and waits for what comes; with one it ends where the topic does now, unless --follow says otherwise. A group goes on where it was and waits.')
    .argument('<topic>', 'for example shop.public.orders; with one pipeline its name may be left out')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--group <name>', 'go on where this group has come to, and write down what was printed; one consumer at a time is the group', word())
    .option('--from-beginning', 'begin at the first record that the log holds; with --group: where it has not been here yet')
    .option('--offset <n>', 'begin at this offset; or earliest, or latest', offset)
    .option('--from-time <time>', 'begin at the first record of this time or later, for example 2026-01-31T12:00:00Z', time)
    .option('--from-lsn <lsn>', 'begin at the first change of this commit LSN or later, for example 16/B374D848', commitLsn)
    .option('--follow', 'wait for more at the end')
    .option('--no-follow', 'end where the topic does now')
    .option('--max-messages <n>', 'end after so many records were printed', wholeNumber(1))
    .addOption(new Option('--max <n>').argParser(wholeNumber(1)).hideHelp())
    .option('--until <time>', 'end at the first record of this time or later', time)
    .option('--partition <n>', 'only this partition', wholeNumber(0, 100_000))
    .option('--filter <conditions>', 'only records that fulfil them, for example "op = update and total >= 100"; may be given several times', filter)
    .option('--whole', 'complete updates that lack unchanged columns (TOAST) from what the log holds of the row')
    .option('--format <format>', 'json: one object a line; line: for people (default: line on a terminal, else json)', word(['json', 'line']))
    .addHelpText('after', examples('consume shop.public.orders --from-beginning --max-messages 10', 'consume shop.public.orders --group mailer --from-beginning', 'consume shop.public.orders --from-time 2026-01-31 --filter "op = delete"', 'consume shop.public.orders --format json | jq .after', 'consume shop.transaction --offset 0 --follow'))
    .action(action((topic: string, paths: string[], options: Options) => run({ topic, paths, options }, context)));
};

async function run({ topic, paths, options }: { topic: string; paths: readonly string[]; options: Options }, context: CliContext): Promise<number> {
  const { terminal, environment } = context;
  const from = placeOf(options);
  const configs = requirePipelines(paths, environment).map(({ config }) => config);
  const format = options.format ?? (terminal.interactive ? 'line' : 'json');
  await consume(configs, {
    topic,
    partition: options.partition,
    from,
    max: options.maxMessages ?? options.max ?? Number.POSITIVE_INFINITY,
    whole: options.whole === true,
    filter: options.filter === undefined ? undefined : (record) => options.filter?.every((holds) => holds(record)) ?? true,
    until: options.until ?? Number.POSITIVE_INFINITY,
    follow: options.follow ?? ('group' in from || ('at' in from && from.at === 'end')),
    // Without a group Ctrl-C ends the process: nothing is held that would have to be given back.
    signal: options.group === undefined ? new AbortController().signal : context.takeSignals(),
    onRecord: (record) => terminal.out(format === 'json' ? JSON.stringify(record) : line(record)),
    written: () => terminal.flushed(),
    onWaiting: () => terminal.err(`another consumer is the group ${printable(options.group ?? '')}: waiting until it ends`),
  });
  return 0;
}

function placeOf(options: Options): ConsumeFrom {
  const { group, fromBeginning, offset: at, fromTime, fromLsn } = options;
  const given = [fromBeginning === true ? '--from-beginning' : null, at === undefined ? null : '--offset', fromTime === undefined ? null : '--from-time', fromLsn === undefined ? null : '--from-lsn'].filter((name) => name !== null);
  if (given.length > 1) throw new TailraceError('usage', `${given.slice(0, 2).join(' and ')} both say where to begin`, { remedy: 'leave one out' });
  if (group !== undefined && given.length > 0 && fromBeginning !== true) {
    throw new TailraceError('usage', `a group begins where it has come to, and ${given[0]} says something else`, { remedy: `leave one out; to put a group elsewhere: tailrace groups reset-offsets ${shortened(group, 60)} --topic TOPIC` });
  }
  if (group !== undefined && options.partition !== undefined) throw new TailraceError('usage', 'a group reads all partitions', { remedy: 'leave --partition out' });
  if (group !== undefined) return { group, otherwise: fromBeginning === true ? 'beginning' : 'end' };
  if (typeof at === 'number') return { offset: at };
  if (fromTime !== undefined) return { time: fromTime };
  if (fromLsn !== undefined) return { lsn: fromLsn };
  return { at: fromBeginning === true || at === 'earliest' ? 'beginning' : 'end' };
}

const ops: Readonly<Record<string, string>> = { c: 'insert', r: 'read', u: 'update', d: 'delete', t: 'truncate', m: 'message', tombstone: 'tombstone' };

/** `12:00:01.250  16  update  0/1A2B.3  {"id":"1"}  {"id":"1","total":"9.99"}`. */
function line(record: RecordView): string {
  const { offset, timestamp, op, from_topic: from = '', commit_lsn: lsn, ordinal, before, after, key, value, half, prefix, content } = record;
  const what = op === undefined ? '' : `${ops[op] ?? op}${half === undefined ? '' : ` (${half} key)`}`;
  const parts = [timestamp.slice(11, 23), String(offset), what.padEnd(8), from, lsn === undefined ? '' : `${lsn}.${ordinal}`];
  if (op === 'd') parts.push(JSON.stringify(before));
  else if (prefix !== undefined) parts.push(prefix, JSON.stringify(content));
  else if (after != null) parts.push(JSON.stringify(after));
  else if (value !== undefined) parts.push(...(key === undefined ? [] : [JSON.stringify(key)]), JSON.stringify(value));
  return printable(parts.filter((part) => part !== '').join('  '));
}

const wholeOffset = wholeNumber(0);

function offset(text: string, previous: number | 'earliest' | 'latest' | undefined): number | 'earliest' | 'latest' {
  if ((text === 'earliest' || text === 'latest') && previous === undefined) return text;
  return wholeOffset(text, previous as number | undefined);
}

function commitLsn(text: string): bigint {
  const found = lsnOf(text);
  if (found === null) throw new InvalidArgumentError('An LSN is needed, for example 16/B374D848.');
  return found;
}

function filter(text: string, before: readonly RecordFilter[] = []): readonly RecordFilter[] {
  return [...before, parseFilter(text)];
}

import { InvalidArgumentError } from 'commander';
import { deleteGroup, describeGroups, noGroup, resetOffsets, type GroupPlace, type ResetTo } from '../app/groups.ts';
import { requirePipelines } from '../config/load.ts';
import { TailraceError } from '../runtime/errors.ts';
import { printable } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { time, wholeNumber } from './options.ts';
import { confirmed } from './pick.ts';
import { columns } from './terminal.ts';

const pathsHelp = 'connector files, or folders of them (default: connectors/)';

interface ResetOptions {
  readonly topic: string;
  readonly partition?: number;
  readonly toEarliest?: boolean;
  readonly toLatest?: boolean;
  readonly toCurrent?: boolean;
  readonly toOffset?: number;
  readonly toDatetime?: number;
  readonly shiftBy?: number;
  readonly execute?: boolean;
}

/** With the options of kafka-consumer-groups.sh. */
export const defineGroups: DefineCommand = (command, context) => {
  command.description('Where the groups of tailrace consume --group stand, on Kafka also those of other clients; put them elsewhere, or forget them.').addHelpText('after', examples('groups list', 'groups describe mailer', 'groups reset-offsets mailer --topic shop.public.orders --to-earliest --execute'));
  command
    .command('list')
    .description('List the groups that have read topics of the pipelines, and how far they are behind.')
    .argument('[paths...]', pathsHelp)
    .option('--json', 'print JSON')
    .addHelpText('after', examples('groups list', 'groups list connectors/shop.yaml --json'))
    .action(action((paths: string[], options: { json?: boolean }) => list(paths, options.json === true, context)));
  command
    .command('describe')
    .description('For each partition that a group reads: the offset where it goes on, where the partition ends, and the lag between them in records.')
    .argument('<group>', 'its name')
    .argument('[paths...]', pathsHelp)
    .option('--json', 'print JSON')
    .addHelpText('after', examples('groups describe mailer', 'groups describe mailer connectors/shop.yaml --json'))
    .action(action((group: string, paths: string[], options: { json?: boolean }) => describe({ group, paths, json: options.json === true }, context)));
  command
    .command('delete')
    .description('Forget where a group stands. What it would read stays. No consumer may be the group.')
    .argument('<group>', 'its name')
    .argument('[paths...]', pathsHelp)
    .option('--yes', 'do not ask')
    .addHelpText('after', examples('groups delete mailer', 'groups delete mailer connectors/shop.yaml --yes'))
    .action(action((group: string, paths: string[], options: { yes?: boolean }) => remove({ group, paths, yes: options.yes === true }, context)));
  defineReset(command.command('reset-offsets'), context);
};

const defineReset: DefineCommand = (command, context) => {
  command
    .description('Put a group elsewhere in a topic. Without --execute it only says where that would be. No consumer may be the group.')
    .argument('<group>', 'its name; one that is new is made')
    .argument('[paths...]', pathsHelp)
    .requiredOption('--topic <topic>', 'of this topic')
    .option('--partition <n>', 'only of this partition', wholeNumber(0, 100_000))
    .option('--to-earliest', 'to the first record that the log holds')
    .option('--to-latest', 'to the end')
    .option('--to-current', 'to where it stands, or to the end where it has not been')
    .option('--to-offset <n>', 'to this offset, or the nearest that is held', wholeNumber(0))
    .option('--to-datetime <time>', 'to the first record of this time or later, for example 2026-01-31T12:00:00Z', time)
    .option('--shift-by <n>', 'by so many records from where it stands; back with a minus sign', shift)
    .option('--execute', 'do it')
    .addHelpText('after', examples('groups reset-offsets mailer --topic shop.public.orders --to-earliest', 'groups reset-offsets mailer --topic shop.public.orders --shift-by -100 --execute'))
    .action(action((group: string, paths: string[], options: ResetOptions) => reset({ group, paths, options }, context)));
};

async function list(paths: readonly string[], json: boolean, { terminal, environment }: CliContext): Promise<number> {
  const places = await describeGroups(configsOf(paths, environment));
  const groups = [...new Set(places.map(({ group }) => group))].toSorted().map((group) => {
    const own = places.filter((place) => place.group === group);
    return { group, topics: [...new Set(own.map(({ topic }) => topic))], lag: own.reduce((sum, { lag }) => sum + (lag ?? 0), 0) };
  });
  if (json) terminal.out(JSON.stringify(groups, null, 2));
  else terminal.out(columns([['GROUP', 'LAG', 'TOPICS'], ...groups.map(({ group, topics, lag }) => [printable(group), String(lag), topics.map(printable).join(', ')])]));
  return 0;
}

async function describe({ group, paths, json }: { group: string; paths: readonly string[]; json: boolean }, { terminal, environment }: CliContext): Promise<number> {
  const places = await describeGroups(configsOf(paths, environment), group);
  if (places.length === 0) throw noGroup(group);
  terminal.out(json ? JSON.stringify(places, null, 2) : table(places));
  return 0;
}

async function remove({ group, paths, yes }: { group: string; paths: readonly string[]; yes: boolean }, { terminal, environment }: CliContext): Promise<number> {
  const configs = configsOf(paths, environment);
  if (!(await confirmed(terminal, { question: `This forgets where the group ${printable(group)} stands.`, word: group, yes }))) return 2;
  await deleteGroup(configs, group);
  terminal.out(`the group ${printable(group)} is forgotten`);
  return 0;
}

async function reset({ group, paths, options }: { group: string; paths: readonly string[]; options: ResetOptions }, { terminal, environment }: CliContext): Promise<number> {
  const { topic, partition, execute } = options;
  const places = await resetOffsets(configsOf(paths, environment), { group, topic, partition, to: targetOf(options), execute: execute === true });
  terminal.out(table(places));
  if (execute !== true) terminal.err('nothing was done; add --execute to do it');
  return 0;
}

function targetOf({ toEarliest, toLatest, toCurrent, toOffset, toDatetime, shiftBy }: ResetOptions): ResetTo {
  const given: ResetTo[] = [];
  if (toEarliest === true) given.push({ to: 'earliest' });
  if (toLatest === true) given.push({ to: 'latest' });
  if (toCurrent === true) given.push({ to: 'current' });
  if (toOffset !== undefined) given.push({ offset: toOffset });
  if (toDatetime !== undefined) given.push({ time: toDatetime });
  if (shiftBy !== undefined) given.push({ by: shiftBy });
  const [target, ...more] = given;
  if (target !== undefined && more.length === 0) return target;
  throw new TailraceError('usage', target === undefined ? 'it is not said where the group is to go' : 'it is said twice where the group is to go', { remedy: 'Give one of --to-earliest, --to-latest, --to-current, --to-offset, --to-datetime and --shift-by.' });
}

function shift(text: string): number {
  if (!/^[+-]?\d{1,15}$/.test(text)) throw new InvalidArgumentError('A whole number is needed, for example -100.');
  return Number(text);
}

function table(places: readonly GroupPlace[]): string {
  const rows = places.map(({ group, topic, partition, currentOffset, logEndOffset, lag }) => [printable(group), printable(topic), String(partition), String(currentOffset), String(logEndOffset ?? '-'), String(lag ?? '-')]);
  return columns([['GROUP', 'TOPIC', 'PARTITION', 'CURRENT-OFFSET', 'LOG-END-OFFSET', 'LAG'], ...rows]);
}

function configsOf(paths: readonly string[], environment: CliContext['environment']): Parameters<typeof describeGroups>[0] {
  return requirePipelines(paths, environment).map(({ config }) => config);
}

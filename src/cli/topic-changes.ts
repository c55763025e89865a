import { type Command, InvalidArgumentError } from 'commander';
import { changeTopic, type TopicOrder } from '../app/topic-changes.ts';
import { requirePipelines } from '../config/load.ts';
import { TailraceError } from '../runtime/errors.ts';
import { printable, shortened } from '../runtime/printable.ts';
import { action, examples, type CliContext } from './context.ts';
import { wholeNumber } from './options.ts';
import { confirmed } from './pick.ts';

interface Options {
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly config?: Readonly<Record<string, string>>;
  readonly deleteConfig?: Readonly<Record<string, null>>;
  readonly ifExists?: boolean;
  readonly ifNotExists?: boolean;
  readonly force?: boolean;
  readonly yes?: boolean;
}

interface Change {
  readonly order: TopicOrder;
  readonly paths: readonly string[];
  readonly options: Options;
}

const topicHelp = "for example shop.clicks: the pipeline's name, a dot, and a name without one; with one pipeline its name may be left out";
const pathsHelp = 'connector files, or folders of them (default: connectors/)';
const forceHelp = 'also a topic that the pipeline itself writes; its daemon must not run';

/** `topics create`, `alter` and `delete`, with the options of kafka-topics.sh and kafka-configs.sh. */
export function defineTopicChanges(command: Command, context: CliContext): void {
  command
    .command('create')
    .description('Make a topic to produce to. A pipeline makes the topics of its tables itself.')
    .argument('<topic>', topicHelp)
    .argument('[paths...]', pathsHelp)
    .option('--partitions <n>', 'how many partitions; the records of a key stay in one, in order (default: 1)', wholeNumber(1, 10_000))
    .option('--replication-factor <n>', 'on how many brokers each is kept (Kafka; default: log.replication)', wholeNumber(1, 100))
    .option('--config <name=value>', 'a setting, as Kafka names it; may be given several times (Kafka)', setting)
    .option('--if-not-exists', 'no error where it is there already')
    .addHelpText('after', examples('topics create shop.clicks', 'topics create shop.clicks --partitions 3 --config retention.ms=604800000 --if-not-exists'))
    .action(action((topic: string, paths: string[], options: Options) => change({ order: { do: 'create', topic, partitions: options.partitions ?? 1, replication: options.replicationFactor ?? null, settings: options.config ?? {} }, paths, options }, context)));
  command
    .command('alter')
    .description('Give a topic more partitions, or other settings (Kafka).')
    .argument('<topic>', topicHelp)
    .argument('[paths...]', pathsHelp)
    .option('--partitions <n>', 'how many it is to have, more than now; a key may go to another one from then on', wholeNumber(1, 10_000))
    .option('--config <name=value>', 'a setting, as Kafka names it; may be given several times (Kafka)', setting)
    .option('--delete-config <name>', 'a setting to take back; may be given several times (Kafka)', noSetting)
    .option('--if-exists', 'no error where it is not there')
    .option('--force', forceHelp)
    .addHelpText('after', examples('topics alter shop.clicks --partitions 6', 'topics alter shop.clicks --config retention.ms=86400000 --delete-config segment.bytes'))
    .action(action((topic: string, paths: string[], options: Options) => change({ order: { do: 'alter', topic, partitions: options.partitions ?? null, settings: { ...options.config, ...options.deleteConfig } }, paths, options }, context)));
  command
    .command('delete')
    .description('Delete a topic with all of its records, on disk too.')
    .argument('<topic>', topicHelp)
    .argument('[paths...]', pathsHelp)
    .option('--if-exists', 'no error where it is not there')
    .option('--force', forceHelp)
    .option('--yes', 'do not ask')
    .addHelpText('after', examples('topics delete shop.clicks', 'topics delete shop.clicks --if-exists --yes'))
    .action(action((topic: string, paths: string[], options: Options) => change({ order: { do: 'delete', topic }, paths, options }, context)));
}

async function change({ order, paths, options }: Change, { terminal, environment }: CliContext): Promise<number> {
  if (order.do === 'alter' && order.partitions === null && Object.keys(order.settings).length === 0) throw new TailraceError('usage', 'there is nothing to alter', { remedy: 'Say --partitions, --config or --delete-config.' });
  const configs = requirePipelines(paths, environment).map(({ config }) => config);
  const asked = { force: options.force === true, runtimeFolder: environment['TAILRACE_RUNTIME_DIR'] };
  if (order.do === 'delete' && !(await confirmed(terminal, { question: `This deletes ${printable(order.topic)} with all of its records.`, word: order.topic, yes: options.yes === true }))) return 2;
  const { topic, done } = await changeTopic(configs, order, asked);
  if (done) {
    terminal.out(`${printable(topic)} was ${{ create: 'made', alter: 'changed', delete: 'deleted' }[order.do]}`);
    return 0;
  }
  const [tolerated, what] = order.do === 'create' ? [options.ifNotExists, 'is there already'] : [options.ifExists, 'is not there'];
  if (tolerated !== true) throw new TailraceError('usage', `the topic ${shortened(topic, 80)} ${what}`, { remedy: `See tailrace topics list, or add ${order.do === 'create' ? '--if-not-exists' : '--if-exists'}.` });
  terminal.out(`${printable(topic)} ${what}`);
  return 0;
}

function setting(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const [, name, value] = /^([a-z][a-z0-9._-]*)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('name=value is needed, for example retention.ms=86400000.');
  if (Object.hasOwn(before, name)) throw new InvalidArgumentError(`${name} is given twice.`);
  return { ...before, [name]: value };
}

function noSetting(name: string, before: Readonly<Record<string, null>> = {}): Readonly<Record<string, null>> {
  if (!/^[a-z][a-z0-9._-]*$/.test(name)) throw new InvalidArgumentError('The name of a setting is needed, for example retention.ms.');
  return { ...before, [name]: null };
}

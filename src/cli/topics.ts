import { describeTopics, findTopic, type TopicDescription } from '../app/topics.ts';
import { requirePipelines } from '../config/load.ts';
import { printable } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { columns } from './terminal.ts';

export const defineTopics: DefineCommand = (command, context) => {
  command.description('List and describe topics. Reads the log, also while a daemon writes it.').addHelpText('after', examples('topics list', 'topics describe shop.public.orders'));
  command
    .command('list')
    .description('List the topics of the pipelines.')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('topics list', 'topics list connectors/shop.yaml --json'))
    .action(action((paths: string[], options: { json?: boolean }) => list(paths, options.json === true, context)));
  command
    .command('describe')
    .description("Describe a topic's partitions: which offsets they hold, and from when.")
    .argument('<topic>', 'for example shop.public.orders; with one pipeline its name may be left out')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('topics describe shop.public.orders', 'topics describe shop.transaction connectors/shop.yaml'))
    .action(action((topic: string, paths: string[], options: { json?: boolean }) => describe({ topic, paths, json: options.json === true }, context)));
};

async function list(paths: readonly string[], json: boolean, { terminal, environment }: CliContext): Promise<number> {
  const topics: TopicDescription[] = [];
  for (const { config } of requirePipelines(paths, environment)) topics.push(...(await describeTopics(config)));
  if (json) terminal.out(JSON.stringify(topics, null, 2));
  else terminal.out(columns([['TOPIC', 'KIND', 'PARTITIONS', 'RECORDS', 'LAST'], ...topics.map(row)]));
  return 0;
}

function row({ topic, kind, partitions }: TopicDescription): readonly string[] {
  const records = partitions.reduce((sum, { start, end }) => sum + end - start, 0);
  const last = Math.max(...partitions.map(({ lastAt }) => lastAt ?? 0));
  return [printable(topic), kind, String(partitions.length), String(records), time(last === 0 ? null : last)];
}

async function describe({ topic, paths, json }: { topic: string; paths: readonly string[]; json: boolean }, { terminal, environment }: CliContext): Promise<number> {
  const configs = requirePipelines(paths, environment).map(({ config }) => config);
  const found = await findTopic(configs, topic);
  const description = (await describeTopics(found.config)).find((candidate) => candidate.topic === found.topic);
  if (json) terminal.out(JSON.stringify(description, null, 2));
  else {
    const rows = (description?.partitions ?? []).map(({ partition, start, end, firstAt, lastAt }) => [String(partition), String(start), String(end), String(end - start), time(firstAt), time(lastAt)]);
    terminal.out(`${printable(found.topic)}  (${description?.kind})`);
    terminal.out(columns([['PARTITION', 'FIRST OFFSET', 'NEXT OFFSET', 'RECORDS', 'FIRST', 'LAST'], ...rows]));
  }
  return 0;
}

function time(at: number | null): string {
  return at === null ? '-' : new Date(at).toISOString();
}

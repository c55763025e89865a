import { describeTopics, findTopic, type TopicDescription } from '../app/topics.ts';
import { requirePipelines } from '../config/load.ts';
import { printable } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { columns } from './terminal.ts';
import { defineTopicChanges } from './topic-changes.ts';
import { defineTopicCompaction } from './topic-compaction.ts';
import { defineTopicsCopy } from './topics-copy.ts';
import { defineTopicsMerge } from './topics-merge.ts';
import { formatSize } from '../runtime/units.ts';

export const defineTopics: DefineCommand = (command, context) => {
  command.description('List, describe, make, change, compact, merge and delete topics, also while a daemon runs.').addHelpText('after', examples('topics list', 'topics describe shop.public.orders', 'topics create shop.clicks'));
  command
    .command('list')
    .description('List the topics of the pipelines.')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('topics list', 'topics list connectors/shop.yaml --json'))
    .action(action((paths: string[], options: { json?: boolean }) => list(paths, options.json === true, context)));
  command
    .command('describe')
    .description("Describe a topic's partitions: which offsets they hold, from when, and what they take on disk.")
    .argument('<topic>', 'for example shop.public.orders; with one pipeline its name may be left out')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('topics describe shop.public.orders', 'topics describe shop.transaction connectors/shop.yaml'))
    .action(action((topic: string, paths: string[], options: { json?: boolean }) => describe({ topic, paths, json: options.json === true }, context)));
  defineTopicChanges(command, context);
  defineTopicCompaction(command, context);
  defineTopicsMerge(command, context);
  defineTopicsCopy(command, context);
};

async function list(paths: readonly string[], json: boolean, { terminal, environment }: CliContext): Promise<number> {
  const topics: TopicDescription[] = [];
  for (const { config } of requirePipelines(paths, environment)) topics.push(...(await describeTopics(config)));
  if (json) terminal.out(JSON.stringify(topics, null, 2));
  else terminal.out(columns([['TOPIC', 'KIND', 'PARTITIONS', 'RECORDS', 'SIZE', 'LAST'], ...topics.map(row)]));
  return 0;
}

function row({ topic, kind, partitions }: TopicDescription): readonly string[] {
  const records = partitions.reduce((sum, { start, end }) => sum + end - start, 0);
  const bytes = partitions.reduce((sum, partition) => sum + partition.bytes, 0);
  const last = Math.max(...partitions.map(({ lastAt }) => lastAt ?? 0));
  return [printable(topic), kind, String(partitions.length), String(records), formatSize(bytes), time(last === 0 ? null : last)];
}

async function describe({ topic, paths, json }: { topic: string; paths: readonly string[]; json: boolean }, { terminal, environment }: CliContext): Promise<number> {
  const configs = requirePipelines(paths, environment).map(({ config }) => config);
  const found = await findTopic(configs, topic);
  const description = (await describeTopics(found.config, found.topic))[0];
  if (json) terminal.out(JSON.stringify(description, null, 2));
  else {
    const rows = (description?.partitions ?? []).map(({ partition, start, end, bytes, segments, firstAt, lastAt }) => [
      String(partition), String(start), String(end), String(end - start), formatSize(bytes), segments === null ? '-' : String(segments), time(firstAt), time(lastAt),
    ]);
    terminal.out(`${printable(found.topic)}  (${description?.kind})`);
    terminal.out(columns([['PARTITION', 'FIRST OFFSET', 'NEXT OFFSET', 'RECORDS', 'SIZE', 'SEGMENTS', 'FIRST', 'LAST'], ...rows]));
  }
  return 0;
}

function time(at: number | null): string {
  return at === null ? '-' : new Date(at).toISOString();
}

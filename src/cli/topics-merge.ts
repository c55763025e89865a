import { statSync } from 'node:fs';
import type { Command } from 'commander';
import { isLogFolder, type SourceSpec } from '../app/merge-sources.ts';
import { mergeTopics, type MergedSize } from '../app/merge-topics.ts';
import { requirePipelines } from '../config/load.ts';
import { TailraceError } from '../runtime/errors.ts';
import { printable, shortened } from '../runtime/printable.ts';
import { formatSize } from '../runtime/units.ts';
import { action, examples, type CliContext } from './context.ts';
import { word } from './options.ts';
import { columns } from './terminal.ts';

interface Options {
  readonly into: string;
  readonly json?: boolean;
}

const reportInterval = 2000;

/** `topics merge`. */
export function defineTopicsMerge(command: Command, context: CliContext): void {
  command
    .command('merge')
    .description('Merge topics, or whole logs, into one topic in the order of their commits, while they are written and read. What is there now is merged; run again, it goes on where it was, and where it was cut off.')
    .argument('<sources...>', 'topics, also with * for any characters (shop.public.orders, \'shop.public.*\'); folders of other logs, with a slash in them, for all of their tables (./data/old) or one topic (./data/old:public.orders); connector files, or folders of them (default: connectors/)')
    .requiredOption('--into <topic>', 'made where it is not there, with one partition; a name without a dot behind the pipeline\'s', word())
    .option('--json', 'print JSON')
    .addHelpText('after', examples('topics merge shop.public.orders shop.public.payments --into shop.all', "topics merge 'shop.public.*' ./data/shop-until-may --into shop.history"))
    .action(action((given: string[], options: Options) => merge(given, options, context)));
}

async function merge(given: readonly string[], { into, json }: Options, { terminal, environment }: CliContext): Promise<number> {
  const { paths, sources } = takeApart(given);
  if (sources.length === 0) throw new TailraceError('usage', 'there is nothing to merge', { remedy: 'Name topics, or folders of logs: tailrace topics merge shop.public.orders shop.public.payments --into shop.all' });
  const configs = requirePipelines(paths, environment).map(({ config }) => config);
  let reportedAt = Date.now();
  const result = await mergeTopics(configs, {
    sources, into, runtimeFolder: environment['TAILRACE_RUNTIME_DIR'],
    onWaiting: () => terminal.err(`another merge into ${printable(into)} is at work: waiting until it ends`),
    onProgress: (records, part) => {
      if (Date.now() - reportedAt < reportInterval) return;
      reportedAt = Date.now();
      terminal.err(`${records} records merged, ${Math.floor(part * 100)}%`);
    },
  });
  const { topic, merged, before, after } = result;
  if (json === true) terminal.out(JSON.stringify(result));
  else {
    terminal.out(columns([['TOPIC', '', 'RECORDS', 'SIZE', 'SEGMENTS'], ...result.sources.map((size) => row(size, 'source')), row(before, 'before'), row(after, 'now')]));
    terminal.out(`${merged} ${merged === 1 ? 'record was' : 'records were'} merged into ${printable(topic)}`);
  }
  return 0;
}

function row({ topic, folder, records, bytes, segments }: MergedSize, what: string): readonly string[] {
  return [printable(folder === null ? topic : `${folder}:${topic}`), what, String(records), formatSize(bytes), segments === null ? '-' : String(segments)];
}

/** What has a slash, or ends as a connector file does, is a path; everything else a topic. */
function takeApart(given: readonly string[]): { readonly paths: readonly string[]; readonly sources: readonly SourceSpec[] } {
  const paths: string[] = [];
  const sources: SourceSpec[] = [];
  for (const text of given) {
    if (!/\/|\.ya?ml$/.test(text)) sources.push({ topic: text });
    else if (isLogFolder(text)) sources.push({ folder: text, topic: null });
    else if (statSync(text, { throwIfNoEntry: false }) !== undefined) paths.push(text);
    else sources.push(folderTopic(text));
  }
  return { paths, sources };
}

function folderTopic(text: string): SourceSpec {
  const at = text.lastIndexOf(':');
  const folder = text.slice(0, Math.max(at, 0));
  if (at > 0 && at < text.length - 1 && isLogFolder(folder)) return { folder, topic: text.slice(at + 1) };
  throw new TailraceError('usage', `${shortened(text, 120)} is neither a connector file nor a folder of them, nor one with a log`, { remedy: 'The topic of a log in a folder is written FOLDER:TOPIC.' });
}

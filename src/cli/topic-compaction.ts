import type { Command } from 'commander';
import { compactNow } from '../app/topic-compaction.ts';
import { requirePipelines } from '../config/load.ts';
import { printable } from '../runtime/printable.ts';
import { formatSize } from '../runtime/units.ts';
import { action, examples, type CliContext } from './context.ts';
import { milliseconds } from './options.ts';

interface Options {
  readonly deleteRetention?: number;
  readonly json?: boolean;
}

/** `topics compact`. */
export function defineTopicCompaction(command: Command, context: CliContext): void {
  command
    .command('compact')
    .description('Keep only the newest record of each key of a topic that people produce to, with its offset, while it is written and read.')
    .argument('<topic>', 'for example shop.clicks; with one pipeline its name may be left out')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--delete-retention <time>', 'how long a record without a value stays once those before it are gone (default: 1d)', milliseconds)
    .option('--json', 'print JSON')
    .addHelpText('after', examples('topics compact shop.clicks', 'topics compact shop.clicks --delete-retention 1h'))
    .action(action((topic: string, paths: string[], options: Options) => compact({ topic, paths, options }, context)));
}

async function compact({ topic, paths, options }: { topic: string; paths: readonly string[]; options: Options }, { terminal, environment }: CliContext): Promise<number> {
  const configs = requirePipelines(paths, environment).map(({ config }) => config);
  const order = { topic, deleteRetention: options.deleteRetention ?? 86_400_000, runtimeFolder: environment['TAILRACE_RUNTIME_DIR'] };
  const { topic: name, sizes } = await compactNow(configs, order);
  const { before, after } = sizes;
  if (options.json === true) terminal.out(JSON.stringify({ topic: name, before, after }));
  else terminal.out(`${printable(name)} was compacted: ${formatSize(before.bytes)} in ${segments(before.segments)} before, ${formatSize(after.bytes)} in ${segments(after.segments)} now`);
  return 0;
}

function segments(count: number): string {
  return `${count} ${count === 1 ? 'segment' : 'segments'}`;
}

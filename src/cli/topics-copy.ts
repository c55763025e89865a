import { copyLog, placeOf } from '../app/move-log.ts';
import { requirePipelines } from '../config/load.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { pickPipeline } from './pick.ts';

interface Options {
  readonly pipeline?: string;
}

const reportInterval = 2000;

export const defineTopicsCopy: DefineCommand = (topics, context) => {
  topics
    .command('copy')
    .description('Move a pipeline to another log: copy all of its topics, with new ENDs, and end the old log. The pipeline then goes on with the new file, without new snapshots. Stop the daemon first. A copy that is cut off goes on when the command is run again.')
    .argument('<old>', 'the connector file with the log as it is')
    .argument('<new>', 'the same file with another log')
    .option('--pipeline <name>', 'the pipeline, where a file has several')
    .addHelpText('after', examples('topics copy shop.yaml shop-on-kafka.yaml'))
    .action(action((from: string, to: string, options: Options) => copy({ from, to, options }, context)));
};

async function copy({ from, to, options }: { from: string; to: string; options: Options }, { terminal, environment }: CliContext): Promise<number> {
  const [old, made] = [from, to].map((path) => pickPipeline(requirePipelines([path], environment), options.pipeline));
  if (old === undefined || made === undefined) return 2;
  let moved = { transactions: 0, events: 0 };
  let reportedAt = Date.now();
  await copyLog(old, made, (copied) => {
    moved = copied;
    if (Date.now() - reportedAt < reportInterval) return;
    reportedAt = Date.now();
    terminal.err(`${moved.transactions} transactions with ${moved.events} events copied`);
  });
  terminal.out(`${old.name} is in ${placeOf(made.log)} now: ${moved.transactions} transactions with ${moved.events} events were copied. Go on with: tailrace run ${to}`);
  return 0;
}

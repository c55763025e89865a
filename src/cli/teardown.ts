import { teardownSource } from '../app/teardown.ts';
import { requirePipelines } from '../config/load.ts';
import { silentLogger } from '../runtime/logger.ts';
import { printable } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { confirmed, pickPipeline } from './pick.ts';

interface Options {
  readonly pipeline?: string;
  readonly yes?: boolean;
}

export const defineTeardown: DefineCommand = (command, context) => {
  command
    .description('Drop the slot and publication that Tailrace made on the source. What the config names by itself is left alone, and so are the log and the replicas. Stop the daemon first.')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--pipeline <name>', 'the pipeline, where there are several')
    .option('--yes', 'do not ask')
    .addHelpText('after', examples('teardown connectors/shop.yaml', 'teardown --pipeline shop --yes'))
    .action(action((paths: string[], options: Options) => teardown(paths, options, context)));
};

async function teardown(paths: readonly string[], options: Options, context: CliContext): Promise<number> {
  const config = pickPipeline(requirePipelines(paths, context.environment), options.pipeline);
  const question = `This drops the replication slot of ${config.name}. What the log does not hold yet is then lost to it: going on takes new snapshots.`;
  if (!(await confirmed(context.terminal, { question, word: config.name, yes: options.yes === true }))) return 2;
  const dropped = await teardownSource(config, silentLogger);
  context.terminal.out(dropped.length === 0 ? 'there was nothing to drop' : dropped.map(printable).join('\n'));
  return 0;
}

import { forgetSink } from '../app/sinks.ts';
import { requirePipelines } from '../config/load.ts';
import { silentLogger } from '../runtime/logger.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { confirmed, pickPipeline } from './pick.ts';

interface Options {
  readonly pipeline?: string;
  readonly yes?: boolean;
}

export const defineSinks: DefineCommand = (command, context) => {
  command.description('End a sink.').addHelpText('after', examples('sinks forget reporting'));
  command
    .command('forget')
    .description("End a sink: retention no longer waits for it, and its position goes from the replica. The replica's tables stay. Stop the daemon first. If the sink stays in the config it begins anew.")
    .argument('<sink>', 'its name; it may be gone from the config already')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--pipeline <name>', 'the pipeline, where there are several')
    .option('--yes', 'do not ask')
    .addHelpText('after', examples('sinks forget reporting', 'sinks forget reporting connectors/shop.yaml --yes'))
    .action(action((sink: string, paths: string[], options: Options) => forget({ sink, paths, options }, context)));
};

async function forget({ sink, paths, options }: { sink: string; paths: readonly string[]; options: Options }, context: CliContext): Promise<number> {
  const config = pickPipeline(requirePipelines(paths, context.environment), options.pipeline);
  const question = `This forgets where the sink ${sink} of ${config.name} is. Its tables stay.`;
  if (!(await confirmed(context.terminal, { question, word: sink, yes: options.yes === true }))) return 2;
  const { replica, log } = await forgetSink(config, sink, silentLogger);
  if (replica) context.terminal.out(`the replica no longer holds a position of ${sink}`);
  if (log) context.terminal.out(`retention no longer waits for ${sink}`);
  return 0;
}

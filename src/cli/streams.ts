import { changeStream } from '../app/stream-change.ts';
import { requirePipelines } from '../config/load.ts';
import { TailraceError } from '../runtime/errors.ts';
import { silentLogger } from '../runtime/logger.ts';
import { shortened } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { confirmed, pickPipeline } from './pick.ts';

interface Options {
  readonly pipeline?: string;
  readonly yes?: boolean;
}

export const defineStreams: DefineCommand = (command, context) => {
  command.description('Begin a stream anew, or keep its state behind a change of its module. Stop the daemon first.').addHelpText('after', examples('streams reset sales', 'streams keep sales'));
  for (const [name, description] of [
    ['reset', 'Forget what a stream has computed. When the daemon runs again it is computed anew, and the replicas of its outputs are emptied first.'],
    ['keep', "Take a stream's module as it is now for the one that its state was made with: for changes that alter no result."],
  ] as const) {
    command
      .command(name)
      .description(description)
      .argument('<stream>', 'its name')
      .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
      .option('--pipeline <name>', 'the pipeline, where there are several')
      .option('--yes', 'do not ask')
      .addHelpText('after', examples(`streams ${name} sales`, `streams ${name} sales connectors/shop.yaml --yes`))
      .action(action((stream: string, paths: string[], options: Options) => change(name, { stream, paths, options }, context)));
  }
};

async function change(name: 'reset' | 'keep', { stream, paths, options }: { stream: string; paths: readonly string[]; options: Options }, context: CliContext): Promise<number> {
  const config = pickPipeline(requirePipelines(paths, context.environment), options.pipeline);
  const streams = config.streams.map((each) => each.name);
  if (!streams.includes(stream)) throw new TailraceError('usage', `the pipeline ${config.name} has no stream ${shortened(stream, 60)}`, { remedy: `it has ${streams.join(', ') || 'none'}` });
  const question = name === 'reset' ? `This forgets what the stream ${stream} of ${config.name} has computed.` : `This takes the state of ${stream} of ${config.name} for one that its module has made.`;
  if (!(await confirmed(context.terminal, { question, word: stream, yes: options.yes === true }))) return 2;
  await changeStream(config, stream, { change: name, logger: silentLogger });
  context.terminal.out(name === 'reset' ? `${stream} is computed anew when the daemon runs again` : `${stream} goes on with the state that it has`);
  return 0;
}

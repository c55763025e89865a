import { askDaemon } from '../app/control/ask-daemon.ts';
import { requirePipelines } from '../config/load.ts';
import { printable } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { word } from './options.ts';
import { pickPipeline } from './pick.ts';

interface Options {
  readonly pipeline?: string;
}

export const defineSnapshot: DefineCommand = (command, context) => {
  command
    .description('Copy a table anew, while the daemon runs and changes go on streaming. The replicas empty their table and fill it again.')
    .argument('<table>', 'a captured table: schema.table')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--pipeline <name>', 'the pipeline, where there are several', word())
    .addHelpText('after', examples('snapshot public.orders', 'snapshot public.orders connectors/shop.yaml'))
    .action(action((table: string, paths: string[], options: Options) => snapshot({ table, paths, options }, context)));
};

async function snapshot({ table, paths, options }: { table: string; paths: readonly string[]; options: Options }, { terminal, environment }: CliContext): Promise<number> {
  const config = pickPipeline(requirePipelines(paths, environment), options.pipeline);
  const copied = await askDaemon(config, 'snapshot', { tables: [table] }, { runtimeFolder: environment['TAILRACE_RUNTIME_DIR'] });
  terminal.out(`copying ${printable(copied.join(', '))}; tailrace status shows how far it is`);
  return 0;
}

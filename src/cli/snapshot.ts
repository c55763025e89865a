import { askDaemon } from '../app/control/ask-daemon.ts';
import type { RequestOf } from '../app/control/commands.ts';
import { requirePipelines } from '../config/load.ts';
import { TailraceError } from '../runtime/errors.ts';
import { printable } from '../runtime/printable.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { word } from './options.ts';
import { pickPipeline } from './pick.ts';

interface Options {
  readonly where?: string;
  readonly pause?: boolean;
  readonly resume?: boolean;
  readonly stop?: boolean;
  readonly pipeline?: string;
}

export const defineSnapshot: DefineCommand = (command, context) => {
  command
    .description(`Copy tables anew while the daemon runs and changes go on streaming: the replicas empty the table and fill it again. With --where only some rows are read again, over what the replicas have; rows that they have and the source has not stay. It needs a running daemon, which goes on with it after a restart.`)
    .argument('[table]', 'captured tables: schema.table, with * for any run of characters; all with --pause, --resume and --stop')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--where <condition>', "only rows that fulfil this condition, in the source's SQL", word())
    .option('--pause', 'hold the copies of these tables, until --resume')
    .option('--resume', 'go on with copies that are paused')
    .option('--stop', 'give the copies of these tables up where they are: the replicas then have a part of them, until they are copied anew')
    .option('--pipeline <name>', 'the pipeline, where there are several', word())
    .addHelpText('after', examples('snapshot public.orders', `snapshot public.orders --where "placed >= '2026-01-01'"`, 'snapshot --pause', "snapshot --resume 'public.*' connectors/shop.yaml"))
    .action(action((table: string | undefined, paths: string[], options: Options) => snapshot({ table, paths, options }, context)));
};

const done = { copy: 'copying', pause: 'paused:', resume: 'going on with', stop: 'stopped:' } as const;

async function snapshot({ table, paths, options }: { table: string | undefined; paths: readonly string[]; options: Options }, { terminal, environment }: CliContext): Promise<number> {
  const actions = (['pause', 'resume', 'stop'] as const).filter((name) => options[name] === true);
  const [asked = 'copy', ...more] = actions;
  if (more.length > 0) throw new TailraceError('usage', `--${asked} and --${more[0]} exclude each other`);
  if (asked === 'copy' && table === undefined) throw new TailraceError('usage', 'a table is needed', { remedy: "name it as schema.table; '*.*' is all of them" });
  if (asked !== 'copy' && options.where !== undefined) throw new TailraceError('usage', `--where has no meaning with --${asked}`);
  const config = pickPipeline(requirePipelines(paths, environment), options.pipeline);
  const command: RequestOf<'snapshot'> = { action: asked, tables: table ?? null, where: options.where ?? null };
  const concerned = await askDaemon(config, 'snapshot', command, { runtimeFolder: environment['TAILRACE_RUNTIME_DIR'] });
  terminal.out(`${done[asked]} ${printable(concerned.join(', '))}${asked === 'copy' ? '; tailrace status shows how far it is' : ''}`);
  return 0;
}

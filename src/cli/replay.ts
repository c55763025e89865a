import { InvalidArgumentError } from 'commander';
import { parsePoint, replaySink, type ReplayPoint } from '../app/replay.ts';
import { requirePipelines } from '../config/load.ts';
import { silentLogger } from '../runtime/logger.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { word } from './options.ts';
import { pickPipeline } from './pick.ts';

interface Options {
  readonly sink: string;
  readonly to: string;
  readonly from?: ReplayPoint;
  readonly until?: ReplayPoint;
  readonly pipeline?: string;
}

export const defineReplay: DefineCommand = (command, context) => {
  command
    .description('Build a replica from the log alone, as of now or of a point in the past, beside a running pipeline. Where the log does not hold a table from its beginning, it says so. Ends when it is there; a replica that stands at its place already is gone on with.')
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .requiredOption('--sink <name>', 'the sink whose replica is built: its type, tables and names', word())
    .requiredOption('--to <place>', 'where: another path or URL than the sink has', word())
    .option('--until <lsn|time>', 'up to this transaction: a commit LSN such as 16/B374D848, or a time such as 2026-01-31T12:00:00Z (default: all that the log holds)', point)
    .option('--from <lsn|time>', 'begin with the copies of the tables that there were at this point (default: the newest of those at --until); what is behind it is applied', point)
    .option('--pipeline <name>', 'the pipeline, where there are several')
    .addHelpText('after', examples('replay --sink local --to ./january.sqlite --until 2026-01-31T23:59:59Z', 'replay --sink local --to ./before.sqlite --until 16/B374D848 connectors/shop.yaml', 'replay --sink local --to ./whole.sqlite --from 2026-01-01 --until 2026-01-31'))
    .action(action((paths: string[], options: Options) => replay(paths, options, context)));
};

async function replay(paths: readonly string[], { sink, to, from, until, pipeline }: Options, { terminal, environment }: CliContext): Promise<number> {
  const config = pickPipeline(requirePipelines(paths, environment), pipeline);
  const { applied, last, incomplete, without } = await replaySink(config, {
    sink, to, from: from ?? null, until: until ?? null, signal: new AbortController().signal, logger: silentLogger,
    onProgress: (progress) => terminal.err(`${progress.applied.toLocaleString('en')} changes applied`),
  });
  const where = last === null ? 'the log holds nothing up to there' : `it stands at ${last.commitLsn}, committed ${new Date(last.committedAt).toISOString()}`;
  terminal.out(`${sink} is built at its place with ${applied.toLocaleString('en')} changes: ${where}`);
  if (without.length > 0) terminal.err(`tables that the log has nothing of by then, and the replica neither: ${without.join(', ')}`);
  if (incomplete.length === 0) return 0;
  terminal.err(`tables that were being copied then, and of which it has a part: ${incomplete.join(', ')}`);
  return 4;
}

function point(text: string): ReplayPoint {
  const found = parsePoint(text);
  if (found === null) throw new InvalidArgumentError('Neither an LSN such as 16/B374D848 nor a time such as 2026-01-31T12:00:00Z.');
  return found;
}

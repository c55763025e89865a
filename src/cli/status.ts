import { pipelineStatuses } from '../app/status.ts';
import { requirePipelines } from '../config/load.ts';
import type { JobStatus, PipelineStatus, SinkStatus, TableCopyStatus } from '../pipeline/status.ts';
import { catalogue } from '../runtime/error-catalogue.ts';
import { printable } from '../runtime/printable.ts';
import { formatDuration, formatSize } from '../runtime/units.ts';
import { action, examples, type CliContext, type DefineCommand } from './context.ts';
import { word } from './options.ts';
import { httpAddress } from './run.ts';
import { columns, type Style } from './terminal.ts';

interface Options {
  readonly json?: boolean;
  readonly http?: string;
}

export const defineStatus: DefineCommand = (command, context) => {
  command
    .description("Where each pipeline and sink stands: lag, slot, WAL held, snapshot progress. Asks the daemon; where none answers, says what the log holds. Exits with a stopped part's code, else 0.")
    .argument('[paths...]', 'connector files, or folders of them (default: connectors/)')
    .option('--json', 'print JSON')
    .option('--http <host:port>', "where to ask a daemon that cannot be asked by its socket (default: 127.0.0.1:7717; environment: TAILRACE_HTTP)", word())
    .addHelpText('after', examples('status', 'status connectors/shop.yaml --json'))
    .action(action((paths: string[], options: Options) => status(paths, options, context)));
};

async function status(paths: readonly string[], options: Options, { terminal, environment }: CliContext): Promise<number> {
  const configs = requirePipelines(paths, environment).map(({ config }) => config);
  // We only ask there: an address that others can reach may be asked too.
  const daemonAt = httpAddress({ ...options, httpAllowRemote: true }, { environment });
  const pipelines = await pipelineStatuses(configs, { http: daemonAt, runtimeFolder: environment['TAILRACE_RUNTIME_DIR'] });
  if (options.json === true) terminal.out(JSON.stringify(pipelines, null, 2));
  else terminal.out(pipelines.map((pipeline) => renderStatus(pipeline, terminal.style)).join('\n\n'));
  if (pipelines.some(({ state }) => state === 'not-running')) {
    terminal.err(daemonAt === null ? 'no daemon was asked' : `no daemon of these pipelines answers at ${daemonAt.host}:${daemonAt.port}: this is what the logs hold`);
  }
  const stopped = pipelines.flatMap((pipeline) => [pipeline, ...pipeline.sinks]).find(({ state }) => state === 'stopped');
  return stopped === undefined ? 0 : stopped.error === null ? 1 : catalogue[stopped.error.code].exit;
}

export function renderStatus(pipeline: PipelineStatus, style: Style): string {
  const { source, snapshot, sinks, error, leftOut } = pipeline;
  const lines = [`${style.bold(pipeline.pipeline)}  ${pipeline.state}`];
  if (error !== null) lines.push(`  ${style.red(printable(`${error.code}: ${error.message}`))}`, `  → ${printable(error.remedy)}`);
  if (source !== null) {
    const parts = [`slot ${source.slot}`, `log ends at ${source.lastEnd ?? '-'}`];
    if (source.confirmedFlush !== null) parts.push(`acknowledged ${source.confirmedFlush}`);
    if (source.walHeldBytes !== null) parts.push(`WAL held ${formatSize(source.walHeldBytes)}`);
    if (source.lastCommitAt !== null) parts.push(`last commit ${new Date(source.lastCommitAt).toISOString()}`);
    lines.push(`  ${printable(parts.join(', '))}`);
  }
  const done = snapshot.filter(({ state }) => state === 'done').length;
  if (snapshot.length > 0) lines.push(`  snapshot: ${done} of ${snapshot.length} tables`);
  const pending = snapshot.filter(({ state }) => state !== 'done');
  if (pending.length > 0) lines.push(indent(columns([['TABLE', 'STATE', 'ROWS', 'OF ABOUT', 'READ AGAIN', 'WAITS FOR'], ...pending.map(copyRow)])));
  for (const copy of snapshot.filter((each) => each.holdsPublishing)) {
    lines.push(`  ${style.yellow(printable(`${copy.table} has no key and is copied in one piece: nothing is published until it is done`))}`);
  }
  for (const { table, error: failure } of snapshot) {
    if (failure !== null) lines.push(`  ${style.red(printable(`${table}: ${failure.code}: ${failure.message}`))}`, `  → ${printable(failure.remedy)}`);
  }
  for (const reason of leftOut) lines.push(`  ${style.yellow('left out:')} ${printable(reason)}`);
  if (sinks.length > 0) lines.push(indent(columns([['SINK', 'STATE', 'LAG', 'BEHIND', 'POSITION', 'APPLIED', 'BLOCKED KEYS'], ...sinks.map(sinkRow)])));
  for (const sink of sinks) {
    if (sink.error !== null) lines.push(`  ${style.red(printable(`${sink.name}: ${sink.error.code}: ${sink.error.message}`))}`, `  → ${printable(sink.error.remedy)}`);
    if (sink.blockedKeys > 0) lines.push(`  ${style.yellow(printable(`${sink.name} is not whole: ${sink.blockedKeys} keys wait for a dead letter to be retried`))}`);
    if (sink.missing > 0) lines.push(`  ${printable(`${sink.name}: ${sink.missing} changes were of rows that it never had (snapshot: never)`)}`);
  }
  const { compaction } = pipeline;
  if (compaction?.lastAt != null) lines.push(`  compacted ${compaction.runs} times, ${formatSize(compaction.bytesBefore)} to ${formatSize(compaction.bytesAfter)}, last at ${new Date(compaction.lastAt).toISOString()}`);
  if (pipeline.jobs.length > 0) lines.push(indent(columns([['JOB', 'STATE', 'NEXT', 'LAST RUN', 'ROWS', 'INTO'], ...pipeline.jobs.map(jobRow)])));
  for (const { name, last } of pipeline.jobs) if (last?.error != null) lines.push(`  ${style.red(printable(`${name}: ${last.error}`))}`);
  return lines.join('\n');
}

function jobRow({ name, state, next, last }: JobStatus): readonly string[] {
  const at = (time: number | null): string => (time === null ? '-' : new Date(time).toISOString());
  return [name, state, at(next), last === null ? '-' : `${at(last.scheduled)} ${last.outcome}`, last === null ? '-' : String(last.rows), last?.into ?? '-'].map(printable);
}

function copyRow({ table, state, rows, estimate, retries, waitingFor, sink }: TableCopyStatus): readonly string[] {
  const name = sink === null ? table : `${table} for ${sink}`;
  return [name, state, String(rows), estimate === null ? '-' : String(estimate), String(retries), waitingFor ?? '-'].map(printable);
}

function sinkRow({ name, kind, state, lagMs, lagBytes, behindTransactions, position, applied, blockedKeys }: SinkStatus): readonly string[] {
  const lag = [lagMs === null ? null : formatDuration(lagMs), lagBytes === null ? null : formatSize(lagBytes)].filter((part) => part !== null);
  const behind = behindTransactions === null ? '-' : `${behindTransactions} transactions`;
  return [kind === 'stream' ? `${name} (stream)` : name, state, lag.join(', ') || '-', behind, position ?? '-', String(applied), String(blockedKeys)].map(printable);
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ');
}

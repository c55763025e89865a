import type { PipelineStatus, SinkStatus, TableCopyStatus } from '../pipeline/status.ts';
import { printable } from '../runtime/printable.ts';
import { formatDuration, formatSize } from '../runtime/units.ts';
import type { Style } from './terminal.ts';

/** Events a second by pipeline, from two looks at the counts. */
export type Rates = ReadonlyMap<string, number>;

const shownTables = 8;

/** The picture that `run` keeps on a terminal: a few lines a pipeline, none wider than `width`. */
export function renderProgress(pipelines: readonly PipelineStatus[], rates: Rates, options: { width: number; style: Style }): readonly string[] {
  const { width, style } = options;
  const line = (text: string, paint: (text: string) => string = (plain) => plain): string => paint(cut(printable(text), width));
  return pipelines.flatMap((pipeline) => {
    const { source, error } = pipeline;
    const copies = pipeline.snapshot.filter((table) => table.state !== 'done');
    const shown = [...copies].sort((a, b) => Number(b.state === 'copying') - Number(a.state === 'copying')).slice(0, shownTables);
    const parts = [pipeline.pipeline, pipeline.state];
    if (source !== null) parts.push(`${Math.round(rates.get(pipeline.pipeline) ?? 0).toLocaleString('en')} events/s`);
    if (source?.walHeldBytes != null) parts.push(`WAL held ${formatSize(source.walHeldBytes)}`);
    return [
      line(parts.join('  '), pipeline.state === 'stopped' ? style.red : style.bold),
      ...(error === null ? [] : [line(`  ${error.code}: ${error.message}`, style.red), line(`  → ${error.remedy}`, style.dim)]),
      ...shown.map((table) => line(`  ${tableLine(table, width)}`)),
      ...(copies.length > shown.length ? [line(`  and ${copies.length - shown.length} more tables`, style.dim)] : []),
      ...pipeline.sinks.flatMap((sink) => [
        line(`  ${sinkLine(sink)}`, sink.state === 'stopped' ? style.red : sink.state === 'retrying' ? style.yellow : undefined),
        ...(sink.error === null ? [] : [line(`    ${sink.error.code}: ${sink.error.message}`, style.red)]),
      ]),
    ];
  });
}

function tableLine({ table, state, rows, estimate, retries, waitingFor }: TableCopyStatus, width: number): string {
  if (waitingFor !== null) return `${table}  waits for ${waitingFor} to end`;
  if (state === 'waiting') return `${table}  waits`;
  const again = retries === 0 ? '' : `  ${retries} read again`;
  const count = rows.toLocaleString('en');
  if (estimate === null || estimate <= 0) return `${table}  ${count} rows${again}`;
  // An estimate is one: a table that has grown since stays below its end until it is done.
  const part = Math.min(rows / estimate, 0.99);
  return `${table}  ${width < 60 ? '' : `${bar(part)}  `}${Math.floor(part * 100)}%  ${count} of about ${estimate.toLocaleString('en')} rows${again}`;
}

function sinkLine({ name, state, lagMs, behindTransactions, blockedKeys }: SinkStatus): string {
  const parts = [name, state.replace('-', ' ')];
  if (lagMs !== null) parts.push(`lag ${formatDuration(lagMs)}`);
  if (behindTransactions !== null && behindTransactions > 0) parts.push(`${behindTransactions.toLocaleString('en')} transactions behind`);
  if (blockedKeys > 0) parts.push(`${blockedKeys} blocked keys`);
  return parts.join('  ');
}

function bar(part: number): string {
  const filled = Math.round(part * 16);
  return `[${'#'.repeat(filled)}${'.'.repeat(16 - filled)}]`;
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

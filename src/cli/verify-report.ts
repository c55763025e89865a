import type { RowDifference, SinkVerification, TableReport } from '../app/verify.ts';
import { printable, shortened } from '../runtime/printable.ts';
import { formatSize } from '../runtime/units.ts';
import type { Style } from './terminal.ts';

export function sinkHeading(pipeline: string, sink: string): string {
  return `${pipeline} → ${sink}`;
}

/** One line a table, and one for each row that differs; keys are printed, values never. */
export function renderTable(report: TableReport, style: Style): string {
  const { state, table } = report;
  const name = printable(table);
  const more = [...details(report), ...report.notes.map((note) => style.dim(printable(note)))].map((line) => `\n            ${line}`).join('');
  switch (state) {
    case 'equal':
      return `  ${style.green('equal')}     ${name}  ${rowCount(report.rows)}${more}`;
    case 'different':
      return `  ${style.red('DIFFERS')}   ${name}  ${whatDiffers(report)}${more}`;
    case 'unconfirmed':
      return `  ${style.yellow('open')}      ${name}  ${openRows(report)}, and the replica has not come far enough to say whether it is only behind${more}`;
    case 'unsettled':
      return `  ${style.yellow('unsettled')} ${name}  ${report.unsettled.toLocaleString('en')} rows changed whenever they were looked at${more}`;
    case 'copying':
      return `  ${style.yellow('copying')}   ${name}  its rows are still to be copied to this replica${more}`;
    case 'gone':
      return `  ${style.yellow('gone')}      ${name}  the source has no such table any more, or another one of its name${more}`;
  }
}

function rowCount(rows: number | null): string {
  return rows === null ? '' : `${rows.toLocaleString('en')} ${rows === 1 ? 'row' : 'rows'}`;
}

function whatDiffers({ tableMissing, columnsMissing, differing, more, rows }: TableReport): string {
  if (tableMissing) return `the replica has no such table; the source has ${rowCount(rows)}`;
  const columns = columnsMissing.length === 0 ? [] : [`missing in the replica: ${columnsMissing.length === 1 ? 'column' : 'columns'} ${columnsMissing.map(printable).join(', ')}`];
  const count = differing === 0 ? [] : [`${more ? 'at least ' : ''}${rowCount(differing)} of ${rows?.toLocaleString('en') ?? 'its rows'}`];
  return [...count, ...columns].join('; ');
}

function openRows({ unconfirmed, more }: TableReport): string {
  return unconfirmed === 0 ? 'its columns differ' : `${more ? 'at least ' : ''}${rowCount(unconfirmed)} ${unconfirmed === 1 ? 'differs' : 'differ'}`;
}

function details({ state, differences, differing, unconfirmed, unsettled }: TableReport): string[] {
  const rest = differing - differences.length;
  return [
    ...differences.map(differenceText),
    ...(rest > 0 ? [`and ${rowCount(rest)} more`] : []),
    ...(state === 'different' && unconfirmed > 0 ? [`${rowCount(unconfirmed)} could not be looked at again: the replica has not come far enough`] : []),
    ...(state === 'different' && unsettled > 0 ? [`${rowCount(unsettled)} changed whenever they were looked at`] : []),
  ];
}

function differenceText({ kind, key, columns, hash, source, replica }: RowDifference): string {
  const which = key === null ? `rows with the hash ${hash}` : Object.entries(key).map(([name, text]) => `${printable(name)}=${shortened(text, 80)}`).join(', ');
  switch (kind) {
    case 'missing':
      return `${which} is missing in the replica`;
    case 'extra':
      return `${which} is in the replica alone`;
    case 'changed':
      return `${which} differs in ${columns.map(printable).join(', ')}`;
    case 'count':
      return `${which}: ${source} at the source, ${replica} in the replica`;
  }
}

/** What is to be said of a sink as a whole, behind its tables. */
export function renderSinkSummary({ tables, blocked, standstill, error, sink }: SinkVerification, style: Style): string {
  const lines = blocked.map(({ table, key }) => `  ${style.red('BLOCKED')}   ${printable(table)}  ${key === null ? 'the whole table' : shortened(key, 80)} waits for a dead letter to be retried`);
  if (standstill !== null) lines.push(`  ${style.yellow(standstillText(sink, standstill))}`);
  if (error !== null) lines.push(`  ${style.red(printable(`${error.code}: ${error.message}`))}`, `  → ${printable(error.remedy)}`);
  const count = (state: TableReport['state']): number => tables.filter((table) => table.state === state).length;
  const parts = (
    [['equal', 'equal'], ['different', 'different'], ['unconfirmed', 'open'], ['unsettled', 'unsettled'], ['copying', 'copying'], ['gone', 'gone']] as const
  ).flatMap(([state, word]) => (count(state) === 0 ? [] : [`${count(state)} ${word}`]));
  lines.push(`  ${tables.length === 1 ? '1 table' : `${tables.length} tables`}: ${parts.join(', ') || 'none'}${blocked.length === 0 ? '' : `; ${blocked.length} blocked`}`);
  return lines.join('\n');
}

function standstillText(sink: string, { reason, endLsn, lagBytes }: NonNullable<SinkVerification['standstill']>): string {
  const where = endLsn === null ? 'it has not said where it stands' : `it stands at ${endLsn}, ${formatSize(lagBytes ?? 0)} of WAL behind`;
  switch (reason) {
    case 'never-started':
      return `${sink} has never run: start tailrace run with this file`;
    case 'not-running':
      return `no daemon runs this pipeline, so ${sink} does not move; ${where}`;
    case 'stalled':
      return `${sink} does not move; ${where}. See tailrace status, or allow it more time with --timeout`;
  }
}

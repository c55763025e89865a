import { matchesFilter, matchesPattern, splitPattern, type TableFilter } from '../../event/table-pattern.ts';
import { tableName } from '../../event/table.ts';
import type { Finding } from '../../runtime/finding.ts';
import type { CatalogTable } from './catalog.ts';
import type { PublicationState } from './publication.ts';
import { problemOf } from './table-problems.ts';

/** Which tables are captured, and which match the config and are left out. */
export interface Selection {
  readonly captured: readonly CatalogTable[];
  readonly leftOut: readonly CatalogTable[];
  readonly findings: readonly Finding[];
}

/**
 * Decides about every table of the database. `named` is the user's own publication, which says by itself what is sent; null
 * when the publication is ours.
 */
export function selectTables(
  tables: readonly CatalogTable[],
  filter: TableFilter,
  { named, version }: { readonly named: PublicationState | null; readonly version: number },
): Selection {
  const matching = tables.filter((table) => matchesFilter(filter, table));
  const matched = new Set(matching.map((table) => table.relid));
  const captured: CatalogTable[] = [];
  const leftOut: CatalogTable[] = [];
  const findings: Finding[] = [];
  const sweptUp: string[] = [];
  for (const table of matching) {
    // Its rows come under the name of the partitioned table.
    if (named?.viaRoot !== false && table.ancestors.some((ancestor) => matched.has(ancestor))) continue;
    const literal = isNamed(filter, table);
    const problem = problemOf(table, { named, version });
    if (problem === null) {
      captured.push(table);
      continue;
    }
    leftOut.push(table);
    const { check, message, remedy } = problem;
    if (literal || problem.sweptUp === undefined) findings.push({ severity: literal ? 'error' : 'warning', check, message: `${tableName(table)} is left out: ${message}`, remedy });
    else if (problem.sweptUp !== null) sweptUp.push(`${tableName(table)} (${problem.sweptUp})`);
  }
  return { captured, leftOut, findings: [...findings, ...unmatchedPatterns(filter, tables), ...noteOf(sweptUp)] };
}

const shownNames = 10;

function noteOf(sweptUp: readonly string[]): readonly Finding[] {
  if (sweptUp.length === 0) return [];
  const more = sweptUp.length > shownNames ? [`and ${sweptUp.length - shownNames} more`] : [];
  const names = [...sweptUp.slice(0, shownNames), ...more].join(', ');
  return [{ severity: 'note', check: 'table-kind', message: `not captured, because their changes are not in the WAL as such: ${names}`, remedy: '' }];
}

/** Whether a pattern without wildcards names the table. */
function isNamed(filter: TableFilter, table: CatalogTable): boolean {
  return filter.include.some((pattern) => matchesPattern(pattern, table) && isLiteral(pattern));
}

function isLiteral(pattern: string): boolean {
  const parts = splitPattern(pattern);
  return parts !== null && [...parts.schema, ...parts.table].every((piece) => typeof piece === 'object');
}

function unmatchedPatterns(filter: TableFilter, tables: readonly CatalogTable[]): readonly Finding[] {
  return filter.include
    .filter((pattern) => !tables.some((table) => matchesPattern(pattern, table)))
    .map((pattern) => ({
      severity: isLiteral(pattern) ? ('error' as const) : ('warning' as const),
      check: 'table-pattern',
      message: `tables.include: ${pattern} matches no table`,
      remedy: 'Check the schema, the spelling and the capitals: names are compared exactly, _ and % are no wildcards.',
    }));
}

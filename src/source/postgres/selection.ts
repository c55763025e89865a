import { matchesFilter, matchesPattern, splitPattern, type TableFilter } from '../../event/table-pattern.ts';
import { tableName } from '../../event/table.ts';
import type { Finding } from '../../runtime/finding.ts';
import { quoteIdentifier, quoteQualified } from '../../runtime/postgres/quote.ts';
import type { CatalogTable } from './catalog.ts';
import type { PublicationState } from './publication.ts';

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
  named: PublicationState | null,
): Selection {
  const matching = tables.filter((table) => matchesFilter(filter, table));
  const matched = new Set(matching.map((table) => table.relid));
  const captured: CatalogTable[] = [];
  const leftOut: CatalogTable[] = [];
  const findings: Finding[] = [];
  for (const table of matching) {
    // Its rows come under the name of the partitioned table.
    if (named?.viaRoot !== false && table.ancestors.some((ancestor) => matched.has(ancestor))) continue;
    const literal = isNamed(filter, table);
    const problem = kindProblem(table) ?? membershipProblem(table, named) ?? identityProblem(table);
    if (problem === null) {
      captured.push(table);
      continue;
    }
    leftOut.push(table);
    // A pattern sweeps views and the like up without meaning them.
    if (literal || !problem.quiet) {
      const { check, message, remedy } = problem;
      findings.push({ severity: literal ? 'error' : 'warning', check, message: `${tableName(table)} is left out: ${message}`, remedy });
    }
  }
  return { captured, leftOut, findings: [...findings, ...unmatchedPatterns(filter, tables)] };
}

interface Problem extends Omit<Finding, 'severity'> {
  readonly quiet?: boolean;
}

/** Whether a pattern without wildcards names the table. */
function isNamed(filter: TableFilter, table: CatalogTable): boolean {
  return filter.include.some((pattern) => matchesPattern(pattern, table) && isLiteral(pattern));
}

function isLiteral(pattern: string): boolean {
  const parts = splitPattern(pattern);
  return parts !== null && [...parts.schema, ...parts.table].every((piece) => typeof piece === 'object');
}

const kinds: Readonly<Record<string, string>> = { v: 'a view', m: 'a materialized view', f: 'a foreign table' };

function kindProblem(table: CatalogTable): Problem | null {
  const kind = kinds[table.kind];
  if (kind !== undefined) {
    return { check: 'table-kind', message: `it is ${kind}, whose changes are not in the WAL as such`, remedy: 'Capture the tables behind it.', quiet: true };
  }
  if (table.persistence === 't') return { check: 'table-kind', message: 'it is a temporary table', remedy: 'Exclude it.', quiet: true };
  if (table.persistence !== 'u' && !table.leaves.some((leaf) => leaf.persistence === 'u')) return null;
  const name = quoteQualified(table.schema, table.name);
  return { check: 'table-kind', message: 'it is unlogged, so its changes are not in the WAL', remedy: `ALTER TABLE ${name} SET LOGGED;` };
}

function membershipProblem(table: CatalogTable, named: PublicationState | null): Problem | null {
  if (named === null || named.relids.includes(table.relid)) return null;
  // Published by its partitions: each of them stands for itself.
  const quiet = table.kind === 'p' && !named.viaRoot;
  const statement = `ALTER PUBLICATION ${quoteIdentifier(named.name)} ADD TABLE ${quoteQualified(table.schema, table.name)};`;
  return { check: 'publication-member', message: `the publication ${named.name} does not publish it`, remedy: statement, quiet };
}

/**
 * A table without a usable identity in a publication makes the application's own UPDATE and DELETE fail (DESIGN, rule 8). For a
 * partitioned table its partitions count, and their old keys must be those that the root's shape promises.
 */
function identityProblem(table: CatalogTable): Problem | null {
  const name = quoteQualified(table.schema, table.name);
  const usable = { default: table.primaryKey !== null, index: table.identityIndex !== null, full: true, nothing: false };
  if (!usable[table.replicaIdentity]) {
    const why = table.replicaIdentity === 'nothing' ? 'its replica identity is nothing' : 'it has neither a usable primary key nor another replica identity';
    return { check: 'replica-identity', message: why, remedy: `ALTER TABLE ${name} REPLICA IDENTITY FULL; (or give it a primary key)` };
  }
  const letter = table.replicaIdentity[0];
  const differing = table.leaves.find(
    (leaf) => leaf.replicaIdentity !== 'f' && !(leaf.replicaIdentity === letter && (letter === 'i' || leaf.hasPrimaryKey)),
  );
  if (differing === undefined || (table.replicaIdentity === 'full' && table.primaryKey !== null && differing.replicaIdentity === 'd')) return null;
  return {
    check: 'replica-identity',
    message: `its partition ${differing.name} has another replica identity than the table itself`,
    remedy: `Give every partition the replica identity of ${name}: ALTER TABLE … REPLICA IDENTITY …`,
  };
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

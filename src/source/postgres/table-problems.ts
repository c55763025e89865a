import type { Finding } from '../../runtime/finding.ts';
import { quoteIdentifier, quoteQualified } from '../../runtime/postgres/quote.ts';
import type { CatalogTable } from './catalog.ts';
import type { PublicationState } from './publication.ts';

/** Why a table cannot be captured. */
export interface TableProblem extends Omit<Finding, 'severity'> {
  /** Where a pattern swept it up without meaning it: what it is, or null for what is not worth a word. */
  readonly sweptUp?: string | null;
}

/** `named` is the user's own publication; null when it is ours. */
export function problemOf(table: CatalogTable, { named, version }: { readonly named: PublicationState | null; readonly version: number }): TableProblem | null {
  return kindProblem(table) ?? membershipProblem(table, named) ?? identityProblem(table) ?? columnProblem(table, { named, version });
}

const kinds: Readonly<Record<string, string>> = { v: 'a view', m: 'a materialized view', f: 'a foreign table' };

function kindProblem(table: CatalogTable): TableProblem | null {
  const kind = kinds[table.kind];
  if (kind !== undefined) {
    return { check: 'table-kind', message: `it is ${kind}, whose changes are not in the WAL as such`, remedy: 'Capture the tables behind it.', sweptUp: kind };
  }
  if (table.persistence === 't') return { check: 'table-kind', message: 'it is a temporary table', remedy: 'Exclude it.', sweptUp: null };
  const name = quoteQualified(table.schema, table.name);
  if (table.persistence === 'u') return { check: 'table-kind', message: 'it is unlogged, so its changes are not in the WAL', remedy: `ALTER TABLE ${name} SET LOGGED;` };
  // Its root's copy would have rows that never change again.
  const silent = table.leaves.find((leaf) => leaf.persistence === 'u' || leaf.kind === 'f');
  if (silent === undefined) return null;
  const what = silent.kind === 'f' ? 'a foreign table' : 'unlogged';
  return { check: 'table-kind', message: `its partition ${silent.name} is ${what}, so that changes there are not in the WAL`, remedy: `Set the partition LOGGED, detach it, or capture the other partitions by a publication without publish_via_partition_root.` };
}

function membershipProblem(table: CatalogTable, named: PublicationState | null): TableProblem | null {
  if (named === null || named.relids.includes(table.relid)) return null;
  // Published by its partitions: each of them stands for itself.
  const stands = table.kind === 'p' && !named.viaRoot ? { sweptUp: null } : {};
  const statement = `ALTER PUBLICATION ${quoteIdentifier(named.name)} ADD TABLE ${quoteQualified(table.schema, table.name)};`;
  // Published as it is, it would make the application's own UPDATE and DELETE fail.
  const identity = identityProblem(table);
  const remedy = identity === null ? statement : `${identity.remedy} Only then, or UPDATE and DELETE fail at the source: ${statement}`;
  return { check: 'publication-member', message: `the publication ${named.name} does not publish it`, remedy, ...stands };
}

/**
 * A table without a usable identity in a publication makes the application's own UPDATE and DELETE fail (DESIGN, rule 8). For a
 * partitioned table its partitions count, and their old keys must be those that the root's shape promises.
 */
function identityProblem(table: CatalogTable): TableProblem | null {
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

/**
 * Columns of the replica identity that are not sent. From version 15 on (lists) and 18 on (generated columns) the application's own
 * UPDATE fails where such a table is published; before, its old keys come without a value.
 */
function columnProblem(table: CatalogTable, { named, version }: { readonly named: PublicationState | null; readonly version: number }): TableProblem | null {
  const key = table.replicaIdentity === 'index' ? table.identityIndex : table.primaryKey;
  const unsent = table.columns.filter((column) => {
    if (table.published.includes(column.attnum)) return false;
    if (table.replicaIdentity !== 'full') return key?.includes(column.attnum);
    return column.generated === null || version >= 180_000;
  });
  const [column] = unsent;
  if (column === undefined) return null;
  const name = quoteQualified(table.schema, table.name);
  const identity = table.replicaIdentity === 'full' ? 'its replica identity (full)' : 'its replica identity';
  if (column.generated === null) {
    const remedy = `Add the column to the list of ${quoteIdentifier(named?.name ?? '')}: ALTER PUBLICATION … SET TABLE …`;
    return { check: 'publication-columns', message: `${identity} includes ${column.name}, which the publication leaves out: an UPDATE of the application fails`, remedy };
  }
  const isPublishable = column.generated === 'stored' && version >= 180_000 && named !== null;
  const remedy = isPublishable
    ? `ALTER PUBLICATION ${quoteIdentifier(named.name)} SET (publish_generated_columns = stored);`
    : `Give it a replica identity without that column: ALTER TABLE ${name} REPLICA IDENTITY ${table.replicaIdentity === 'full' ? 'DEFAULT; (with a primary key)' : 'USING INDEX …;'}`;
  return { check: 'publication-columns', message: `${identity} includes ${column.name}, a generated column that is not sent`, remedy };
}

import { tableName } from '../../../event/table.ts';
import type { Finding } from '../../../runtime/finding.ts';
import { quoteIdentifier, quoteQualified } from '../../../runtime/postgres/quote.ts';
import type { Survey } from '../prepare.ts';

/** What our role may do. */
export const rightsChecks: readonly ((found: Survey) => Finding | readonly Finding[] | null)[] = [replication, makePublication, ownTables, select, rowSecurity];

function replication({ facts }: Survey): Finding | null {
  if (facts.mayReplicate) return null;
  return {
    severity: 'error',
    check: 'replication-right',
    message: `the role ${facts.role} may not replicate`,
    remedy: `ALTER ROLE ${quoteIdentifier(facts.role)} REPLICATION;`,
  };
}

function makePublication({ facts, names, publication }: Survey): Finding | null {
  if (!names.ownPublication || publication !== null || facts.mayCreate || facts.superuser) return null;
  return {
    severity: 'error',
    check: 'publication-right',
    message: `the role ${facts.role} may not make the publication ${names.publication}`,
    remedy: `GRANT CREATE ON DATABASE ${quoteIdentifier(facts.database)} TO ${quoteIdentifier(facts.role)}; or make a publication and name it in source.publication.`,
  };
}

function ownTables({ facts, names, publication, selection }: Survey): readonly Finding[] {
  if (!names.ownPublication || facts.superuser || publication?.allTables === true) return [];
  return selection.captured
    .filter((table) => !table.owned && publication?.listed.includes(table.relid) !== true)
    .map((table) => ({
      severity: 'error',
      check: 'publication-right',
      message: `the role ${facts.role} does not own ${tableName(table)}, so it cannot publish it`,
      remedy: 'Let the owner make a publication of the tables and name it in source.publication, or grant the role the membership in the owner.',
    }));
}

function select({ facts, selection, copies }: Survey): readonly Finding[] {
  return selection.captured
    .filter((table) => !table.selectable)
    .map((table) => ({
      severity: copies ? 'error' : 'warning',
      check: 'select-right',
      message: `the role ${facts.role} may not read ${tableName(table)}, which its snapshot and verify need`,
      remedy: `GRANT USAGE ON SCHEMA ${quoteIdentifier(table.schema)} TO ${quoteIdentifier(facts.role)}; GRANT SELECT ON ${quoteQualified(table.schema, table.name)} TO ${quoteIdentifier(facts.role)};`,
    }));
}

/** A filtered copy would look complete; the stream knows no policies. */
function rowSecurity({ facts, selection, copies }: Survey): readonly Finding[] {
  if (facts.bypassesRls) return [];
  return selection.captured
    .filter((table) => table.rowSecurity)
    .map((table) => ({
      severity: copies ? 'error' : 'warning',
      check: 'row-security',
      message: `row-level security of ${tableName(table)} applies to the role ${facts.role}: its snapshot would be refused`,
      remedy: `ALTER ROLE ${quoteIdentifier(facts.role)} BYPASSRLS;`,
    }));
}

import { tableName } from '../../../event/table.ts';
import type { Finding } from '../../../runtime/finding.ts';
import { quoteIdentifier, quoteQualified } from '../../../runtime/postgres/quote.ts';
import type { Survey } from '../prepare.ts';
import { publicationStatements } from '../publication.ts';

/** Tables that one message names at most. */
const mostNamed = 20;

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

function ownTables({ facts, names, publication, selection }: Survey): Finding | null {
  if (!names.ownPublication || facts.superuser || publication?.allTables === true) return null;
  const others = selection.captured.filter((table) => !table.owned && publication?.listed.includes(table.relid) !== true);
  if (others.length === 0) return null;
  const named = others.slice(0, mostNamed).map(tableName).join(', ') + (others.length > mostNamed ? ` and ${others.length - mostNamed} more` : '');
  const statements = publicationStatements(names.publication, publication, selection.captured.slice(0, mostNamed), facts.version).join('; ');
  const all = selection.captured.length > mostNamed ? ' (with all the tables)' : '';
  return {
    severity: 'error',
    check: 'publication-right',
    message: `the role ${facts.role} does not own ${named}, so it cannot publish ${others.length === 1 ? 'it' : 'them'}`,
    remedy: `Let the owner run: ${statements};${all} and name it in the file, under source: publication: ${names.publication}`,
  };
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

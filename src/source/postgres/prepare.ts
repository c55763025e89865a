import type { Finding } from '../../runtime/finding.ts';
import type { Logger } from '../../runtime/logger.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Query } from '../../runtime/postgres/connection.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import { readAllTables, type CatalogTable } from './catalog.ts';
import { runChecks } from './checks/run.ts';
import type { PostgresSourceConfig } from './config.ts';
import type { SourceNames } from './names.ts';
import { sourceError } from './errors.ts';
import { readFacts, type ServerFacts } from './facts.ts';
import { publicationStatements, readPublication, removalStatement, type PublicationState } from './publication.ts';
import { selectTables, type Selection } from './selection.ts';
import { createSlot, lossOf, readSlot, slotInUse, slotLost, type SlotState } from './slot.ts';

/** Everything that is known of the server before anything is done there; `check` looks at it, `connect` acts on it. */
export interface Survey {
  readonly names: SourceNames;
  /** Whether rows are to be read, and not only changes. */
  readonly copies: boolean;
  /** Whose changes are wanted: all, or only those that did not come by replication themselves. */
  readonly origin: 'any' | 'none';
  readonly facts: ServerFacts;
  readonly publication: PublicationState | null;
  readonly slot: SlotState | null;
  readonly tables: readonly CatalogTable[];
  readonly selection: Selection;
}

export async function survey(query: Query, config: PostgresSourceConfig, names: SourceNames): Promise<Survey> {
  const facts = await readFacts(query);
  const publication = await readPublication(query, names.publication, facts.version);
  const slot = await readSlot(query, names.slot);
  const named = names.ownPublication ? null : publication;
  const tables = await readAllTables(query, { version: facts.version, ...(named === null ? {} : { publication: named.name }) });
  const selection = selectTables(tables, config.tables, { named, version: facts.version });
  return { names, copies: config.snapshot === 'initial', origin: config.origin, facts, publication, slot, tables, selection };
}

/** Places that somebody may give back at any moment: the server's own answer (53300, 53400) is one to try again after. */
const passes: ReadonlySet<string> = new Set(['senders-left', 'slots-left']);

/**
 * Stops where streaming could not work. Tables that are left out are reported by the session and hold up no others; what `check`
 * merely warns of is no reason to stop.
 */
export function refuseUnlessReady(found: Survey): void {
  const { slot } = found;
  const loss = slot === null ? null : lossOf(slot);
  if (slot !== null && loss !== null) throw slotLost(slot, loss);
  const errors = runChecks(found).filter((finding) => finding.severity === 'error' && !passes.has(finding.check) && !found.selection.findings.includes(finding));
  if (errors.length === 0) return;
  throw new TailraceError('source-not-ready', errors.map((finding) => finding.message).join('; '), { remedy: remedies(errors) });
}

function remedies(findings: readonly Finding[]): string {
  return [...new Set(findings.map((finding) => finding.remedy))].join(' ');
}

/**
 * Between the look at the tables and the statement that names one of them it went (undefined_table, invalid_schema_name), or its name is another
 * one's by now: which is in the publication (duplicate_object), is not in it (undefined_object), or is nothing that can be published (invalid_parameter_value).
 */
export const renamedOrGone: ReadonlySet<string> = new Set(['42P01', '3F000', '42710', '42704', '22023']);

/** Makes our publication publish what is captured. The publication comes before the slot: a slot reads it as it was at each place. */
export async function preparePublication(query: Query, found: Survey, logger: Logger): Promise<void> {
  const { names, publication, slot, selection, tables } = found;
  if (!names.ownPublication) return;
  if (publication === null && slot !== null) {
    // What was committed meanwhile is sent by no version: up to 17 the slot sticks at it, 18 passes it over in silence.
    throw new TailraceError('gap', `the publication ${names.publication} is gone, and with it the changes since then, but its slot ${names.slot} is still there`, {
      remedy: `SELECT pg_drop_replication_slot('${names.slot}'); then start again: Tailrace makes both anew, and says how it goes on.`,
    });
  }
  // Somebody made it wider than we would: what we do not capture is filtered.
  if (publication?.allTables === true) return;
  const captured = new Set(selection.captured.map((table) => table.relid));
  const removed = tables.filter((table) => publication?.listed.includes(table.relid) === true && !captured.has(table.relid));
  const statements = [
    ...publicationStatements(names.publication, publication, selection.captured, found.facts.version),
    ...removed.map((table) => removalStatement(names.publication, table)),
  ];
  for (const statement of statements) {
    try {
      await query(statement);
    } catch (error) {
      const doing = `the publication ${names.publication} cannot be made or changed`;
      const code = sqlstateOf(error) ?? '';
      if (renamedOrGone.has(code)) throw new TailraceError('source-unreachable', sourceError(error, doing).message, { remedy: 'A table was dropped or renamed meanwhile: Tailrace looks at the tables again by itself.', cause: error });
      if (code !== '42501') throw sourceError(error, doing);
      throw new TailraceError('source-refused', sourceError(error, doing).message, { remedy: `Let the owner of the tables run: ${statement};`, cause: error });
    }
  }
  if (statements.length > 0) logger.info({ publication: names.publication, tables: selection.captured.length }, 'the publication is set');
}

/** Whether this call made the slot. */
export async function prepareSlot(query: Query, found: Survey, logger: Logger): Promise<boolean> {
  const { names, slot } = found;
  if (slot !== null) {
    await waitUntilFree(query, names.slot);
    return false;
  }
  const slow = setTimeout(() => logger.warn({ slot: names.slot }, 'the server makes the slot once all running transactions have ended'), 3000);
  try {
    await createSlot(query, names.slot);
  } catch (error) {
    throw sourceError(error, `the replication slot ${names.slot} cannot be made`);
  } finally {
    clearTimeout(slow);
  }
  logger.info({ slot: names.slot }, 'the replication slot is made');
  return true;
}

const freeAttempts = 10;

/** A reader that has just gone (ourselves, before) holds the slot for a moment longer. */
async function waitUntilFree(query: Query, name: string): Promise<void> {
  for (let attempt = 0; attempt < freeAttempts; attempt++) {
    const state = await readSlot(query, name);
    if (state?.activePid == null) return;
    await query('SELECT pg_catalog.pg_sleep(0.1)');
  }
  throw await slotInUse(query, name);
}

import type { Finding } from '../../../runtime/finding.ts';
import { quoteIdentifier, quoteLiteral } from '../../../runtime/postgres/quote.ts';
import { formatSize } from '../../../runtime/units.ts';
import type { Survey } from '../prepare.ts';
import { lossOf } from '../slot.ts';

/** The slot and the publication, ours or named ones. */
export const objectChecks: readonly ((found: Survey) => Finding | readonly Finding[] | null)[] = [publicationExists, publicationComplete, slotExists, slotFits, slotOnePhase, slotReadable, slotSpills, anyTable];

function publicationExists({ names, publication }: Survey): Finding | null {
  if (names.ownPublication || publication !== null) return null;
  return {
    severity: 'error',
    check: 'publication',
    message: `the publication ${names.publication} does not exist`,
    remedy: `CREATE PUBLICATION ${quoteIdentifier(names.publication)} FOR TABLE …; or leave source.publication out, and Tailrace makes its own.`,
  };
}

function publicationComplete({ publication }: Survey): Finding | null {
  if (publication === null || publication.missing.length === 0) return null;
  return {
    severity: 'error',
    check: 'publication-operations',
    message: `the publication ${publication.name} does not publish ${publication.missing.join(', ')}: a replica would differ without anybody noticing`,
    remedy: `ALTER PUBLICATION ${quoteIdentifier(publication.name)} SET (publish = 'insert, update, delete, truncate');`,
  };
}

function slotExists({ names, slot }: Survey): Finding | null {
  if (names.ownSlot || slot !== null) return null;
  return {
    severity: 'error',
    check: 'slot',
    message: `the replication slot ${names.slot} does not exist`,
    remedy: `SELECT pg_create_logical_replication_slot(${quoteLiteral(names.slot)}, 'pgoutput'); or leave source.slot out, and Tailrace makes its own.`,
  };
}

function slotFits({ facts, slot }: Survey): Finding | null {
  if (slot === null || (slot.plugin === 'pgoutput' && slot.database === facts.database)) return null;
  const what = slot.plugin === null ? 'is a physical one' : `is for the plugin ${slot.plugin} in the database ${slot.database ?? '?'}`;
  return {
    severity: 'error',
    check: 'slot',
    message: `the replication slot ${slot.name} ${what}; needed is one for pgoutput in ${facts.database}`,
    remedy: 'Name another slot in source.slot, or leave it out.',
  };
}

/** Such a slot sends what is prepared at once, whatever its reader asks for: the commit LSN of that is not known yet. */
function slotOnePhase({ slot }: Survey): Finding | null {
  if (slot?.twoPhase !== true) return null;
  return {
    severity: 'error',
    check: 'slot',
    message: `the replication slot ${slot.name} was made with two_phase: it sends transactions before it is known that they commit`,
    remedy: `Name another slot in source.slot, made with SELECT pg_create_logical_replication_slot('…', 'pgoutput'), or leave it out.`,
  };
}

function slotReadable({ slot }: Survey): Finding | null {
  const loss = slot === null ? null : lossOf(slot);
  if (slot === null || loss === null) return null;
  return {
    severity: 'error',
    check: 'slot-lost',
    message: `the replication slot ${slot.name} cannot be read any more: ${loss}`,
    remedy: 'Raise max_slot_wal_keep_size, drop the slot, then take new snapshots: see docs/guarantees.md, Gaps.',
  };
}

function slotSpills({ slot }: Survey): Finding | null {
  if (slot === null || slot.spilled === 0) return null;
  return {
    severity: 'note',
    check: 'slot-spills',
    message: `${formatSize(slot.spilled)} of transactions were written to the source's disk while they were decoded for the replication slot ${slot.name}, and read back: they were larger than the memory for that`,
    remedy: 'If the source can spare it, set source.logical_decoding_work_mem to what a large transaction takes, 512MB for instance.',
  };
}

function anyTable({ selection }: Survey): Finding | null {
  if (selection.captured.length > 0) return null;
  return {
    severity: 'error',
    check: 'tables',
    message: 'there is no table to capture: none matches source.tables and can be captured',
    remedy: 'Check source.tables and the database in source.url.',
  };
}

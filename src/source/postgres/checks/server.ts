import type { Finding } from '../../../runtime/finding.ts';
import type { Survey } from '../prepare.ts';

/** The server as such: its version, and what of its configuration logical replication needs. */
export const serverChecks: readonly ((found: Survey) => Finding | null)[] = [version, recovery, walLevel, encoding, originKnown, synchronousStandby, slotsLeft, sendersLeft, walKept];

function version({ facts }: Survey): Finding | null {
  if (facts.version >= 140_000) return null;
  return { severity: 'error', check: 'version', message: `the server is PostgreSQL ${facts.versionText}`, remedy: 'Tailrace needs PostgreSQL 14 or newer.' };
}

function recovery({ facts }: Survey): Finding | null {
  if (!facts.inRecovery) return null;
  return { severity: 'error', check: 'recovery', message: 'the server is a standby', remedy: 'Point source.url at the primary.' };
}

function walLevel({ facts }: Survey): Finding | null {
  if (facts.walLevel === 'logical') return null;
  return {
    severity: 'error',
    check: 'wal-level',
    message: `wal_level is ${facts.walLevel}, logical replication needs logical`,
    remedy: "ALTER SYSTEM SET wal_level = 'logical'; then restart the server.",
  };
}

function encoding({ facts }: Survey): Finding | null {
  if (facts.encoding !== 'SQL_ASCII') return null;
  return {
    severity: 'error',
    check: 'server-encoding',
    message: `the database ${facts.database} has the encoding SQL_ASCII: nobody knows what its bytes mean, and one that is not UTF-8 would stop the slot for ever`,
    remedy: 'Move the data to a database with a real encoding (pg_dump, then restore into one made with ENCODING UTF8).',
  };
}

function originKnown({ facts, origin }: Survey): Finding | null {
  if (origin === 'any' || facts.version >= 160_000) return null;
  return {
    severity: 'error',
    check: 'origin',
    message: `source.origin is none, and PostgreSQL ${facts.versionText} cannot leave out what came by replication`,
    remedy: 'That needs PostgreSQL 16 or newer. Leave source.origin out where nothing is replicated into this database.',
  };
}

/** As the server compares: each name in the list, capitals aside, or `*`. Our walsender would hold up every commit. */
function synchronousStandby({ facts, names }: Survey): Finding | null {
  const tokens = [...facts.synchronousStandbyNames.matchAll(/"((?:[^"]|"")*)"|([^\s,()"]+)/g)].map((match) => match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
  const hit = tokens.find((token) => token === '*' || token.toLowerCase() === names.applicationName.toLowerCase());
  if (hit === undefined) return null;
  return {
    severity: 'error',
    check: 'synchronous-standby',
    message: `synchronous_standby_names (${facts.synchronousStandbyNames}) matches Tailrace's own connection (${names.applicationName}): commits would wait for it`,
    remedy: 'Name the real standbys in synchronous_standby_names.',
  };
}

function slotsLeft({ facts, slot, names }: Survey): Finding | null {
  if (slot !== null || facts.slots.used < facts.slots.max) return null;
  return {
    severity: 'error',
    check: 'slots-left',
    message: `all ${facts.slots.max} replication slots are in use, and ${names.slot} is still to be made`,
    remedy: 'Drop a slot that nobody reads (SELECT * FROM pg_replication_slots WHERE NOT active;), or raise max_replication_slots and restart.',
  };
}

function sendersLeft({ facts, slot }: Survey): Finding | null {
  if ((slot?.activePid ?? null) !== null || facts.senders.used < facts.senders.max) return null;
  return {
    severity: 'error',
    check: 'senders-left',
    message: `all ${facts.senders.max} WAL senders are in use`,
    remedy: 'Raise max_wal_senders and restart the server.',
  };
}

const smallLimitMegabytes = 1024;

function walKept({ facts }: Survey): Finding | null {
  const limit = facts.maxSlotWalKeepSize;
  if (limit === -1) {
    return {
      severity: 'warning',
      check: 'wal-kept',
      message: 'max_slot_wal_keep_size is not set: while Tailrace is away the WAL that the slot holds can fill the disk of the source',
      remedy: "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf(); (as much as the disk can spare)",
    };
  }
  if (limit >= smallLimitMegabytes) return null;
  return {
    severity: 'warning',
    check: 'wal-kept',
    message: `max_slot_wal_keep_size is ${limit} MB: a short outage under load loses the slot`,
    remedy: "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf(); (as much as the disk can spare)",
  };
}

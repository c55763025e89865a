import type { Query } from '../../runtime/postgres/connection.ts';

/** What a server says of itself and of our role, in one round trip. */
export interface ServerFacts {
  /** `server_version_num`: 180004. */
  readonly version: number;
  readonly versionText: string;
  readonly inRecovery: boolean;
  readonly walLevel: string;
  readonly database: string;
  readonly encoding: string;
  readonly walSenderTimeoutMs: number;
  readonly role: string;
  readonly mayReplicate: boolean;
  readonly superuser: boolean;
  readonly bypassesRls: boolean;
  /** The right to make publications in this database. */
  readonly mayCreate: boolean;
  readonly slots: { readonly max: number; readonly used: number };
  readonly senders: { readonly max: number; readonly used: number };
  /** Megabytes; -1 is no limit. */
  readonly maxSlotWalKeepSize: number;
  readonly synchronousStandbyNames: string;
}

const factsQuery = `SELECT pg_catalog.json_build_object(
    'version', pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
    'versionText', pg_catalog.current_setting('server_version'),
    'inRecovery', pg_catalog.pg_is_in_recovery(),
    'walLevel', pg_catalog.current_setting('wal_level'),
    'database', pg_catalog.current_database(),
    'encoding', pg_catalog.current_setting('server_encoding'),
    'walSenderTimeoutMs', (SELECT s.setting::pg_catalog.int4 FROM pg_catalog.pg_settings s WHERE s.name = 'wal_sender_timeout'),
    'role', current_user,
    'mayReplicate', r.rolsuper OR r.rolreplication OR EXISTS (
      -- Managed services hand the right out by a role of their own.
      SELECT FROM pg_catalog.pg_roles m WHERE m.rolname = 'rds_replication' AND pg_catalog.pg_has_role(current_user, m.oid, 'MEMBER')),
    'superuser', r.rolsuper,
    'bypassesRls', r.rolsuper OR r.rolbypassrls,
    'mayCreate', pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
    'slots', pg_catalog.json_build_object('max', pg_catalog.current_setting('max_replication_slots')::pg_catalog.int4,
      'used', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots)),
    'senders', pg_catalog.json_build_object('max', pg_catalog.current_setting('max_wal_senders')::pg_catalog.int4,
      'used', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication)),
    'maxSlotWalKeepSize', (SELECT s.setting::pg_catalog.int4 FROM pg_catalog.pg_settings s WHERE s.name = 'max_slot_wal_keep_size'),
    'synchronousStandbyNames', pg_catalog.current_setting('synchronous_standby_names')) AS facts
  FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`;

export async function readFacts(query: Query): Promise<ServerFacts> {
  const [row] = await query<{ facts: ServerFacts }>(factsQuery);
  if (row === undefined) throw new Error('the server does not know the role that is logged in');
  return row.facts;
}

import pg from 'pg';

/** The SQLSTATE of an error that the server reported. */
export function sqlstateOf(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/**
 * What an error of a connection or a statement calls for; the one place where drivers' errors are told apart, by code.
 *
 * - `unreachable`: the server is away, starting, stopping or full up; a new connection later may work.
 * - `conflict`: this transaction lost against another one; it may be tried again.
 * - `full`: disk or memory of the server.
 * - `refused`: login, right, database or certificate; somebody has to mend it.
 * - `other`: everything that is not on a list here. Never retried (DESIGN, rule 7).
 */
export type FailureKind = 'unreachable' | 'conflict' | 'full' | 'refused' | 'other';

const bySqlstate: ReadonlyMap<string, FailureKind> = new Map([
  ['57P01', 'unreachable'], // admin_shutdown, and pg_terminate_backend
  ['57P02', 'unreachable'], // crash_shutdown
  ['57P03', 'unreachable'], // cannot_connect_now: starting or stopping
  ['57P05', 'unreachable'], // idle_session_timeout
  ['25P03', 'unreachable'], // idle_in_transaction_session_timeout
  ['53300', 'unreachable'], // too_many_connections, wal senders included
  ['53400', 'unreachable'], // configuration_limit_exceeded: slots
  ['40001', 'conflict'], // serialization_failure
  ['40P01', 'conflict'], // deadlock_detected
  ['55P03', 'conflict'], // lock_not_available
  ['57014', 'conflict'], // query_canceled
  ['53100', 'full'], // disk_full
  ['53200', 'full'], // out_of_memory
  ['3D000', 'refused'], // invalid_catalog_name: no such database
  ['42501', 'refused'], // insufficient_privilege
]);
const bySqlstateClass: ReadonlyMap<string, FailureKind> = new Map([
  ['08', 'unreachable'], // connection exception
  ['28', 'refused'], // invalid authorization
]);

const socketErrors = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'EHOSTDOWN',
  'ENETUNREACH', 'ENETDOWN', 'ENOENT', 'EADDRNOTAVAIL',
]);
/** Codes of OpenSSL's verification as Node gives them, beside those of `ERR_TLS_…` and `ERR_SSL_…`. */
const certificateErrors = /^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|CERT_|CRL_|SELF_SIGNED_CERT|DEPTH_ZERO_SELF_SIGNED|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH)/;

/** Codes of our own for what drivers give no code for; see client.ts. */
export type OwnCode = 'NO_TLS' | 'NO_PASSWORD' | 'CLEARTEXT_PASSWORD';
const ownErrors: readonly string[] = ['NO_TLS', 'NO_PASSWORD', 'CLEARTEXT_PASSWORD'] satisfies OwnCode[];

export function failureKind(error: unknown): FailureKind {
  const sqlstate = sqlstateOf(error);
  if (sqlstate !== undefined) return bySqlstate.get(sqlstate) ?? bySqlstateClass.get(sqlstate.slice(0, 2)) ?? 'other';
  const code = errorCode(error);
  if (code === undefined) return 'other';
  if (socketErrors.has(code)) return 'unreachable';
  return ownErrors.includes(code) || certificateErrors.test(code) ? 'refused' : 'other';
}

/** Whether TLS itself failed or was not offered, so that `sslmode` is what has to change. */
export function isTlsFailure(error: unknown): boolean {
  const code = sqlstateOf(error) === undefined ? errorCode(error) : undefined;
  return code !== undefined && (code === 'NO_TLS' || certificateErrors.test(code));
}

function errorCode(error: unknown): string | undefined {
  const code: unknown = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  // Node tries all addresses of a name: what failed for each stands inside.
  if (code === undefined && error instanceof AggregateError) return errorCode(error.errors[0]);
  return typeof code === 'string' ? code : undefined;
}

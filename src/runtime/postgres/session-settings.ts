/**
 * What the text of a value depends on, and what a role's or a database's own settings must not change under us. Every session
 * of ours pins all of it, so that a row has one text, whether it was copied or streamed (DESIGN, Values).
 */
export const pinnedSettings: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  bytea_output: 'hex',
  DateStyle: 'ISO, MDY',
  // Signs are written out for each field, so that the text says the same in every style it may be read with.
  IntervalStyle: 'postgres',
  // The shortest text that reads back as the same float.
  extra_float_digits: '3',
  TimeZone: 'UTC',
  lc_monetary: 'C',
  xmloption: 'content',
  standard_conforming_strings: 'on',
  // Off, `{NULL}` would be read as an array with the text NULL in it.
  array_nulls: 'on',
  quote_all_identifiers: 'off',
  // Names of types and tables in texts come out qualified, and nobody's function stands before the system's (CVE-2018-1058).
  search_path: 'pg_catalog',
  // A policy must be an error, never a filter: a copy with rows missing would look complete.
  row_security: 'off',
  // Limits that a role may have for its applications; ours are set where they are wanted.
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  default_transaction_read_only: 'off',
  default_transaction_isolation: 'read committed',
};

/** The startup packet's `options`: in force before the first statement, in a replication session too. */
export function startupOptions(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value.replaceAll(/[\\\s]/g, '\\$&')}`)
    .join(' ');
}

import type pg from 'pg';
import { TailraceError } from '../../runtime/errors.ts';
import type { ErrorCode } from '../../runtime/error-catalogue.ts';
import { failureKind, isTlsFailure, sqlstateOf, type FailureKind } from '../../runtime/postgres/sqlstate.ts';
import { redact } from '../../runtime/secret.ts';

const byKind: Readonly<Record<Exclude<FailureKind, 'other'>, ErrorCode>> = {
  unreachable: 'source-unreachable',
  // A transaction of ours that lost, or a server without space: a new connection begins where the log ends.
  conflict: 'source-unreachable',
  full: 'source-unreachable',
  refused: 'source-refused',
};

/** What SQLSTATEs outside the general kinds mean to a reader of a slot. */
const bySqlstate: ReadonlyMap<string, ErrorCode> = new Map([
  ['55006', 'slot-in-use'], // object_in_use
  ['58P01', 'slot-lost'], // undefined_file: a WAL segment has been removed
  ['42704', 'source-not-ready'], // undefined_object: the slot, or a publication at a place in the WAL
  ['55000', 'source-not-ready'], // object_not_in_prerequisite_state
  ['42P01', 'source-not-ready'], // undefined_table
  ['22021', 'source-unreadable'], // character_not_in_repertoire: a byte that the encoding does not have
  ['22P05', 'source-unreadable'], // untranslatable_character
  ['54000', 'source-unreadable'], // program_limit_exceeded
  ['XX000', 'source-unreadable'], // internal_error: a row that the server itself cannot send
  ['XX001', 'source-unreadable'], // data_corrupted
]);

const remedies: ReadonlyMap<string, string> = new Map([
  ['42704', 'A slot reads the publication as it was at each place in the WAL: one that was dropped meanwhile cannot be put back there. Drop the slot and start again; see docs/guarantees.md, Gaps.'],
  ['XX000', 'The server itself cannot send a row, or has lost a file: see its log. The slot stays where it is.'],
]);

/** A table or type was dropped while a question about the catalog ran; the server has no code of its own for that, and does not translate it. */
const droppedMeanwhile = /^(could not open relation with OID|cache lookup failed for) /;

export function isDroppedMeanwhile(error: unknown): boolean {
  return sqlstateOf(error) === 'XX000' && droppedMeanwhile.test(messageOf(error));
}

/**
 * The one place where errors of the driver and the server become ours. `doing` says what was attempted, as the beginning of
 * the message. Codes that are on no list stop (DESIGN, rule 7).
 */
export function sourceError(error: unknown, doing: string): TailraceError {
  if (error instanceof TailraceError) return error;
  const kind = failureKind(error);
  const sqlstate = sqlstateOf(error);
  if (isDroppedMeanwhile(error)) return new TailraceError('source-unreachable', `${doing}: something was dropped meanwhile (${describe(error)})`, { cause: error, remedy: 'It passes: Tailrace asks again by itself.' });
  const code = kind !== 'other' ? byKind[kind] : ((sqlstate === undefined ? undefined : bySqlstate.get(sqlstate)) ?? 'source-failed');
  const remedy = isTlsFailure(error) ? 'Check sslmode and sslrootcert of the source: see docs/configuration.md.' : remedies.get(sqlstate ?? '');
  return new TailraceError(code, `${doing}: ${describe(error)}`, { cause: error, ...(remedy === undefined ? {} : { remedy }) });
}

function describe(error: unknown): string {
  const sqlstate = sqlstateOf(error);
  // Class 22 (data exception) repeats the value that it complains about.
  const quotesValue = sqlstate?.startsWith('22') ?? false;
  const message = quotesValue ? 'a value cannot be read or converted' : redact(messageOf(error));
  return sqlstate === undefined ? message : `${message} (SQLSTATE ${sqlstate})`;
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}

/** An ErrorResponse that we parsed ourselves, as pg would give it. */
export function databaseError(make: typeof pg.DatabaseError, fields: ReadonlyMap<string, string>): Error {
  const error = new make(fields.get('M') ?? 'an error without a message', 0, 'error');
  return Object.assign(error, { severity: fields.get('V') ?? fields.get('S'), code: fields.get('C'), detail: fields.get('D'), hint: fields.get('H') });
}

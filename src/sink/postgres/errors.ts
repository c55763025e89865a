import type { ErrorCode } from '../../runtime/error-catalogue.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { failureKind, sqlstateOf } from '../../runtime/postgres/sqlstate.ts';

/** What is known of a server's error without reading its text. */
interface ServerError extends Error {
  readonly code: string;
  readonly column?: string;
  readonly constraint?: string;
}

/** SQLSTATEs ("PostgreSQL Error Codes" in the manual) that speak of rows or tables; `failureKind` knows those of the connection. */
const byState: readonly (readonly [prefix: string, code: ErrorCode])[] = [
  // The longest prefix that fits counts, so the longer ones stand first.
  // A server that turned into a standby: the name in the URL is expected to lead to the new primary soon.
  ['25006', 'sink-unreachable'], ['25P04', 'sink-unreachable'], ['55006', 'sink-unreachable'],
  ['42804', 'sink-data'], ['42883', 'sink-data'], ['428C9', 'sink-data'], ['P0001', 'sink-data'],
  ['3F000', 'sink-conflict'], ['42701', 'sink-conflict'], ['42703', 'sink-conflict'], ['42710', 'sink-conflict'], ['42809', 'sink-conflict'],
  ['2BP01', 'sink-conflict'], ['0A000', 'sink-conflict'], ['55000', 'sink-conflict'], ['42P', 'sink-conflict'],
  ['21', 'sink-data'], ['22', 'sink-data'], ['23', 'sink-data'], ['44', 'sink-data'], ['54', 'sink-data'],
  ['0P', 'sink-refused'], ['58', 'sink-unreachable'],
];

/** The catalogue's code for an error of pg or of the socket under it; undefined when nobody foresaw it. */
export function codeFor(error: unknown): ErrorCode | undefined {
  if (error instanceof TailraceError) return error.code;
  switch (failureKind(error)) {
    case 'unreachable':
    case 'conflict':
    case 'full':
      return 'sink-unreachable';
    case 'refused':
      return 'sink-refused';
    case 'other': {
      const state = sqlstateOf(error);
      return byState.find(([prefix]) => state?.startsWith(prefix))?.[1];
    }
  }
}

/** An error of the driver as one of ours. `doing` says what was under way: `writing public.orders`. */
export function sinkError(error: unknown, doing: string): Error {
  if (error instanceof TailraceError) return error;
  const code = codeFor(error);
  if (code === undefined) return new TailraceError('internal', `${doing}: ${messageOf(error)}`, { cause: error });
  if (code === 'sink-data') return refusal(error as ServerError, doing);
  return new TailraceError(code, `${doing}: ${messageOf(error)}`, { cause: error });
}

/**
 * A row that the replica refuses. Neither message nor cause come from the server: `invalid input syntax for type integer:
 * "…"` and `Key (email)=(…)` hold values.
 */
export function refusal(error: Error, doing: string): TailraceError {
  const { constraint, column, code } = error as Partial<ServerError>;
  const what = reasons[code ?? ''] ?? (code?.startsWith('22') === true ? 'a value does not fit its column' : 'it refuses the row');
  const where = [constraint === undefined ? '' : `constraint ${constraint}`, column === undefined ? '' : `column ${column}`].filter((part) => part !== '');
  return new TailraceError('sink-data', `${doing}: ${what} (${[...where, `SQLSTATE ${code ?? 'unknown'}`].join(', ')})`);
}

const reasons: Partial<Record<string, string>> = {
  '22P02': 'a value is not one of its column\'s type',
  '22001': 'a text is too long for its column',
  '22003': 'a number is out of its column\'s range',
  '23502': 'a column that may not be NULL is',
  '23503': 'a foreign key is violated',
  '23505': 'a unique key is violated',
  '23514': 'a check constraint is violated',
  '23P01': 'an exclusion constraint is violated',
};

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const state = sqlstateOf(error);
  return state === undefined ? message : `${message} (SQLSTATE ${state})`;
}

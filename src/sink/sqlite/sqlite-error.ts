import { TailraceError, actionFor } from '../../runtime/errors.ts';
import type { ErrorCode } from '../../runtime/error-catalogue.ts';

/** SQLite's primary result codes (sqlite.org/rescode.html) that mean something to us; the rest is a fault of ours. */
const codes: ReadonlyMap<number, readonly [ErrorCode, string]> = new Map([
  [3, ['sink-refused', 'the process may not use it']],
  [5, ['sink-unreachable', 'another process or connection holds its write lock']],
  [6, ['sink-unreachable', 'another connection holds a lock on it']],
  [8, ['sink-refused', 'it cannot be written']],
  [10, ['sink-unreachable', 'reading or writing it failed']],
  [11, ['sink-lost', 'it is damaged']],
  [13, ['sink-unreachable', 'there is no space left to write it']],
  [14, ['sink-refused', 'it cannot be opened']],
  [18, ['sink-data', 'a row is longer than SQLite takes']],
  [19, ['sink-data', 'a constraint of the replica refuses a row']],
  [20, ['sink-data', 'a column of the replica refuses a value']],
  [23, ['sink-refused', 'the process may not use it']],
  [26, ['sink-conflict', 'it is not an SQLite database']],
]);

/** SQLite's extended result code, or undefined for an error that is not SQLite's. */
export function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || (error as { code?: unknown }).code !== 'ERR_SQLITE_ERROR') return undefined;
  const { errcode } = error as { errcode?: unknown };
  return typeof errcode === 'number' ? errcode : undefined;
}

/**
 * The project's error for one of SQLite's, told apart by its code alone. `where` names the file, and the table and key where
 * a row is concerned. SQLite's own words may quote a CHECK of the user's and are left in `cause`.
 */
export function sqliteError(error: unknown, where: string): unknown {
  if (error instanceof TailraceError) return error;
  const known = codes.get((resultCode(error) ?? -1) & 0xff);
  if (known === undefined) return error;
  return new TailraceError(known[0], `${where}: ${known[1]}`, { cause: error });
}

/** Whether an error is a refusal of one row, which leaves its transaction open. */
export function isRefusal(error: unknown): error is TailraceError {
  return error instanceof TailraceError && error.code === 'sink-data' && actionFor(error) === 'operator';
}

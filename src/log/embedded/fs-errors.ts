import { TailraceError } from '../../runtime/errors.ts';

/** The `code` of a Node file system error, `ENOENT` and so on; undefined for any other error. */
export function errno(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** What a failed write, sync or file creation is to the caller. An error of ours passes through. */
export function unwritable(error: unknown, what: string): TailraceError {
  if (error instanceof TailraceError) return error;
  const code = errno(error);
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new TailraceError('log-unwritable', `${what}: no space is left`, { cause: error });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
    case 'EISDIR':
    case 'EEXIST':
    case 'ELOOP':
      return unusable(what, code, error);
    default:
      // A mistake of ours, such as ERR_OUT_OF_RANGE, does not pass by trying again.
      if (code === undefined || (code.startsWith('ERR_') && code !== 'ERR_SQLITE_ERROR')) {
        return new TailraceError('internal', `${what}: ${String(error)}`, { cause: error });
      }
      return new TailraceError('log-unwritable', `${what}: ${code}`, { cause: error });
  }
}

/** For what a person has to mend: rights, owners, something else in the way. */
export function unusable(what: string, why: string, cause: unknown): TailraceError {
  const who = process.getuid === undefined ? '' : ` for user id ${process.getuid()}`;
  return new TailraceError('log-directory', `${what}: ${why}${who}`, { cause });
}

/** Damage at a byte of a file. */
export function damaged(file: string, at: number, what: string): TailraceError {
  return new TailraceError('log-damaged', `${file}, byte ${at}: ${what}`);
}

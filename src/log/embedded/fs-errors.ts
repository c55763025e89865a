import { TailraceError } from '../../runtime/errors.ts';

/** The `code` of a Node file system error, `ENOENT` and so on; undefined for any other error. */
export function errno(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** What a failed write, sync or file creation is to the caller. An error of ours passes through. */
export function unwritable(error: unknown, what: string): TailraceError {
  if (error instanceof TailraceError) return error;
  switch (errno(error)) {
    case undefined:
      return new TailraceError('internal', `${what}: ${String(error)}`, { cause: error });
    case 'ENOSPC':
    case 'EDQUOT':
      return new TailraceError('log-unwritable', `${what}: no space is left`, { cause: error });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
    case 'ENOTDIR':
    case 'EISDIR':
    case 'ELOOP':
      return unusable(error, what);
    default:
      return new TailraceError('log-unwritable', `${what}: ${errno(error) ?? String(error)}`, { cause: error });
  }
}

function unusable(error: unknown, what: string): TailraceError {
  const who = process.getuid === undefined ? '' : ` for user id ${process.getuid()}`;
  return new TailraceError('log-directory', `${what}: ${errno(error)}${who}`, { cause: error });
}

/** Damage at a byte of a file. `remedy` where there is a better one than the catalogue's. */
export function damaged(file: string, at: number, what: string): TailraceError {
  return new TailraceError('log-damaged', `${file}, byte ${at}: ${what}`);
}

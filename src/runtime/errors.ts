import { catalogue, type ErrorCode } from './error-catalogue.ts';

/**
 * The one error type of the project. `code` is an entry of the catalogue, which says whether to retry, to stop or to ask
 * the operator, and the remedy; `message` says what is wrong and where. Row values and secrets never stand in either.
 */
export class TailraceError extends Error {
  override readonly name = 'TailraceError';
  readonly code: ErrorCode;
  /** What to do about it; the catalogue's general remedy unless the thrower knows a better one. */
  readonly remedy: string;

  constructor(code: ErrorCode, message: string, options: { remedy?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.remedy = options.remedy ?? catalogue[code].remedy;
  }

  get entry(): (typeof catalogue)[ErrorCode] {
    return catalogue[this.code];
  }
}

/** What a caller does with an error: an unknown one stops, because retry is an allow-list (DESIGN, rule 7). */
export function actionFor(error: unknown): 'retry' | 'stop' | 'operator' {
  return error instanceof TailraceError ? error.entry.action : 'stop';
}

/** The process's exit code for an error: 1 for one that nobody foresaw. */
export function exitCodeFor(error: unknown): number {
  return error instanceof TailraceError ? error.entry.exit : 1;
}

/** What a preflight check found; `check` prints them all at once, and start-up runs the same list. */
export interface Finding {
  /** A `note` says what is as it is, and asks for nothing. */
  readonly severity: 'error' | 'warning' | 'note';
  /** A short stable name of the check, for example `wal-level`. */
  readonly check: string;
  /** What is wrong and where, without secrets. */
  readonly message: string;
  /** What to do, as a statement to paste where there is one. */
  readonly remedy: string;
}

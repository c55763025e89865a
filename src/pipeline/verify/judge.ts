import type { RowState } from '../../event/digest.ts';
import type { WatchedRow } from '../../source/verifier.ts';
import type { RowHistory } from './row-history.ts';

/** What is known of one suspect row: it was seen at the source, then at the replica, then at the source again. */
export interface Evidence {
  /** At the source, before a marker that the replica had passed when it was looked at. */
  readonly before: WatchedRow | undefined;
  readonly replica: RowState | undefined;
  /** At the source once more. */
  readonly after: WatchedRow | undefined;
}

/**
 * What two looks at the source around one at the replica tell. `unsure`: the log has to be asked what happened in between.
 *
 * A difference is certain when the source's row was one and the same throughout: the same version both times, which nobody
 * has touched since, not even in a transaction whose commit is at the replica before it is visible at the source. A row that
 * is not there has no version: it may have been there for a moment in between.
 */
export function judge({ before, replica, after }: Evidence): 'equal' | 'different' | 'unsure' {
  if (replica === before?.state || replica === after?.state) return 'equal';
  const same = before !== undefined && after !== undefined && before.version !== null && before.version === after.version;
  return same && after.quiet ? 'different' : 'unsure';
}

/**
 * The same with the log's word: the changes of this row since before the first look, up to what the replica can have had when
 * it was looked at. `stuck`: a transaction was writing the table at both ends, so its commit may be at the replica and
 * invisible at the source (SourceDigests.writers); what began to write later is in the log's word.
 */
export function judgeWithHistory({ before, replica, after }: Evidence, history: RowHistory, stuck: boolean): 'equal' | 'different' | 'changing' | 'stuck' {
  // The replica shows what the source showed at some moment of this while: it is on its way, and not elsewhere.
  if (history.explains(before?.state, replica)) return 'equal';
  const still = before?.state === after?.state && before?.version === after?.version;
  if (history.touched || !still) return 'changing';
  return stuck ? 'stuck' : 'different';
}

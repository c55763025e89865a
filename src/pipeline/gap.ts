import { formatLsn } from '../event/lsn.ts';
import type { SourceServer } from '../source/source.ts';
import type { EndRecord, StartRecord } from './control-records.ts';

/**
 * Compares what the log holds with what the slot will still send (DESIGN rule 2: the log is the truth about progress, not
 * the slot). Null: the stream continues where the log ends. Otherwise the reason, in words, with the size where there is one.
 */
export function findGap(server: SourceServer, start: StartRecord | null, end: EndRecord | null): string | null {
  if (start === null || end === null) return null;
  if (server.systemIdentifier !== start.systemIdentifier) {
    return `the log was written from the server with system identifier ${start.systemIdentifier}, this one is ${server.systemIdentifier}`;
  }
  if (server.timeline < start.timeline) {
    return `the server is on timeline ${server.timeline}, the log has seen timeline ${start.timeline}: the server was set back`;
  }
  if (server.timeline > start.timeline && server.timelineSwitch !== undefined && end.commitLsn > server.timelineSwitch) {
    // The *commit* LSN is compared: the end LSN can lie past the switch although the transaction is on both sides of it.
    return (
      `the server changed to timeline ${server.timeline} at ${formatLsn(server.timelineSwitch)}, and the log already holds ` +
      `a transaction committed at ${formatLsn(end.commitLsn)} that the new timeline does not have`
    );
  }
  if (server.confirmedFlush > end.endLsn) {
    const missing = server.confirmedFlush - end.endLsn;
    const cause = server.slotCreated
      ? `the slot ${server.slot} was missing and has been made anew`
      : `the slot ${server.slot} was advanced or made anew by somebody else`;
    return (
      `${cause}: it starts at ${formatLsn(server.confirmedFlush)}, the log ends at ${formatLsn(end.endLsn)}, ` +
      `so ${missing} bytes of WAL were never read`
    );
  }
  if (server.walFlushed < end.endLsn) {
    return (
      `the server's WAL ends at ${formatLsn(server.walFlushed)}, before the log's last position ${formatLsn(end.endLsn)}: ` +
      `the server was set back to an older state`
    );
  }
  return null;
}

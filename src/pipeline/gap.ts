import { formatLsn, type Lsn } from '../event/lsn.ts';
import type { SourceServer } from '../source/source.ts';
import type { EndRecord, StartRecord } from './control-records.ts';

/**
 * Compares what the log holds with what the slot will still send (DESIGN rule 2: the log is the truth about progress, not
 * the slot). Null: the stream continues where the log ends. Otherwise the reason, in words, with the size where there is one.
 */
export function findGap(server: SourceServer, start: StartRecord | null, end: EndRecord | null): string | null {
  if (start === null || end === null) return null;
  // A crash between a START that let a gap pass and its END: the last END is still the one before the gap.
  if (start.gap !== null && end.startId !== start.startId) return start.gap;
  if (server.systemIdentifier !== start.systemIdentifier) {
    return `the log was written from the server with system identifier ${start.systemIdentifier}, this one is ${server.systemIdentifier}`;
  }
  if (server.timeline < start.timeline) {
    return `the server is on timeline ${server.timeline}, the log has seen timeline ${start.timeline}: the server was set back`;
  }
  const { timelineSwitch } = server;
  if (server.timeline > start.timeline && timelineSwitch === undefined) {
    return `the server changed to timeline ${server.timeline} and does not say where, so nobody can tell what of the log that timeline has`;
  }
  if (server.timeline > start.timeline && timelineSwitch !== undefined && end.commitLsn >= timelineSwitch) {
    // The *commit* LSN is compared: a keepalive's position, which is an end LSN too, can lie past the switch.
    return (
      `the server changed to timeline ${server.timeline} at ${formatLsn(timelineSwitch)}, and the log already holds ` +
      `a transaction committed at ${formatLsn(end.commitLsn)} that the new timeline does not have`
    );
  }
  return compareLsns(server, start.slot, continuesAt(server, start, end));
}

/**
 * Where the stream has to go on: where the last END ends, or where the server's timeline branched off, when that END has gone
 * past it. From there on the WAL is another.
 */
export function continuesAt(server: SourceServer, start: StartRecord, end: EndRecord): Lsn {
  const { timelineSwitch } = server;
  const hasBranched = server.timeline > start.timeline && timelineSwitch !== undefined && end.endLsn > timelineSwitch;
  return hasBranched ? timelineSwitch : end.endLsn;
}

function compareLsns(server: SourceServer, before: string, logEnd: Lsn): string | null {
  if (server.confirmedFlush > logEnd) {
    const missing = server.confirmedFlush - logEnd;
    const cause = server.slot !== before
      ? `the log was written from the slot ${before}, this is the slot ${server.slot}`
      : server.slotCreated
      ? `the slot ${server.slot} was missing and has been made anew`
      : `the slot ${server.slot} was advanced or made anew by somebody else`;
    return (
      `${cause}: it starts at ${formatLsn(server.confirmedFlush)}, the log ends at ${formatLsn(logEnd)}, ` +
      `so ${missing} bytes of WAL were never read`
    );
  }
  if (server.walFlushed < logEnd) {
    return (
      `the server's WAL ends at ${formatLsn(server.walFlushed)}, before the log's last position ${formatLsn(logEnd)}: ` +
      `the server was set back to an older state`
    );
  }
  return null;
}

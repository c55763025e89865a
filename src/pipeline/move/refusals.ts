import type { LogReader } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { decodeControl } from '../control-json.ts';
import type { StartRecord, TransactionRecord } from '../control-records.ts';
import { records } from '../log-state.ts';

/** The first record of a log, which says whether it is whole; null for a log without any. */
export async function frontOf(reader: LogReader, topic: string): Promise<StartRecord | null> {
  for await (const cursor of records(reader, topic)) {
    const record = decodeControl<TransactionRecord>(cursor.value, `${topic} at offset ${cursor.offset}`);
    return record.type === 'start' ? record : wholeLog;
  }
  return null;
}

/** A log whose first START retention has removed. */
const wholeLog: StartRecord = { type: 'start', logId: '', epoch: 0, startId: '', systemIdentifier: '', timeline: 0, slot: '', tables: [], continues: null, gap: null };

/** Nobody publishes to, or follows, a log that is not whole yet. */
export async function refuseIncomplete(reader: LogReader, topic: string): Promise<void> {
  if ((await frontOf(reader, topic))?.copies === undefined) return;
  throw new TailraceError('log-incomplete', `${topic} is being copied from another log, and not all of it is there yet`);
}

/** Whoever uses a log stops at the START that says that it goes on elsewhere. */
export function refuseMoved(start: StartRecord | null): void {
  if (start?.moved !== undefined) throw new TailraceError('log-moved', `this log ends here: it was copied to ${start.moved}, where the pipeline goes on`);
}

import { formatLsn, lsn, type Lsn } from '../event/lsn.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Slice } from '../runtime/slice.ts';
import type { ControlRecord, EndRecord, JobRunRecord, Place, ProgressRecord, SinkRecord, SnapshotRecord, StartRecord } from './control-records.ts';
import { endBytes, readEnd } from './end-json.ts';

/** Fields that hold an LSN; every other bigint is written as decimal digits. */
const lsnFields = new Set(['commitLsn', 'endLsn', 'lsn']);

export function encodeControl(record: ControlRecord): Uint8Array {
  const end = record.type === 'end' ? endBytes(record, record.parts) : null;
  if (end !== null) return Buffer.from(end.bytes.subarray(end.start, end.end));
  return Buffer.from(
    JSON.stringify(record, (field, value: unknown) => {
      if (typeof value !== 'bigint') return value;
      return lsnFields.has(field) ? formatLsn(value) : value.toString();
    }),
  );
}

/** Reads a record of one of our own topics. `where` names the place for the error. */
export function decodeControl<T extends ControlRecord>(value: Slice, where: string): T {
  const end = readEnd(value);
  if (end !== null) return end as ControlRecord as T;
  try {
    const text = Buffer.from(value.bytes.buffer, value.bytes.byteOffset + value.start, value.end - value.start).toString();
    return revive(JSON.parse(text) as Written) as T;
  } catch (cause) {
    throw new TailraceError('log-damaged', `${where} does not hold a record of Tailrace's`, { cause });
  }
}

/** A record as JSON has it: the bigints are still texts. */
type Written = { type?: string } & Record<string, never>;

/** Puts the bigints back, by hand: an END a transaction is read on the hot path, and a JSON reviver costs ten times as much. */
function revive(written: Written): ControlRecord {
  switch (written.type) {
    case 'end': {
      const end = written as unknown as EndRecord;
      const input = end.input == null ? {} : { input: place(end.input) };
      return { ...end, ...place(end), endLsn: lsnOf(end.endLsn), commitTime: BigInt(String(end.commitTime)), previous: place(end.previous), ...input };
    }
    case 'progress': {
      const progress = written as unknown as ProgressRecord;
      return { ...progress, ...place(progress) };
    }
    case 'start': {
      const { continues, ...start } = written as unknown as StartRecord;
      return { ...start, continues: continues && { ...place(continues), endLsn: lsnOf(continues.endLsn) } };
    }
    case 'snapshot': {
      const { visibility, ...rest } = written as unknown as SnapshotRecord;
      return {
        ...rest,
        place: place(rest.place),
        begin: place(rest.begin),
        visibility: visibility && { ...visibility, lsn: lsnOf(visibility.lsn) },
      };
    }
    case 'register': {
      const record = written as unknown as SinkRecord & { type: 'register' };
      const tables = Object.entries(record.tables).map(([table, since]) => [table, place(since)] as const);
      return { ...record, at: place(record.at), tables: Object.fromEntries(tables) };
    }
    case 'position': {
      const record = written as unknown as SinkRecord & { type: 'position' };
      return { ...record, ...place(record), endLsn: lsnOf(record.endLsn) };
    }
    case 'job-run': {
      const run = written as unknown as JobRunRecord;
      return { ...run, place: run.place && place(run.place) };
    }
    case 'version':
    case 'reread':
    case 'copy-order':
    case 'look':
    case 'partition':
    case 'ask':
    case 'forgotten':
      return written as unknown as ControlRecord;
    default:
      throw new Error('unknown type');
  }
}

function place(written: Place): Place {
  return { epoch: written.epoch, commitLsn: lsnOf(written.commitLsn) };
}

/** An LSN that JSON carried: its type says bigint, its value is still text. */
function lsnOf(written: Lsn): Lsn {
  return lsn(String(written));
}

import type { TestContext } from 'node:test';
import { newEncoded } from '../../src/codec/codec.ts';
import { createTupleCodec } from '../../src/codec/tuple/index.ts';
import type { Op } from '../../src/event/change.ts';
import type { Position } from '../../src/event/position.ts';
import type { TableSchema } from '../../src/event/table.ts';
import { openEmbeddedLog } from '../../src/log/embedded/embedded-log.ts';
import type { LogReader, LogWriter, RecordDraft } from '../../src/log/log.ts';
import { encodeControl } from '../../src/pipeline/control-json.ts';
import { origin, type ControlRecord, type EndRecord, type Part, type Place, type ProgressRecord, type SnapshotRecord, type StartRecord } from '../../src/pipeline/control-records.ts';
import { controlDraft } from '../../src/pipeline/group.ts';
import { extraHeaderName, headerName, headerSize, HeaderWriter, startIdBytes, type Half } from '../../src/pipeline/record-header.ts';
import { tempDirectory } from '../support/temp.ts';
import { changeOf, type Texts } from '../contract/change-samples.ts';
import { tableOf } from './harness.ts';

/** One event record as a test writes it, true or false as it likes. */
export interface EventSpec {
  readonly startId: string;
  readonly commitLsn: bigint;
  readonly ordinal: number;
  readonly row?: Texts;
  readonly op?: Op;
  readonly half?: Half;
  readonly codec?: number;
  readonly version?: { readonly epoch: number; readonly number: number };
}

export const startA = '00112233445566aa';
export const startB = '00112233445566bb';

/** A log that a test writes record by record: what no publisher of ours would write stands in it too. */
export class WrittenLog {
  readonly reader: LogReader;
  readonly writer: LogWriter;
  readonly table: TableSchema = { ...tableOf('t', 2), version: { epoch: 1, number: 1 } };

  private constructor(reader: LogReader, writer: LogWriter) {
    this.reader = reader;
    this.writer = writer;
  }

  static async open(t: TestContext): Promise<WrittenLog> {
    const open: { close(): Promise<void> }[] = [];
    // Before the directory: what is registered first is done first.
    t.after(async () => {
      for (const each of open) await each.close();
    });
    const log = openEmbeddedLog({ directory: await tempDirectory(t), segmentSize: 65_536 });
    const writer = await log.openWriter();
    open.push(writer);
    for (const topic of ['shop.transaction', 'shop.schema']) await writer.createTopic({ topic, partitions: 1 });
    await writer.createTopic({ topic: 'shop.public.t', partitions: 3 });
    const reader = await log.openReader();
    open.unshift(reader);
    const written = new WrittenLog(reader, writer);
    const { version, ...shape } = written.table;
    await written.write('shop.schema', { type: 'version', version, shape });
    return written;
  }

  async write(topic: string, ...records: ControlRecord[]): Promise<void> {
    const batch = this.writer.batch(topic, 0);
    for (const record of records) batch.add(controlDraft(encodeControl(record), 0));
    await this.writer.append([batch]);
  }

  /** To partition 0. Returns the offset of the first. */
  events(...specs: readonly (EventSpec | 'tombstone')[]): Promise<number> {
    return this.eventsIn(0, ...specs);
  }

  async eventsIn(partition: number, ...specs: readonly (EventSpec | 'tombstone')[]): Promise<number> {
    const codec = createTupleCodec();
    const out = newEncoded();
    const first = this.writer.range('shop.public.t', partition).end;
    const batch = this.writer.batch('shop.public.t', partition);
    for (const spec of specs) {
      if (spec === 'tombstone') {
        batch.add({ timestamp: 0, key: { bytes: Buffer.from('k'), start: 0, end: 1 }, value: { bytes: Buffer.alloc(0), start: -1, end: -1 }, headers: [] });
        continue;
      }
      const { startId, commitLsn, ordinal, op = 'c', half = 'whole', row = [String(ordinal), 'v'] } = spec;
      const header = new HeaderWriter(spec.codec ?? codec.id);
      header.begin(startIdBytes(startId), 1, commitLsn);
      header.change(op, ordinal, spec.version ?? this.table.version, { partial: false, half });
      if (op === 't') codec.encodeTruncate({ op, tables: [this.table], ordinal, cascade: false, restartIdentity: false }, this.table, context, out);
      else codec.encodeRow(changeOf(this.table, { op: 'c', new: row }), this.table, context, out);
      const draft: RecordDraft = {
        timestamp: 0, key: out.key, value: out.value,
        headers: [{ name: headerName, value: { bytes: header.bytes, start: 0, end: headerSize } }, { name: extraHeaderName, value: out.extra }],
      };
      batch.add(draft);
    }
    await this.writer.append([batch]);
    return first;
  }
}

const context = { pipeline: 'shop', database: 'shop', transaction: { op: 'begin', commitLsn: 0n, commitTime: 0n, xid: 1 }, processedAt: 0 } as const;

export function start(epoch: number, startId: string, more: Partial<StartRecord> = {}): StartRecord {
  return { type: 'start', logId: 'x', epoch, startId, systemIdentifier: '7', timeline: 1, slot: 's', tables: [], continues: null, gap: null, ...more };
}

export function partOf(count: number, first: number, last: number, more: Partial<Part> = {}): Part {
  return { topic: 'shop.public.t', partition: 0, count, first, last, bytes: count * 100, ...more };
}

export function end(startId: string, place: Place, previous: Place, more: Partial<EndRecord> = {}): EndRecord {
  return { type: 'end', startId, ...place, endLsn: place.commitLsn + 1n, commitTime: 0n, previous, parts: [partOf(1, 0, 0)], snapshot: null, ...more };
}

/** The log holds so many events, from offset 0 on. */
export function progress(startId: string, place: Place, count: number): ProgressRecord {
  return { type: 'progress', startId, ...place, parts: [partOf(count, 0, count - 1)] };
}

export function emptyEnd(startId: string, place: Place, endLsn: bigint): EndRecord {
  return end(startId, place, place, { endLsn, parts: [] });
}

export const at = (epoch: number, commitLsn: bigint): Place => ({ epoch, commitLsn });
export { origin };

export function positionAt(reader: LogReader, startId: string, place: Place, more: Partial<Position> = {}): Position {
  return { logId: reader.logId ?? '', systemIdentifier: '7', startId, ...place, offset: 0, ...more };
}

/** A copy for everybody, complete. */
export function copyRecord(table: string, more: Partial<SnapshotRecord> = {}): SnapshotRecord {
  return {
    type: 'snapshot', id: 'x', confirmed: true, table, relid: 5, key: ['a'], sink: null, ask: null, where: null, first: true, last: true, copy: 'c', ranges: [], rows: 0,
    rereads: [], from: 0, place: at(1, 30n), begin: at(1, 20n), visibility: null, ...more,
  };
}

import { formatLsn } from '../event/lsn.ts';
import { isAfter, type Position } from '../event/position.ts';
import type { LogReader, RecordCursor } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import { decodeControl } from './control-json.ts';
import { origin, type EndRecord, type Place, type ProgressRecord, type StartRecord, type TransactionRecord } from './control-records.ts';
import { refuseMoved } from './move/refusals.ts';
import { StartRule } from './start-rule.ts';

const fetchBytes = 256 << 10;

/** Whether the END says anything of its own: one that does not repeats the place before it, and moves nobody. */
export function isLink(end: EndRecord): boolean {
  return end.parts.length > 0 || end.snapshot !== null || end.shapes !== undefined;
}

/** One complete transaction, and where its END stands. */
export interface Step {
  readonly end: EndRecord;
  readonly offset: number;
  readonly logId: string;
  readonly systemIdentifier: string;
  /** It is the first one behind a gap that the config let pass: no copy from before counts. */
  readonly afterGap: boolean;
}

/** Where a reader stands that has taken the step. */
export function positionOf({ end, offset, logId, systemIdentifier }: Step): Position {
  const { startId, epoch, commitLsn } = end;
  return { logId, systemIdentifier, startId, epoch, commitLsn, offset };
}

/**
 * Follows the `transaction` topic behind a position and gives the ENDs that count, each checked against the chain
 * (PROTOCOL, END): the first one names the reader's position as the one before it, each later one the END before it.
 */
export class EndFollower {
  readonly #reader: LogReader;
  readonly #topic: string;
  #rule = new StartRule();
  #offset = 0;
  /** The place that the next END with events must name; null: whatever the first one names (a new reader). */
  #previous: Place | null;
  /** Empty until a START has said it. */
  #logId: string;
  #systemIdentifier: string;
  #afterGap = false;
  /** ENDs at or before the reader's position, while they are read again. */
  #behind: Place | null;
  /** The last of them that names the position. */
  #met: EndRecord | null = null;
  #unfinished: Step | null = null;
  #captured: Set<string> | null = null;

  private constructor(reader: LogReader, topic: string, position: Position | null) {
    this.#reader = reader;
    this.#topic = topic;
    this.#previous = this.#behind = position;
    this.#logId = reader.logId ?? position?.logId ?? '';
    this.#systemIdentifier = position?.systemIdentifier ?? '';
  }

  static async behind(reader: LogReader, topic: string, position: Position | null): Promise<EndFollower> {
    const follower = new EndFollower(reader, topic, position);
    if (position !== null && reader.logId !== undefined && position.logId !== reader.logId) throw anotherLog(position.logId, reader.logId);
    const range = await reader.range(topic, 0);
    follower.#offset = range.start;
    if (position !== null && position.offset >= range.start && position.offset < range.end) await follower.#jump(position);
    return follower;
  }

  /** The END that the reader's position names, or the last one that repeats it; null while it has not been read. */
  get met(): EndRecord | null {
    return this.#met;
  }

  /** The tables that a START named which was met; null where none was, as behind a position, which is jumped to. */
  get captured(): ReadonlySet<string> | null {
    return this.#captured;
  }

  /** Nothing has come yet behind a gap that the config let pass. */
  get isAfterGap(): boolean {
    return this.#afterGap;
  }

  /**
   * Behind the last step: what the log holds of a transaction that has no END yet, as if that were all of it. Null where nothing is known of
   * one, or where what comes next is the first behind a gap.
   */
  get unfinished(): Step | null {
    return this.#afterGap ? null : this.#unfinished;
  }

  /** Where the next record is read. */
  get offset(): number {
    return this.#offset;
  }

  /** The offset is only a hint: it is taken if the END that stands there, or a PROGRESS towards it, is the position's own. */
  async #jump(position: Position): Promise<void> {
    const cursor = await this.#reader.fetch(this.#topic, 0, position.offset, 1);
    while (cursor.next()) {
      if (cursor.offset !== position.offset) continue;
      const record = decodeControl<TransactionRecord>(cursor.value, this.#topic);
      if (record.type === 'start' || record.startId !== position.startId || record.commitLsn !== position.commitLsn) return;
      this.#rule = new StartRule(position);
      this.#offset = position.offset;
      return;
    }
  }

  /**
   * The next steps that are there, up to about `maxBytes` of events and `maxSteps`; perhaps not all of them, but empty only when
   * there is none yet. A transaction that is larger than `maxBytes` comes alone.
   */
  async next(maxBytes: number, maxSteps: number): Promise<readonly Step[]> {
    const steps: Step[] = [];
    let bytes = 0;
    let end: number | undefined;
    while (steps.length < maxSteps) {
      const from = this.#offset;
      const cursor = await this.#fetch();
      while (cursor.next()) {
        if (cursor.offset < this.#offset) continue;
        const record = decodeControl<TransactionRecord>(cursor.value, `${this.#topic} at offset ${cursor.offset}`);
        const size = record.type === 'end' ? record.parts.reduce((sum, part) => sum + part.bytes, 0) : 0;
        if (steps.length > 0 && (bytes + size > maxBytes || steps.length >= maxSteps)) return steps;
        this.#offset = cursor.offset + 1;
        const end = this.#accept(record, cursor.offset);
        if (end === null) continue;
        steps.push(this.#step(end, cursor.offset));
        this.#afterGap = false;
        bytes += size;
      }
      this.#offset = Math.max(this.#offset, cursor.nextOffset);
      if (cursor.nextOffset === from) break;
      // Mostly the fetch says that it was the last one: to ask for the end costs more.
      if (steps.length > 0 && cursor.isLast) break;
      // The end as it was then: a log that is written without pause must not keep what is there from being handed out.
      end ??= (await this.#reader.range(this.#topic, 0)).end;
      if (this.#offset >= end) break;
    }
    if (this.#behind !== null && this.#met === null && this.#offset >= (end ?? (await this.#reader.range(this.#topic, 0)).end)) this.#ahead(this.#behind);
    return steps;
  }

  /** Where the reader stands there is something, or there will be: anything else is a gap, never an offset to jump from. */
  async #fetch(): Promise<RecordCursor> {
    try {
      return await this.#reader.fetch(this.#topic, 0, this.#offset, fetchBytes);
    } catch (error) {
      if (!(error instanceof TailraceError && error.code === 'offset-out-of-range')) throw error;
      const { start, end } = await this.#reader.range(this.#topic, 0);
      const why = this.#offset < start ? 'retention has passed this sink' : 'the topic was deleted and made again, or the log lost what it had confirmed';
      throw new TailraceError('gap', `the reader stands at offset ${this.#offset} of ${this.#topic}, which holds ${start} to ${end}: ${why}`, { cause: error });
    }
  }

  /** Resolves when there may be more. */
  wait(signal: AbortSignal): Promise<void> {
    return this.#reader.wait(this.#topic, 0, this.#offset, signal);
  }

  #accept(record: TransactionRecord, offset: number): EndRecord | null {
    const verdict = this.#rule.accept(record);
    if (verdict === 'void') return null;
    if (record.type === 'progress') {
      const isNew = this.#previous === null || isAfter(record, this.#previous);
      this.#unfinished = isNew ? this.#step(soFar(record), offset) : null;
      return null;
    }
    // Whatever stands there: what was unfinished is finished, or will never be.
    this.#unfinished = null;
    if (record.type === 'start') {
      this.#began(record);
      return null;
    }
    if (this.#behind !== null) {
      if (!isAfter(record, this.#behind)) {
        if (record.epoch === this.#behind.epoch && record.commitLsn === this.#behind.commitLsn) this.#met = record;
        return null;
      }
      this.#behind = null;
    }
    // One without events repeats the place of the last one with events, moves nobody's position and is no link of the chain; but where
    // its place is not the reader's, there was another in between.
    this.#link(record, offset);
    return record;
  }

  #step(end: EndRecord, offset: number): Step {
    return { end, offset, logId: this.#logId, systemIdentifier: this.#systemIdentifier, afterGap: this.#afterGap };
  }

  /** Everything that would still come, up to that epoch, would be passed over as if it were known. */
  #ahead(position: Place): never {
    throw new TailraceError('gap', `the replica stands behind ${text(position)}, where this log has never been: the log was put back from an older copy`, {
      remedy: 'Run tailrace sinks forget and empty the tables of the sink: it is then filled anew.',
    });
  }

  #began(start: StartRecord): void {
    refuseMoved(start);
    if (this.#reader.logId === undefined) {
      if (this.#logId !== '' && this.#logId !== start.logId) throw anotherLog(this.#logId, start.logId);
      this.#logId = start.logId;
    }
    this.#systemIdentifier = start.systemIdentifier;
    this.#captured = new Set([...(this.#captured ?? []), ...start.tables]);
    // A gap that the config let pass: everything is copied anew, and the chain begins anew. One that lies before the reader's
    // position is only read again.
    if (start.gap === null || (this.#previous !== null && start.epoch <= this.#previous.epoch)) return;
    this.#previous = { epoch: start.epoch, commitLsn: 0n };
    this.#afterGap = true;
  }

  #link(end: EndRecord, offset: number): void {
    const expected = this.#previous;
    if (expected !== null && (end.previous.epoch !== expected.epoch || end.previous.commitLsn !== expected.commitLsn)) {
      throw new TailraceError(
        'gap',
        `transactions are missing from the log: the reader stands behind ${text(expected)}, and the next transaction, ` +
          `${text(end)} at offset ${offset} of ${this.#topic}, follows ${text(end.previous)}`,
      );
    }
    this.#previous = { epoch: end.epoch, commitLsn: end.commitLsn };
  }
}

/** The END that there would be, if there were no more. */
function soFar({ startId, epoch, commitLsn, parts }: ProgressRecord): EndRecord {
  return { type: 'end', startId, epoch, commitLsn, endLsn: 0n, commitTime: 0n, previous: origin, parts, snapshot: null };
}

function anotherLog(filledFrom: string, logId: string): TailraceError {
  return new TailraceError('gap', `the replica was filled from another log (${filledFrom}); this log is ${logId}`, {
    remedy: 'Point the sink at an empty replica, or run tailrace sinks forget and empty its tables: it is then filled anew.',
  });
}

function text(place: Place): string {
  return `${formatLsn(place.commitLsn)} (epoch ${place.epoch})`;
}

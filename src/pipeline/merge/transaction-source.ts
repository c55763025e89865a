import type { Position } from '../../event/position.ts';
import { matchesText } from '../../event/table-pattern.ts';
import type { LogReader } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Slice } from '../../runtime/slice.ts';
import type { EndRecord, Part, Place } from '../control-records.ts';
import { EndFollower, isLink, positionOf, type Step } from '../end-follower.ts';
import { OrderedEvents, type ScannedEvent } from '../move/ordered-events.ts';
import { PartitionScan } from '../move/partition-scan.ts';
import { refuseIncomplete } from '../move/refusals.ts';
import { extraHeaderName, headerName, leftOutHeaderName } from '../record-header.ts';
import { topicNames } from '../topics.ts';
import { logHeaderName, shapeHeaderName, topicHeaderName, type SourceName, type TransactionsMark } from './mark.ts';
import { atOnce, type MergedRecord, type MergeSource } from './merge-source.ts';
import type { ForeignShapes } from './shapes.ts';

export interface TransactionSourceOptions {
  readonly reader: LogReader;
  readonly name: SourceName;
  /** Where a merge before has come to. */
  readonly mark: TransactionsMark | null;
  /** Of a source whose schema versions are not those of the log that is merged into; null for one whose are. */
  readonly shapes: ForeignShapes | null;
  /** It is another log. */
  readonly isForeign: boolean;
}

/** Over all partitions; a batch comes whole, however large. */
const memory = 32 << 20;
const stepBytes = 8 << 20;
const steps = 500;
const keptHeaders = [headerName, extraHeaderName, leftOutHeaderName];

/**
 * The transactions of one writer, in the order of their ENDs, of each the events of the topics that are wanted, by ordinal: what a sink of
 * these topics would be given. What no valid END names, and copies that single sinks asked for, is left out; a broken chain is a gap.
 */
export class TransactionSource implements MergeSource {
  readonly name: SourceName;
  readonly #options: TransactionSourceOptions;
  readonly #follower: EndFollower;
  readonly #events: OrderedEvents;
  readonly #from: number;
  /** As it was when the source was opened. */
  readonly #until: number;
  readonly #wanted = new Map<string, boolean>();
  #steps: readonly Step[] = [];
  #at = 0;
  #parts: readonly Part[] = [];
  #behind: Position | null;
  #open: TransactionsMark['open'];
  /** What an earlier merge has begun is still to be found. */
  #isResuming: boolean;
  #hasRead = false;

  private constructor(options: TransactionSourceOptions, of: { readonly follower: EndFollower; readonly until: number; readonly fetchBytes: number }) {
    this.#options = options;
    this.name = options.name;
    this.#follower = of.follower;
    this.#from = of.follower.offset;
    this.#until = of.until;
    this.#events = new OrderedEvents((topic, partition) => new PartitionScan(options.reader, topic, partition, of.fetchBytes));
    this.#behind = options.mark?.behind ?? null;
    this.#open = options.mark?.open ?? null;
    this.#isResuming = this.#open !== null;
  }

  static async open(options: TransactionSourceOptions): Promise<TransactionSource> {
    const { reader, name, mark } = options;
    const { transaction } = topicNames(name.writer);
    await refuseIncomplete(reader, transaction);
    const until = (await reader.range(transaction, 0)).end;
    const follower = await EndFollower.behind(reader, transaction, mark?.behind ?? null).catch((error: unknown) => {
      throw merged(error, name);
    });
    const partitions = (await reader.topics()).filter(({ topic }) => matchesAny(name.topics, topic)).reduce((sum, spec) => sum + spec.partitions, 1);
    const fetchBytes = Math.max(16 << 10, Math.min(1 << 20, Math.floor(memory / partitions)));
    return new TransactionSource(options, { follower, until, fetchBytes });
  }

  get progress(): number {
    const { offset = this.#follower.offset } = this.#steps[this.#at] ?? {};
    return this.#until <= this.#from ? 1 : Math.min(1, (offset - this.#from) / (this.#until - this.#from));
  }

  async next(): Promise<bigint | null> {
    for (;;) {
      const step = await this.#step();
      if (step === null) return null;
      this.#parts = this.#partsOf(step.end);
      if (this.#isResuming) {
        if (isLink(step.end)) return this.#resumed(step.end);
      } else if (this.#parts.length > 0) {
        return step.end.commitTime;
      }
      this.#pass(step);
    }
  }

  async *take(): AsyncGenerator<MergedRecord> {
    const step = this.#steps[this.#at] as Step;
    const { epoch, commitLsn } = step.end;
    const known = this.#open?.events ?? 0;
    this.#isResuming = false;
    let events = 0;
    try {
      for await (const event of this.#events.of(this.#parts, step.end)) {
        if (++events <= known) continue;
        this.#open = { epoch, commitLsn, events };
        yield await this.#record(event);
      }
    } catch (error) {
      throw merged(error, this.name);
    }
    this.#open = null;
    this.#pass(step);
  }

  mark(): TransactionsMark {
    const { log, writer, topics } = this.name;
    return { log, writer, topics, behind: this.#behind, open: this.#open };
  }

  async #step(): Promise<Step | null> {
    // Once even if there is nothing new: where it goes on has to be there.
    if (this.#at >= this.#steps.length && (this.#follower.offset < this.#until || !this.#hasRead)) {
      this.#hasRead = true;
      this.#steps = await this.#follower.next(stepBytes, steps).catch((error: unknown) => {
        throw merged(error, this.name);
      });
      this.#at = 0;
    }
    const step = this.#steps[this.#at];
    return step === undefined || step.offset >= this.#until ? null : step;
  }

  #pass(step: Step): void {
    this.#at++;
    if (isLink(step.end)) this.#behind = positionOf(step);
  }

  /** What was begun is the next transaction with something in it, or else is gone. */
  #resumed(end: EndRecord): bigint {
    const open = this.#open as Place;
    if (end.epoch === open.epoch && end.commitLsn === open.commitLsn) return atOnce;
    throw merged(new TailraceError('gap', 'the transaction that was being merged is not in the log any more'), this.name);
  }

  #partsOf({ parts, snapshot }: EndRecord): readonly Part[] {
    if (snapshot !== null && snapshot.sink !== null) return [];
    return parts.filter(({ topic }) => this.#wants(topic));
  }

  #wants(topic: string): boolean {
    let wanted = this.#wanted.get(topic);
    if (wanted === undefined) this.#wanted.set(topic, (wanted = matchesAny(this.name.topics, topic)));
    return wanted;
  }

  async #record({ topic, scan: { header, cursor } }: ScannedEvent): Promise<MergedRecord> {
    const { shapes, isForeign } = this.#options;
    const { timestamp, key, value } = cursor;
    const headers: [string, Uint8Array][] = [[topicHeaderName, Buffer.from(topic)]];
    if (isForeign) headers.push([logHeaderName, Buffer.from(this.name.log)]);
    const slice: Slice = { bytes: value.bytes, start: -1, end: -1 };
    for (const name of keptHeaders) if (cursor.header(name, slice) && slice.start >= 0) headers.push([name, bytesOf(slice) as Uint8Array]);
    const record = { timestamp, key: bytesOf(key), value: bytesOf(value), headers, codec: header.codec, topic };
    // Last, because the cursor may be another record's afterwards.
    if (shapes !== null && header.op !== 'm') headers.push([shapeHeaderName, await shapes.digest({ epoch: header.schemaEpoch, number: header.schemaNumber })]);
    return record;
  }
}

export function matchesAny(patterns: readonly string[], topic: string): boolean {
  return patterns.some((pattern) => pattern === topic || matchesText(pattern, topic));
}

export function bytesOf({ bytes, start, end }: Slice): Uint8Array | null {
  return start < 0 ? null : bytes.subarray(start, end);
}

/** What the protocol says to sinks, said of a merge. */
function merged(error: unknown, { writer }: SourceName): unknown {
  if (!(error instanceof TailraceError && error.code === 'gap')) return error;
  return new TailraceError('gap', `transactions of ${writer} are missing that were not merged yet: ${error.message}`, {
    cause: error, remedy: 'What was merged before stays as it is. To merge what the log still holds, merge into another topic, or delete this one first.',
  });
}

import { randomBytes } from 'node:crypto';
import type { LogReader, LogWriter } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { failpoint } from '../../runtime/failpoint.ts';
import { encodeControl } from '../control-json.ts';
import type { StartRecord } from '../control-records.ts';
import { appendRecord } from '../group.ts';
import { readProgress, readSchemaState } from '../log-state.ts';
import { startIdText } from '../record-header.ts';
import { topicNames } from '../topics.ts';
import { copyForeign, copyRecords } from './copied-records.ts';
import { frontOf } from './refusals.ts';
import { TransactionsCopy } from './transactions-copy.ts';

/** One end of a move. */
export interface MovedLog {
  readonly reader: LogReader;
  readonly writer: LogWriter;
}

export interface MoveOptions {
  readonly pipeline: string;
  readonly from: MovedLog;
  readonly to: MovedLog;
  /** Where the new log is, for people who come upon the old one. */
  readonly place: string;
  readonly tombstones: boolean;
  readonly onProgress: (copied: Moved) => void;
  /** When everything is there, and nobody uses the new log yet; done again where a copy was cut off behind it. */
  readonly whenCopied: () => Promise<void>;
}

export interface Moved {
  readonly transactions: number;
  readonly events: number;
}

/** What the old log says of itself; throws `log-missing` where it holds nothing to be moved. */
export async function lastStart(reader: LogReader, pipeline: string): Promise<StartRecord> {
  const { start } = await readProgress(reader, topicNames(pipeline));
  if (start === null) throw new TailraceError('log-missing', `the log of ${pipeline} holds nothing that could be copied`);
  return start;
}

/**
 * Copies a pipeline's log into another one and ends the old one (PROTOCOL, Moving). It may be cut off anywhere and done again: until all is there, a
 * void START stands in front of the new log, and nobody uses it; a START of a higher epoch then ends the old one, whose publisher is
 * replaced by it, and only what stands in front of that is copied. Log id, epochs, START ids and positions stay what they are.
 */
export async function moveLog(options: MoveOptions): Promise<void> {
  const { pipeline, from, to, place } = options;
  const start = await lastStart(from.reader, pipeline);
  if (start.moved !== undefined && start.moved !== place) throw new TailraceError('log-moved', `the log of ${pipeline} was moved to ${start.moved} before`);
  const { transaction } = topicNames(pipeline);
  const front = await frontOf(to.reader, transaction);
  if (front !== null && front.copies === undefined && start.moved === place) return;
  await claim(options, front, start);
  const copy = new LogCopy(options);
  // Most of it while a publisher may still be at work.
  await copy.run();
  failpoint('move.copied');
  if (start.moved === undefined) await end(options);
  failpoint('move.ended');
  await copy.run();
  await options.whenCopied();
  await to.writer.trim(transaction, 0, 1);
  if ((await frontOf(to.reader, transaction))?.copies !== undefined) throw new TailraceError('internal', 'the new log did not let go of its first record');
}

/** Puts the mark in front of the new log, or finds the one that an earlier try has put there. */
async function claim({ pipeline, from, to }: MoveOptions, front: StartRecord | null, start: StartRecord): Promise<void> {
  const { transaction, schema } = topicNames(pipeline);
  if (front !== null && front.copies !== start.logId) throw notEmpty(`the log to copy to has transactions of ${pipeline} already`);
  for (const { topic } of front === null ? to.writer.topics().filter((spec) => spec.topic === schema) : []) {
    if (to.writer.range(topic, 0).end > 0) throw notEmpty(`the log to copy to has a ${topic} already`);
  }
  const own = `${pipeline}.`;
  const events = await eventTopics(from.reader, pipeline);
  for (const { topic, partitions } of await from.reader.topics()) {
    if (topic.startsWith(own)) await to.writer.createTopic({ topic, partitions: isOwn(pipeline, topic) ? 1 : events.has(topic) ? to.writer.partitionsFor(topic) : partitions });
  }
  const { moved: _, ...first } = start;
  if (front === null) await appendRecord(to.writer, transaction, { value: encodeControl({ ...first, epoch: 0, startId: startIdText(randomBytes(8)), continues: null, gap: null, copies: start.logId }) });
  // By itself in its segment, so that it can go when all is there.
  if (to.writer.range(transaction, 0).end === 1) to.writer.roll?.(transaction, 0);
}

function notEmpty(what: string): TailraceError {
  return new TailraceError('log-not-empty', what);
}

/** What is the pipeline's own, and a stream's, has one partition. */
function isOwn(pipeline: string, topic: string): boolean {
  return /^(transaction|schema|message)$|^(sink|dead-letter|stream|job)\./.test(topic.slice(pipeline.length + 1));
}

/** The topics of all tables that the log has ever known. */
async function eventTopics(reader: LogReader, pipeline: string): Promise<ReadonlySet<string>> {
  const topics = topicNames(pipeline);
  const { versions } = await readSchemaState(reader, topics);
  return new Set(versions.flatMap((record) => (record.type === 'version' ? [topics.events(record.shape)] : [])));
}

/** Everything that the old log has: first what events rely on, then transactions. */
class LogCopy {
  readonly #options: MoveOptions;
  readonly #transactions = new Map<string, TransactionsCopy>();
  readonly #copied = new Map<string, Moved>();

  constructor(options: MoveOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { pipeline, from, to } = this.#options;
    const specs = (await from.reader.topics()).filter(({ topic }) => topic.startsWith(`${pipeline}.`));
    const topics = specs.map(({ topic }) => topic).toSorted();
    const rest = (topic: string): string => topic.slice(pipeline.length + 1);
    for (const topic of topics.filter((name) => /^schema$|^(sink|dead-letter|job)\.|^stream\.(?:_[^.]+\.)?[^.]+\.schema$/.test(rest(name)))) await copyRecords(from.reader, to, topic);
    for (const topic of topics.filter((name) => /^transaction$|^stream\.(?:_[^.]+\.)?[^.]+\.transaction$/.test(rest(name)))) await this.#of(topic).run();
    const events = await eventTopics(from.reader, pipeline);
    for (const spec of specs) if (!isOwn(pipeline, spec.topic) && !events.has(spec.topic)) await copyForeign(from.reader, to, spec);
  }

  #of(topic: string): TransactionsCopy {
    const { from, to, tombstones } = this.#options;
    let copy = this.#transactions.get(topic);
    if (copy === undefined) {
      const partitions = new Map(to.writer.topics().map((spec) => [spec.topic, spec.partitions]));
      copy = new TransactionsCopy({ from: from.reader, to, topic, partitions, tombstones, onProgress: (copied) => this.#progress(topic, copied) });
      this.#transactions.set(topic, copy);
    }
    return copy;
  }

  #progress(topic: string, copied: Moved): void {
    this.#copied.set(topic, copied);
    const all = [...this.#copied.values()];
    this.#options.onProgress({ transactions: sum(all.map((each) => each.transactions)), events: sum(all.map((each) => each.events)) });
  }
}

/** The old log ends with a START that is valid: a publisher that is still there finds that it was replaced. */
async function end({ pipeline, from, place }: MoveOptions): Promise<void> {
  const topics = topicNames(pipeline);
  for (;;) {
    const { start, end: last } = await readProgress(from.reader, topics);
    if (start === null) throw new TailraceError('log-damaged', `${topics.transaction} lost its START`);
    if (start.moved === place) return;
    const continues = last && { epoch: last.epoch, commitLsn: last.commitLsn, endLsn: last.endLsn };
    await appendRecord(from.writer, topics.transaction, { value: encodeControl({ ...start, epoch: start.epoch + 1, startId: startIdText(randomBytes(8)), continues, gap: null, moved: place }) });
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

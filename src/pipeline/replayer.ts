import type { Codec } from '../codec/codec.ts';
import type { Lsn } from '../event/lsn.ts';
import type { Position } from '../event/position.ts';
import { matchesFilter, type TableFilter } from '../event/table-pattern.ts';
import type { LogReader } from '../log/log.ts';
import { failpoint } from '../runtime/failpoint.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Sink, SinkSession, TableChanges } from '../sink/sink.ts';
import { encodeControl } from './control-json.ts';
import type { EndRecord, Place, SinkRecord } from './control-records.ts';
import type { CoverageMap } from './coverage.ts';
import { DeadLetters, isOfShape, isRefusal, type Written } from './dead-letters.ts';
import { EndFollower, isLink, positionOf, type Step } from './end-follower.ts';
import { NeededTables } from './needed-tables.ts';
import { refuseIncomplete } from './move/refusals.ts';
import { PositionReports } from './position-reports.ts';
import { findVoid } from './renewal.ts';
import { ahead, runsOf, stretchesOf, togetherOf, type ReplayPart } from './replay-parts.ts';
import { SchemaReader } from './schema-reader.ts';
import { SinkPart } from './sink-part.ts';
import { startFromLog } from './replay-start.ts';
import { startSink, type SinkReporter } from './sink-start.ts';
import type { TopicNames } from './topics.ts';
import { TransactionReader, type Run } from './transaction-reader.ts';
import { Unfinished } from './unfinished.ts';
import { VoidEvents } from './void-events.ts';
import { RowCompleter } from './whole/row-completer.ts';
import { WholeRows } from './whole/whole-rows.ts';

export interface ReplayerOptions {
  /** Of the pipeline, or of a stream in it. */
  readonly topics: TopicNames;
  readonly sinkName: string;
  readonly sink: Sink;
  readonly reader: LogReader;
  readonly codec: Codec;
  readonly filter: TableFilter;
  /** Tables, `schema.table`, without which it does not begin. */
  readonly needs?: readonly string[];
  readonly snapshot: 'initial' | 'never';
  readonly onError: 'stop' | 'dead-letter';
  readonly reporter: SinkReporter;
  /**
   * Builds a replica from the log alone: from the copies that had begun at `from`, only while `until` holds of a transaction, and only what
   * the log holds now. Without it, it follows for ever.
   */
  readonly alone?: { readonly from: Place; readonly until: (end: EndRecord) => boolean };
  readonly logger: Logger;
}

type Tag = TableChanges['coverage'];
/** Hears also of which transaction the last of the changes is, and whether the log has their rows. */
type WriteRun = (changes: TableChanges, run: Written) => Promise<void>;

/** What is shown of a sink. */
export interface ReplayerProgress {
  readonly position: Position | null;
  /** The end LSN of the last END that it has taken in, with events for it or not. */
  readonly endLsn: Lsn;
  /** Microseconds since 1970, by the source's clock, of the last transaction applied. */
  readonly commitTime: bigint;
  /** Where it stands in the `transaction` topic. */
  readonly offset: number;
  readonly applied: number;
  readonly missing: number;
  readonly blockedKeys: number;
  readonly awaiting: readonly string[];
  /** Tables that the replica has only in part, where it stands now. */
  readonly copying: readonly string[];
  /** Tables that were known when it began, and of which no copy was met. */
  readonly uncopied: readonly string[];
}

/** Source transactions share one at the replica up to this; a larger one is written in pieces of it, in one transaction still. */
const batchBytes = 4 << 20;
const batchSteps = 4096;
/** What is read and written at a time: small enough that what is made a row dies young. */
const pieceBytes = 1 << 20;
/** A position that moves over nothing for the sink is written after this many milliseconds, or with the next batch. */
const idlePositionAfter = 3000;

/**
 * Log → sink: follows the ENDs and hands the sink whole source transactions in commit order, many in one transaction of the
 * replica, together with the position (PROTOCOL, The replayer and Applying). Inside a batch it goes table by table, so that
 * no buffer of one table waits for another.
 */
export class Replayer {
  readonly #options: ReplayerOptions;
  readonly #topics: TopicNames;
  readonly #session: SinkSession;
  readonly #follower: EndFollower;
  readonly #coverage: CoverageMap;
  readonly #schemas: SchemaReader;
  readonly #newReader: () => TransactionReader;
  readonly #events: TransactionReader;
  readonly #completer: RowCompleter | undefined;
  readonly #deadLetters: DeadLetters;
  readonly #reports: PositionReports;
  readonly #own: SinkPart;
  readonly #unfinished: Unfinished;
  readonly #voids = new VoidEvents();
  readonly #needed: NeededTables;
  #last: Step | null = null;
  #offset: number;
  /** The last transaction that was taken in and holds nothing for this sink: the replica's position is behind it. */
  #passed: { readonly step: Step; readonly since: number } | null = null;
  #commitTime = 0n;
  #applied = 0;

  private constructor(
    options: ReplayerOptions,
    parts: { session: SinkSession; follower: EndFollower; coverage: CoverageMap; schemas: SchemaReader; signal: AbortSignal },
  ) {
    this.#options = options;
    this.#topics = options.topics;
    this.#session = parts.session;
    this.#follower = parts.follower;
    this.#offset = parts.follower.offset;
    this.#coverage = parts.coverage;
    this.#schemas = parts.schemas;
    this.#needed = new NeededTables(options.needs ?? [], parts.schemas);
    this.#own = new SinkPart({ topics: options.topics, filter: options.filter, schemas: parts.schemas, coverage: parts.coverage });
    const { reader, codec } = options;
    this.#completer = options.sink.wholeRows === true ? new RowCompleter(new WholeRows({ reader, schemas: parts.schemas, codec: () => codec })) : undefined;
    this.#newReader = () => new TransactionReader(reader, parts.schemas, codec, { signal: parts.signal, completer: this.#completer, voids: this.#voids });
    this.#events = this.#newReader();
    this.#deadLetters = new DeadLetters(options, parts.session);
    this.#reports = new PositionReports(options.reporter);
    this.#unfinished = new Unfinished({
      own: this.#own, session: parts.session, position: positionOf,
      write: (batch) => this.#writeRuns(this.#runs(batch), (changes, run) => this.#deadLetters.write(changes, run)),
    });
  }

  static async open(options: ReplayerOptions, signal: AbortSignal): Promise<Replayer> {
    const { topics } = options;
    const session = await options.sink.open({ signal });
    try {
      await refuseIncomplete(options.reader, topics.transaction);
      const schemas = new SchemaReader(options.reader, topics.schema);
      await schemas.refresh();
      const write = (record: SinkRecord): Promise<void> => options.reporter.append('sink', { key: null, value: encodeControl(record), ask: record });
      const { position } = session;
      const follower = await EndFollower.behind(options.reader, topics.transaction, position);
      const { reader, sinkName: sink, snapshot, filter, alone } = options;
      const start = { reader, topics, sink, snapshot, tables: schemas.tables().filter((table) => matchesFilter(filter, table)), position };
      const coverage = await (alone === undefined ? startSink({ ...start, filter, offset: follower.offset, write }) : startFromLog({ ...start, copiesAt: alone.from }));
      return new Replayer(options, { session, follower, coverage, schemas, signal });
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  get progress(): ReplayerProgress {
    return {
      position: this.#session.position,
      endLsn: (this.#last?.end ?? this.#follower.met)?.endLsn ?? 0n,
      commitTime: this.#commitTime,
      offset: this.#offset,
      applied: this.#applied,
      missing: this.#session.missing + (this.#completer?.missing ?? 0),
      blockedKeys: this.#deadLetters.blockedKeys,
      copying: this.#own.tables().filter((table) => this.#last !== null && this.#coverage.copyOf(table) !== 'done' && this.#coverage.at(table, this.#last.end) === 'copying'),
      uncopied: this.#coverage.uncopied(),
      awaiting: this.#coverage.awaiting(),
    };
  }

  /** Replays until the signal aborts; throws what the sink or the log throws, with nothing half applied. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        const steps = await this.#follower.next(batchBytes, batchSteps);
        const wanted = this.#wanted(steps);
        await this.#needed.check(this.#follower.captured);
        if (wanted.length > 0) await this.#take(wanted);
        // Only now: what is being applied is not shown as done.
        if (this.#follower.unfinished === null) this.#offset = this.#follower.offset;
        if (this.#options.alone !== undefined && (steps.length === 0 || wanted.length < steps.length)) break;
        if (steps.length === 0 && !(await this.#advance())) await this.#follower.wait(signal);
        if (!this.#unfinished.isOpen) await this.#movePassedPosition(idlePositionAfter);
        if (this.#passed === null) await this.#reports.say(this.#last);
      }
      await this.#unfinished.giveUp();
      await this.#movePassedPosition(0);
    } finally {
      if (signal.aborted && this.#passed === null) await this.#reports.sayBeforeStop(this.#last);
      await this.#session.abort().catch(() => undefined);
      await this.#session.close();
    }
  }

  #wanted(steps: readonly Step[]): readonly Step[] {
    const until = this.#options.alone?.until;
    const first = until === undefined ? -1 : steps.findIndex(({ end }) => !until(end));
    return first < 0 ? steps : steps.slice(0, first);
  }

  async #advance(): Promise<boolean> {
    const { sink, alone } = this.#options;
    return sink.staysOpen === true && alone === undefined && this.#unfinished.advance(this.#follower.unfinished);
  }

  async #take(steps: readonly Step[]): Promise<void> {
    const [first, ...others] = steps;
    const changes = first === undefined ? null : await this.#unfinished.finish(first);
    if (first === undefined || changes === null) return this.#takeStretches(steps);
    this.#commitTime = first.end.commitTime;
    this.#applied += changes;
    this.#passed = null;
    this.#last = first;
    this.#voids.passed(first.end);
    if (others.length > 0) await this.#takeStretches(others);
  }

  async #takeStretches(steps: readonly Step[]): Promise<void> {
    for (const stretch of this.#options.sink.inCommitOrder === true ? stretchesOf(steps) : [steps]) await this.#takeWhole(stretch);
  }

  async #takeWhole(steps: readonly Step[]): Promise<void> {
    const batch: ReplayPart<Tag>[] = [];
    for (const part of togetherOf(steps, this.#options.sink.inCommitOrder === true)) {
      const { shares, shapes } = await this.#own.of(part);
      if (shares.size > 0 || shapes.length > 0) batch.push({ shares, shapes });
    }
    await this.#move(steps, batch);
    this.#last = steps.at(-1) as Step;
    this.#voids.passed(this.#last.end);
  }

  async #move(steps: readonly Step[], batch: readonly ReplayPart<Tag>[]): Promise<void> {
    // An END without events repeats the place of one with events, and moves no position.
    const moving = steps.findLast(({ end }) => isLink(end));
    if (moving === undefined) return;
    this.#commitTime = moving.end.commitTime;
    if (batch.length === 0) {
      this.#passed = { step: moving, since: this.#passed?.since ?? Date.now() };
      return;
    }
    await this.#apply(batch, positionOf(moving));
    this.#passed = null;
  }

  async #apply(batch: readonly ReplayPart<Tag>[], to: Position): Promise<void> {
    try {
      await this.#write(this.#runs(batch), to, (changes, run) => this.#deadLetters.write(changes, run));
    } catch (error) {
      const isVoid = (isRefusal(error) || isOfShape(error)) && (await this.#findVoid(batch, to));
      if (!isVoid && !this.#deadLetters.takes(error)) throw error;
      await this.#session.abort();
      if (isVoid) return this.#apply(batch, to);
      // The row that the replica refuses is found by writing one change after the other, each behind a savepoint; the runs are of one
      // transaction each, because a dead letter says where it came from.
      await this.#write(this.#runs(batch, true), to, (changes, run) => this.#deadLetters.writeEach(changes, run));
    }
  }

  #runs(batch: readonly ReplayPart<Tag>[], apart = false): AsyncGenerator<Run<Tag>> {
    const told = this.#options.sink.inCommitOrder === true;
    return runsOf(batch, { newReader: this.#newReader, maxBytes: pieceBytes, reader: told ? null : this.#events, apart });
  }

  #findVoid(batch: readonly ReplayPart<Tag>[], to: Position): Promise<boolean> {
    const { reader, codec, sinkName: sink, logger, alone } = this.#options;
    const options = { reader, topics: this.#topics, schemas: this.#schemas, codec, sink, isTaken: alone?.until ?? (() => true), coverage: this.#coverage, voids: this.#voids, logger };
    return findVoid(options, batch, to);
  }

  async #write(runs: AsyncGenerator<Run<Tag>>, to: Position, write: WriteRun): Promise<void> {
    if ((await this.#session.begin(to)) === 'applied') return;
    failpoint('sink.begin');
    const changes = await this.#writeRuns(runs, write);
    failpoint('sink.rows_uncommitted');
    await this.#session.commit();
    failpoint('sink.committed');
    this.#applied += changes;
  }

  async #writeRuns(runs: AsyncGenerator<Run<Tag>>, write: WriteRun): Promise<number> {
    const told = this.#options.sink.inCommitOrder === true;
    let changes = 0;
    for await (const run of ahead(runs)) {
      if (run.changes.length === 0 && this.#voids.covers(run.table.relid, run.last.end)) continue;
      await write({ table: run.table, changes: run.changes, coverage: run.tag, ...(told ? this.#toldOf(run.last.end) : {}) }, run);
      changes += run.changes.length;
    }
    return changes;
  }

  /** What a sink in commit order hears of a transaction. */
  #toldOf(end: EndRecord): Pick<TableChanges, 'committedAt' | 'place' | 'isCopied'> {
    const isCopied = (table: string): boolean => this.#coverage.isCopied(table, end);
    return { committedAt: end.commitTime, place: { epoch: end.epoch, commitLsn: end.commitLsn }, isCopied };
  }

  /**
   * The position moves over transactions that hold nothing for this sink, too, once that is so many milliseconds ago: else
   * retention would wait for it.
   */
  async #movePassedPosition(after: number): Promise<void> {
    if (this.#passed === null || Date.now() - this.#passed.since < after) return;
    const { step } = this.#passed;
    this.#passed = null;
    await this.#write(this.#runs([]), positionOf(step), async () => {});
  }
}

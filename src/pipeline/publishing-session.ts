import type { MessageChange, RowChange, SourceItem, TransactionBegin, TransactionCommit, TruncateChange } from '../event/change.ts';
import type { Lsn } from '../event/lsn.ts';
import { tableName, type TableShape } from '../event/table.ts';
import { watermarkPrefix, type SourceSession } from '../source/source.ts';
import { failpoint } from '../runtime/failpoint.ts';
import { CapturedTables } from './captured-tables.ts';
import { encodeControl } from './control-json.ts';
import type { Place, SchemaTopicRecord, SnapshotRecord } from './control-records.ts';
import { CopyRecords } from './copy-records.ts';
import type { CopyPiece } from './copy-writer.ts';
import { CopyRequests } from './copy-requests.ts';
import { CurrentStart } from './current-start.ts';
import { emptyEndInterval, EndChain } from './end-chain.ts';
import { EventEncoder, type Target } from './event-encoder.ts';
import { GroupFeeder } from './group-feeder.ts';
import { controlDraft, type Group } from './group.ts';
import type { PublishingOptions } from './publishing-options.ts';
import { ShapeWatch } from './shape-watch.ts';
import { Snapshotter } from './snapshotter.ts';
import { discoverTables } from './table-discovery.ts';
import { Targets } from './targets.ts';
import { StreamedTransactions } from './visibility.ts';

/**
 * One connection's stream into the log. Transactions are encoded into a group; as soon as the log is free the group is
 * handed over and the next one is filled meanwhile: groups are small when little happens, large under load. What is durable
 * is acknowledged: the end LSN of the last END, never more.
 */
export class PublishingSession {
  readonly requests: CopyRequests;
  readonly #options: PublishingOptions;
  readonly #encoder: EventEncoder;
  readonly #start: CurrentStart;
  readonly #snapshotter: Snapshotter;
  readonly #streamed = new StreamedTransactions();
  readonly #records: CopyRecords;
  readonly #targets: Targets;
  readonly #tables: CapturedTables;
  readonly #watch: ShapeWatch;
  readonly #abort = new AbortController();

  readonly #feeder: GroupFeeder;
  #failure: { readonly error: unknown } | null = null;

  readonly #ends: EndChain;
  /** The end LSN of the last durable END. */
  #durableLsn: Lsn;

  #transaction: TransactionBegin | null = null;
  /** The transaction is already in the log: the server sends it again after an unclean stop. */
  #skipping = false;
  #ordinal = 0;

  /** Commit time of the last transaction with events: milliseconds since 1970, by the source's clock; for people. */
  lastCommitAt: number | null = null;
  readonly counts = { transactions: 0, changes: 0 };

  constructor(options: PublishingOptions) {
    this.#options = options;
    const { session, start, end, codec, pipeline } = options;
    this.#encoder = new EventEncoder(codec, { pipeline, database: session.server.database, leftOut: (table, { bytes, limits }) => options.logger.warn({ table, bytes, limits }, 'an event is larger than the log takes: its key is written, and not its row') }, (key, partitions) => options.writer.partitionOf(key, partitions));
    this.#start = new CurrentStart(start, options.startOffset);
    this.#feeder = new GroupFeeder({
      writer: options.writer, transactionTopic: options.topics.transaction, turns: options.turns, guard: options.guard,
      durable: (group) => this.#becameDurable(group), failed: (error) => this.fail(error),
    });
    this.#targets = new Targets({ ...options, add: (record) => this.#addSchemaRecord(record) });
    this.#ends = new EndChain(this.#start, end);
    this.#durableLsn = end.endLsn;
    this.#records = new CopyRecords(options.copies);
    options.signal.addEventListener('abort', () => this.#abort.abort(options.signal.reason), { once: true });
    this.#snapshotter = new Snapshotter({
      reader: session.snapshots, health: () => session.health(), streamed: this.#streamed, startId: start.startId, signal: this.#abort.signal, logger: options.logger,
      parallel: options.copyParallel, isPaused: (table) => options.orders.isPaused(table), transactionOffset: () => options.writer.range(options.topics.transaction, 0).end,
    });
    this.requests = new CopyRequests({ snapshotter: this.#snapshotter, orders: options.orders, tables: () => this.tables, copies: this.copies });
    this.#tables = new CapturedTables({
      ...options, tables: session.tables, targets: this.#targets, copies: this.#records, record: (record) => this.#addSchemaRecord(record),
      copy: (job) => this.requests.copy(job), left: (relid) => this.#snapshotter.left(relid), catalog: session.catalog, place: () => this.#place,
    });
    this.#watch = new ShapeWatch({
      catalog: session.catalog, streamed: this.#streamed, startId: start.startId, signal: this.#abort.signal, logger: options.logger,
      known: () => this.#tables.looked(),
    });
  }

  get tables(): readonly TableShape[] {
    return this.#options.session.tables;
  }

  get source(): SourceSession {
    return this.#options.session;
  }

  get copies(): ReadonlyMap<string, SnapshotRecord> {
    return this.#records.copies;
  }

  get progress(): Snapshotter['progress'] {
    return this.#snapshotter.progress;
  }

  /** What may be acknowledged: the end LSN of the last durable END. */
  get durableLsn(): Lsn {
    return this.#durableLsn;
  }

  /** Under which is published now. */
  get start(): CurrentStart {
    return this.#start;
  }

  /** Publishes until the signal aborts or the connection or the log fails. */
  async run(): Promise<void> {
    const { session, signal } = this.#options;
    session.acknowledge(this.#durableLsn);
    const watching = this.#watch.run().catch((error: unknown) => this.fail(error));
    // What changes while rows are read must be seen as a change: so the tables are looked at before.
    const copying = Promise.race([this.#watch.ready, watching]).then(() => this.#snapshotter.run()).catch((error: unknown) => this.fail(error));
    const discovering = discoverTables(session, this.#abort.signal, (tables) => this.#discovered(tables)).catch((error: unknown) => this.fail(error));
    const timer = setInterval(() => this.#endIdle(), emptyEndInterval / 4);
    // A stop or a failure elsewhere must also end a stream on which nothing comes.
    this.#abort.signal.addEventListener('abort', () => session.stop(), { once: true });
    try {
      if (signal.aborted) return;
      for await (const items of session.batches(this.#tables.logged())) {
        await this.#take(items);
        if (this.#failure !== null) break;
      }
      // What was read is worth keeping: a clean stop leaves nothing to be sent again.
      if (this.#failure === null) await this.#feeder.drain();
    } catch (error) {
      this.fail(error);
    } finally {
      clearInterval(timer);
      this.#abort.abort(new Error('the stream has ended'));
      await Promise.all([copying, watching, discovering]);
      await this.#feeder.settled();
    }
    if (this.#failure !== null && !signal.aborted) throw this.#failure.error;
  }

  #discovered(tables: readonly TableShape[]): void {
    this.#start.captures(this.tables.map(tableName));
    this.#tables.add(tables);
    this.requests.came(tables);
  }

  /** Aborts when the stream has ended, whyever. */
  get ended(): AbortSignal {
    return this.#abort.signal;
  }

  /** Ends the stream with an error that was met beside it. */
  fail(error: unknown): void {
    if (this.#failure === null && !this.#abort.signal.aborted) this.#failure = { error };
    this.#abort.abort(error);
  }

  async #take(items: readonly SourceItem[]): Promise<void> {
    for (let i = 0; i < items.length; i++) {
      const item = items[i] as SourceItem;
      switch (item.op) {
        case 'c': case 'u': case 'd': case 'r': {
          if (this.#skipping) break;
          const target = this.#targets.get(item.table) ?? (await this.#tables.meet(item.table));
          this.#row(target, target.relabels ? { ...item, table: target.schema } : item);
          break;
        }
        case 'begin':
          this.#begin(item);
          break;
        case 'commit':
          if (!this.#skipping) {
            const held = this.#snapshotter.held(this) ?? this.#watch.held(this.#tables);
            if (held !== null) await held;
          }
          this.#commit(item);
          break;
        case 't':
          if (!this.#skipping) await this.#truncate(item);
          break;
        case 'm':
          this.#ordinal = item.ordinal + 1;
          if (!this.#skipping) await this.#message(item);
          break;
        case 'partition':
          if (!this.#skipping) this.#tables.partition(item.table, item.partition);
          break;
        case 'keepalive':
          if (this.#transaction === null) this.#ends.passed(item.walEnd);
          break;
      }
      if (this.#feeder.isFull) {
        if (this.#transaction !== null) this.#encoder.note(this.#feeder.group);
        await this.#feeder.makeRoom();
      }
    }
    this.#endIdle();
    this.#feeder.flush();
  }

  #begin(item: TransactionBegin): void {
    if (this.#start.isDue) this.#renew();
    this.#transaction = item;
    this.#ordinal = 0;
    this.#streamed.add(item.xid);
    // What is sent again up to the last END is passed over.
    this.#skipping = this.#ends.holds(item.commitLsn);
    if (!this.#skipping) this.#encoder.begin(item, this.#start.idBytes, this.#start.record.epoch);
  }

  #row(target: Target, item: RowChange): void {
    this.#ordinal = item.ordinal + 1;
    const { copied } = this.#records;
    if (!copied.isEmpty && copied.isCopied(item.table.relid, this.#transaction?.xid ?? 0)) return;
    this.#encoder.row(this.#feeder.group, target, item);
    this.#snapshotter.row(item);
    this.counts.changes++;
  }

  async #message(item: MessageChange): Promise<void> {
    if (item.prefix === watermarkPrefix) {
      this.#snapshotter.message(item);
      this.#watch.message(item);
      return;
    }
    const target = await this.#targets.messages(); // First, because the group may be sent meanwhile.
    this.#encoder.message(this.#feeder.group, target, item);
    this.counts.changes++;
  }

  async #truncate(item: TruncateChange): Promise<void> {
    this.#ordinal = item.ordinal + 1;
    for (const table of item.tables) {
      if (this.#records.copied.isCopied(table.relid, this.#transaction?.xid ?? 0)) continue;
      const target = this.#targets.get(table) ?? (await this.#tables.meet(table));
      this.#tables.truncated(table);
      this.#encoder.truncate(this.#feeder.group, target, item);
      this.counts.changes++;
    }
    this.#snapshotter.truncate(item);
  }

  #commit(item: TransactionCommit): void {
    this.#transaction = null;
    if (this.#skipping) {
      this.#skipping = false;
      return;
    }
    this.counts.transactions++;
    if (!this.#records.copied.isEmpty) this.#records.copied.passed(item.commitLsn);
    const extents = this.#encoder.extents();
    const snapshot = this.#records.ended(this.#feeder.group);
    const shapes = this.#tables.ended(this.#feeder.group);
    if (extents.length === 0 && snapshot === null && shapes.length === 0) {
      // Nothing in it for us: it counts as a keepalive.
      this.#ends.passed(item.endLsn);
      return;
    }
    for (const note of this.#snapshotter.takeNotes()) this.#addSchemaRecord(note);
    this.lastCommitAt = Number(item.commitTime / 1000n);
    this.#feeder.group.end({ end: this.#ends.of(item, { snapshot, ...(shapes.length > 0 ? { shapes } : {}) }), extents });
  }

  readonly discardCopy = (): void => this.#encoder.discard();

  /** The rows of a copy, as events of the transaction whose commit is being held (`CopyWriter`). */
  async writeCopy(piece: CopyPiece): Promise<void> {
    const shape = piece.begins === true ? this.#tables.now(piece.shape) : piece.shape;
    const target = this.#targets.get(shape) ?? (await this.#tables.meet(shape));
    if (piece.truncate) {
      this.#encoder.truncate(this.#feeder.group, target, { op: 't', tables: [shape], ordinal: this.#ordinal++, cascade: false, restartIdentity: false });
    }
    for await (const block of piece.blocks) {
      for (const { bytes, at, end } of block) {
        this.#encoder.row(this.#feeder.group, target, { op: 'r', table: piece.shape, ordinal: this.#ordinal++, bytes, oldKind: 'none', oldAt: -1, newAt: at, end });
        this.counts.changes++;
        if (this.#feeder.isFull) await this.#feeder.makeRoom();
      }
    }
    // With the END, without which the rows are nobody's.
    for (const partition of piece.partitions) this.#tables.partition(shape, partition);
    const record = piece.record(this.#place);
    // A table without rows is to be there, too.
    if (record.first) this.#tables.announce(target.schema);
    this.#records.carry(record);
    this.#addSchemaRecord(record);
  }

  /** Of the transaction that is being streamed. */
  get #place(): Place {
    return { epoch: this.#start.record.epoch, commitLsn: this.#transaction?.commitLsn ?? 0n };
  }

  #addSchemaRecord(record: SchemaTopicRecord): void {
    const batch = this.#feeder.group.batch(this.#options.topics.schema, 0);
    this.#feeder.group.add(batch, controlDraft(encodeControl(record), Date.now()), null);
  }

  /** Versions go on being numbered in the epoch that is known to be ours: the new one may be found to be another's. */
  #renew(): void {
    const { writer, topics } = this.#options;
    this.#feeder.group.start(this.#ends.renew(writer.range(topics.transaction, 0).end));
  }

  /** The slot of an idle pipeline moves too, and the source can let go of its WAL. */
  #endIdle(): void {
    if (this.#transaction !== null || !this.#ends.isIdleDue) return;
    if (this.#start.isDue) this.#renew();
    this.#feeder.group.end({ end: this.#ends.idle(), extents: [] });
    this.#feeder.flush();
  }

  #becameDurable(group: Group): void {
    failpoint('publisher.durable_unacked');
    const { lastEnd } = group;
    if (lastEnd !== null) {
      this.#durableLsn = lastEnd.endLsn;
      this.#start.endIsDurable(lastEnd.startId);
      this.#options.session.acknowledge(this.#durableLsn);
      failpoint('publisher.acked');
    }
    for (const look of this.#tables.confirmed(group)) this.#addSchemaRecord(look);
    for (const record of this.#records.confirmed(group)) {
      failpoint('snapshot.unconfirmed');
      this.#addSchemaRecord(record);
    }
  }
}

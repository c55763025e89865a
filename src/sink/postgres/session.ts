import type { RowChange } from '../../event/change.ts';
import { samePosition, type Position } from '../../event/position.ts';
import type { TableSchema } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { BlockedKey, DdlPolicy, SinkSession, TableChanges, TableOperation } from '../sink.ts';
import { BatchWriter } from './batch-writer.ts';
import type { ReplicaConnection } from './connection.ts';
import { codeFor } from './errors.ts';
import { move, moveParameters, removeBlocked, writeBlocked, type SinkName } from './own-tables.ts';
import { RowWriter } from './row-writer.ts';
import { control, Sender } from './sender.ts';
import { truncate } from './statements.ts';
import type { NamingConfig } from './target-name.ts';
import type { Target } from './target.ts';
import { Targets } from './targets.ts';

/** A connection whose position was read when nobody else could be moving it. */
export interface Opened {
  readonly connection: ReplicaConnection;
  readonly position: Position | null;
  readonly blocked: readonly BlockedKey[];
}

export interface SessionOptions {
  readonly config: NamingConfig;
  readonly owner: SinkName;
  readonly logger: Logger;
  readonly ddl: DdlPolicy;
  /** Connects anew; a session outlives its connection so that it can find out what became of its last commit. */
  connect(): Promise<Opened>;
}

const begin = { name: 'tailrace_begin', text: 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE' };
const commit = { name: 'tailrace_commit', text: 'COMMIT' };
const rollback = { name: '', text: 'ROLLBACK' };
const savepoint = 'tailrace_try';

/**
 * Applies transactions over one connection. `begin` and small writes are only collected: a transaction of a few rows goes to the
 * replica in one flush together with its COMMIT, which the server passes over when anything before it fails, the moving of the
 * position first of all.
 */
export class PostgresSinkSession implements SinkSession {
  readonly #options: SessionOptions;
  #opened: Opened;
  #parts: Parts;
  #position: Position | null;
  #blocked: readonly BlockedKey[];
  /** Blocked keys as the open transaction leaves them. */
  #blockedNext: readonly BlockedKey[];
  /** Where the open or the last transaction was to go. */
  #tried: Position | null = null;
  #open = false;
  #missingBefore = 0;

  constructor(opened: Opened, options: SessionOptions) {
    this.#options = options;
    this.#opened = opened;
    this.#parts = partsOf(opened.connection, options);
    this.#position = opened.position;
    this.#blocked = this.#blockedNext = opened.blocked;
  }

  get position(): Position | null {
    return this.#position;
  }

  get blocked(): readonly BlockedKey[] {
    return this.#blocked;
  }

  get missing(): number {
    return this.#missingBefore + this.#parts.sender.missing;
  }

  async begin(to: Position): Promise<'open' | 'applied'> {
    if (this.#open) throw new TailraceError('internal', 'a transaction at the replica is open already');
    if (this.#opened.connection.lost && (await this.#reconnect(to)) === 'applied') return 'applied';
    const { wire } = this.#parts.sender;
    wire.run(begin, control);
    const parameters = moveParameters(this.#options.owner, this.#position, to);
    wire.bind(move, parameters.length, { kind: 'move' });
    for (const parameter of parameters) wire.text(parameter);
    wire.execute();
    this.#tried = to;
    this.#open = true;
    return 'open';
  }

  async write({ table, changes, coverage }: TableChanges): Promise<void> {
    this.#mustBeOpen();
    const { rowWriter, batchWriter } = this.#parts;
    const target = await this.#target(table, coverage);
    const rows = await this.#behindTruncate(target, changes);
    if (rows.length === 0) return;
    if (target.copyRests > 0) target.copyRests--;
    if (batchWriter.takes(target, rows)) return batchWriter.write(target, rows, coverage);
    await batchWriter.settle();
    await rowWriter.write(target, rows, coverage);
  }

  async tryWrite({ table, changes, coverage }: TableChanges): Promise<Error | null> {
    this.#mustBeOpen();
    const { sender, rowWriter } = this.#parts;
    const target = await this.#target(table, coverage);
    await this.#flush();
    sender.run(`SAVEPOINT ${savepoint}`);
    try {
      await rowWriter.write(target, await this.#behindTruncate(target, changes), coverage);
      await sender.flush();
    } catch (error) {
      if (codeFor(error) !== 'sink-data') throw error;
      sender.run(`ROLLBACK TO SAVEPOINT ${savepoint}`);
      return error as Error;
    } finally {
      sender.run(`RELEASE SAVEPOINT ${savepoint}`);
    }
    return null;
  }

  async block(keys: readonly BlockedKey[]): Promise<void> {
    this.#mustBeOpen();
    await this.#flush();
    await writeBlocked(this.#opened.connection.query, this.#options.owner, keys);
    const kept = this.#blockedNext.filter((old) => !keys.some((key) => key.table === old.table && key.key === old.key));
    this.#blockedNext = [...kept, ...new Map(keys.map((key) => [JSON.stringify([key.table, key.key]), key])).values()];
  }

  async unblock(table: string): Promise<void> {
    this.#mustBeOpen();
    await this.#flush();
    await removeBlocked(this.#opened.connection.query, this.#options.owner, table);
    this.#blockedNext = this.#blockedNext.filter((key) => key.table !== table);
  }

  async commit(): Promise<void> {
    this.#mustBeOpen();
    const { sender, batchWriter } = this.#parts;
    // A row that must be there is looked at before anything is final; what merely fails takes the COMMIT along by itself.
    if (sender.verdictDue || !batchWriter.takesCommit) await this.#flush();
    const done = await batchWriter.commit(commit);
    // The server answers COMMIT with ROLLBACK where a statement had failed: nobody may take that for the other.
    if (done.at(-1)?.command !== 'COMMIT') throw new TailraceError('internal', 'the replica rolled back a transaction that was to be committed');
    this.#position = this.#tried;
    this.#blocked = this.#blockedNext;
    this.#settle(true);
  }

  async abort(): Promise<void> {
    if (!this.#open) return;
    const { connection } = this.#opened;
    const { wire } = this.#parts.sender;
    await this.#parts.batchWriter.giveUp();
    this.#blockedNext = this.#blocked;
    this.#settle(false);
    if (connection.lost) return;
    // Rows on their way can't be called back: the server rolls back when the connection is gone.
    if (!wire.discard()) return connection.destroy();
    wire.run(rollback, control);
    const { failed } = await wire.flush();
    if (failed !== undefined) connection.destroy();
  }

  async close(): Promise<void> {
    await this.abort();
    await this.#opened.connection.close();
  }

  #mustBeOpen(): void {
    if (!this.#open) throw new TailraceError('internal', 'no transaction at the replica is open');
  }

  #settle(committed: boolean): void {
    this.#open = false;
    this.#parts.sender.settle(committed);
    this.#parts.targets.settle(committed);
  }

  /** Everything so far has been sent, and taken. */
  async #flush(): Promise<void> {
    await this.#parts.batchWriter.settle();
    await this.#parts.sender.flush();
  }

  async #target(table: TableSchema, coverage: TableChanges['coverage']): Promise<Target> {
    const ready = this.#parts.targets.ready(table);
    if (ready !== undefined) return ready;
    await this.#flush();
    return this.#parts.targets.prepare(table, coverage);
  }

  /** A truncate makes everything before it void: only the last one and what follows is sent. */
  async #behindTruncate(target: Target, changes: readonly TableOperation[]): Promise<readonly RowChange<TableSchema>[]> {
    const last = changes.findLastIndex((change) => change.op === 't');
    if (last < 0) return changes as readonly RowChange<TableSchema>[];
    await this.#parts.batchWriter.settle();
    this.#parts.sender.run(truncate(target), { kind: 'batch', target, expected: null });
    target.copyReads = true;
    return changes.slice(last + 1) as RowChange<TableSchema>[];
  }

  /** What became of the transaction whose connection was lost: it went through, or never happened. */
  async #reconnect(to: Position): Promise<'applied' | 'open'> {
    await this.#opened.connection.close();
    const opened = await this.#options.connect();
    this.#missingBefore += this.#parts.sender.missing;
    this.#opened = opened;
    this.#parts = partsOf(opened.connection, this.#options);
    const found = opened.position;
    this.#blocked = this.#blockedNext = opened.blocked;
    if (samePosition(found, this.#position)) return 'open';
    if (!samePosition(found, this.#tried)) {
      throw new TailraceError('fenced', "the sink's position at the replica is not where this worker left it: another worker has the sink");
    }
    this.#position = found;
    if (samePosition(found, to)) return 'applied';
    // The caller has cut its transactions anew, and would write rows that are there already.
    throw new TailraceError('sink-unreachable', 'the commit whose answer was lost had gone through; a new session goes on from there');
  }
}

interface Parts {
  readonly sender: Sender;
  readonly targets: Targets;
  readonly rowWriter: RowWriter;
  readonly batchWriter: BatchWriter;
}

function partsOf(connection: ReplicaConnection, { config, owner, logger, ddl }: SessionOptions): Parts {
  const sender = new Sender(connection.wire);
  const rowWriter = new RowWriter(sender);
  return {
    sender,
    targets: new Targets({ config, owner, query: connection.query, quiet: connection.quiet, logger, ddl }),
    rowWriter,
    batchWriter: new BatchWriter(sender, rowWriter),
  };
}

import { formatLsn } from '../event/lsn.ts';
import type { Position } from '../event/position.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Finding } from '../runtime/finding.ts';
import type { BlockedKey, Sink, SinkSession, TableChanges } from '../sink/sink.ts';
import { encodeValue } from './canonical.ts';
import { Engine } from './engine.ts';
import { LoggedState, type LoggedStateOptions } from './logged-state.ts';
import { refuseOther, type SpreadOf } from './spread.ts';
import { readPosition, runOfUser, writePosition } from './stream-session.ts';

export interface ShardSinkOptions extends SpreadOf {
  readonly index: number;
  readonly path: string;
  readonly openLog: () => Promise<LoggedStateOptions['log']>;
  readonly shapes: LoggedStateOptions['shapes'];
}

/** Changes that are applied before what they change goes out of memory, and rows that leave the shard with one transaction. */
const cutAfter = 5000;
const mostHeld = 10_000;

/** Towards the pipeline one shard of a stream is a sink, whose replica is its state in the log (ADR 64). */
export class ShardSink implements Sink {
  readonly inCommitOrder = true;
  /** A row whose old image another shard has can come here with columns that were not sent again. */
  readonly wholeRows = true;
  readonly #options: ShardSinkOptions;

  constructor(options: ShardSinkOptions) {
    this.#options = options;
  }

  // oxlint-disable require-await -- the interface's promises
  async check(): Promise<readonly Finding[]> {
    return [];
  }

  async open(): Promise<SinkSession> {
    const { openLog, path, shapes } = this.#options;
    const log = await openLog();
    let state: LoggedState | null = null;
    try {
      state = await LoggedState.open({ path, log, shapes });
      refuseOther(state.state, this.#options);
      return new ShardSession(this.#options, state);
    } catch (error) {
      await (state ?? log).close();
      throw error;
    }
  }

  async forget(): Promise<never> {
    throw new TailraceError('internal', 'a shard is forgotten with its stream');
  }

  async openVerifier(): Promise<never> {
    throw new TailraceError('internal', 'a shard is no replica');
  }
}

class ShardSession implements SinkSession {
  readonly #options: ShardSinkOptions;
  readonly #state: LoggedState;
  #engine: Engine;
  position: Position | null;
  readonly blocked: readonly BlockedKey[] = [];
  readonly missing = 0;
  #to: Position | null = null;
  /** The transaction that is under way, as rows name it. */
  #at = '';
  #commitTime = 0n;
  #uncut = 0;
  /** Rows that leave the shard with the transaction that is under way: one that comes and goes in it does not. */
  readonly #leaving = new Map<string, { readonly operator: number; readonly item: string; times: number }>();

  constructor(options: ShardSinkOptions, state: LoggedState) {
    this.#options = options;
    this.#state = state;
    this.#engine = this.#newEngine();
    this.position = readPosition(state.state);
  }

  async begin(to: Position): Promise<'open'> {
    this.#state.begin();
    refuseOther(this.#state.state, { ...this.#options, settles: true });
    writePosition(this.#state.state, to);
    this.#to = to;
    this.#at = '';
    return 'open';
  }

  async write(changes: TableChanges): Promise<void> {
    const { committedAt = 0n, place } = changes;
    if (place === undefined) throw new TailraceError('internal', 'changes for a shard have no place');
    const at = `${place.epoch} ${formatLsn(place.commitLsn)}`;
    // What leaves the shard is of one transaction of the source each: others stand at other places.
    if (this.#at !== at) this.#finish();
    this.#at = at;
    if (committedAt > this.#commitTime) this.#commitTime = committedAt;
    runOfUser(() => this.#engine.apply(changes, Number(committedAt / 1000n)), changes);
    this.#uncut += changes.changes.length;
    if (this.#uncut < cutAfter) return;
    this.#uncut = 0;
    this.#state.cut();
  }

  async tryWrite(): Promise<never> {
    throw new TailraceError('internal', 'a stream in shards has no dead letters');
  }

  async block(): Promise<void> {}

  async unblock(): Promise<void> {}

  async commit(): Promise<void> {
    const to = this.#to as Position;
    this.#finish();
    await this.#state.commit({ place: { epoch: to.epoch, commitLsn: to.commitLsn }, commitTime: this.#commitTime });
    this.position = to;
    await this.#state.settle();
  }

  async abort(): Promise<void> {
    this.#state.abort();
    this.#leaving.clear();
    this.#engine = this.#newEngine();
  }

  async close(): Promise<void> {
    await this.#state.close();
  }

  #finish(): void {
    if (this.#at === '') return;
    runOfUser(() => this.#engine.finish());
    this.#give();
  }

  #leave(operator: number, row: unknown, times: number): void {
    const item = encodeValue(row);
    const key = `${operator} ${item}`;
    const known = this.#leaving.get(key);
    if (known !== undefined) known.times += times;
    else this.#leaving.set(key, { operator, item, times });
    if (this.#leaving.size >= mostHeld) this.#give();
  }

  #give(): void {
    for (const row of this.#leaving.values()) if (row.times !== 0) this.#state.give(this.#at, row);
    this.#leaving.clear();
  }

  #newEngine(): Engine {
    const { definition, index, shards } = this.#options;
    const cut = (operator: number, row: unknown, times: number): void => this.#leave(operator, row, times);
    return new Engine(definition.plan, this.#state.state, { kind: 'shard', shard: { index, of: shards }, cut });
  }
}

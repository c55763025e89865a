import { lsn, formatLsn } from '../event/lsn.ts';
import { samePosition, type Position } from '../event/position.ts';
import { TailraceError } from '../runtime/errors.ts';
import { failpoint } from '../runtime/failpoint.ts';
import type { BlockedKey, SinkSession, TableChanges } from '../sink/sink.ts';
import { Engine } from './engine.ts';
import { Outbox } from './outbox.ts';
import type { ResultStep, StreamOutputs } from './outputs.ts';
import type { State } from './state.ts';
import type { StreamDefinition } from './stream.ts';
import { userPlace } from './user-place.ts';

export interface StreamSessionOptions {
  readonly definition: StreamDefinition;
  readonly state: State;
  readonly outputs: StreamOutputs;
}

/**
 * One worker of a stream. State, position and outbox change in one transaction; then the outbox is published. What a crash leaves
 * in it is published when the next session opens, unless the outputs already have it.
 */
export class StreamSession implements SinkSession {
  readonly #options: StreamSessionOptions;
  readonly #state: State;
  readonly #outbox: Outbox;
  #engine: Engine;
  position: Position | null;
  blocked: readonly BlockedKey[];
  readonly missing = 0;
  #attempted: Position | null = null;
  #commitTime = 0n;

  private constructor(options: StreamSessionOptions) {
    this.#options = options;
    this.#state = options.state;
    this.#engine = new Engine(options.definition.plan, options.state);
    this.#outbox = new Outbox(options);
    this.position = readPosition(options.state);
    this.blocked = readBlocked(options.state);
  }

  static async open(options: StreamSessionOptions): Promise<StreamSession> {
    const session = new StreamSession(options);
    const { position } = session;
    if (position !== null) await session.#outbox.open({ ...position, anew: false });
    return session;
  }

  async begin(to: Position): Promise<'open' | 'applied'> {
    // A stream without a past takes them with its first transaction.
    if (!this.#outbox.isOpen) await this.#outbox.open({ ...to, anew: true });
    await this.#outbox.idle();
    const { db } = this.#state;
    db.exec('BEGIN IMMEDIATE');
    const found = readPosition(this.#state);
    if (!samePosition(found, this.position)) {
      db.exec('ROLLBACK');
      if (samePosition(found, to) && samePosition(found, this.#attempted)) {
        this.position = found;
        return 'applied';
      }
      throw new TailraceError('fenced', 'the state of the stream stands at another position than this worker left it at');
    }
    this.#outbox.begin();
    writePosition(this.#state, to);
    this.#attempted = to;
    return 'open';
  }

  async write(changes: TableChanges): Promise<void> {
    this.#apply(changes);
  }

  /** The functions of a stream may refuse a row by throwing: everything before it is settled, so that only its own effects go. */
  async tryWrite(changes: TableChanges): Promise<Error | null> {
    const { db } = this.#state;
    this.#engine.finish();
    db.exec('SAVEPOINT change');
    try {
      this.#apply(changes);
      this.#engine.finish();
    } catch (error) {
      if (!(error instanceof TailraceError) || error.code !== 'sink-data') throw error;
      db.exec('ROLLBACK TO change; RELEASE change');
      this.#engine = new Engine(this.#options.definition.plan, this.#state);
      return error;
    }
    db.exec('RELEASE change');
    return null;
  }

  async block(keys: readonly BlockedKey[]): Promise<void> {
    this.#setBlocked([...readBlocked(this.#state), ...keys]);
  }

  async unblock(table: string): Promise<void> {
    this.#setBlocked(readBlocked(this.#state).filter((key) => key.table !== table));
  }

  async commit(): Promise<void> {
    const to = this.#attempted as Position;
    runOfUser(() => this.#engine.finish());
    const end: ResultStep = { place: { epoch: to.epoch, commitLsn: to.commitLsn }, commitTime: this.#commitTime };
    this.#outbox.keep(end);
    this.#state.db.exec('COMMIT');
    failpoint('stream.committed');
    this.position = to;
    this.blocked = readBlocked(this.#state);
    await this.#outbox.publish(end);
    await this.#outbox.answer([]);
  }

  async abort(): Promise<void> {
    if (!this.#state.db.isTransaction) return;
    this.#state.db.exec('ROLLBACK');
    // What the operators held of the transaction goes with it.
    this.#engine = new Engine(this.#options.definition.plan, this.#state);
  }

  async close(): Promise<void> {
    await this.#outbox.close();
    this.#state.close();
  }

  #apply(changes: TableChanges): void {
    const { committedAt = 0n } = changes;
    if (committedAt > this.#commitTime) this.#commitTime = committedAt;
    runOfUser(() => this.#engine.apply(changes, Number(committedAt / 1000n)), changes);
  }

  #setBlocked(keys: readonly BlockedKey[]): void {
    this.#state.setMeta('blocked', JSON.stringify(keys));
  }
}

/** An error out of the user's functions is about the row that they were given. */
export function runOfUser(run: () => void, changes?: TableChanges): void {
  try {
    run();
  } catch (error) {
    if (error instanceof TailraceError || isDatabaseError(error)) throw error;
    const of = changes === undefined ? '' : ` on a row of ${changes.table.schema}.${changes.table.name}`;
    throw new TailraceError('sink-data', `a function of the stream failed${of}: ${error instanceof Error ? error.message : String(error)}${userPlace(error, 'program')}`, {
      cause: error, remedy: 'Mend the function, or configure on_error: dead-letter for the stream.',
    });
  }
}

export function writePosition(state: State, position: Position): void {
  state.setMeta('position', JSON.stringify({ ...position, commitLsn: formatLsn(position.commitLsn) }));
}

export function readPosition(state: State): Position | null {
  const text = state.meta('position');
  if (text === null) return null;
  const position = JSON.parse(text) as Omit<Position, 'commitLsn'> & { readonly commitLsn: string };
  return { ...position, commitLsn: lsn(position.commitLsn) };
}

function readBlocked(state: State): readonly BlockedKey[] {
  return JSON.parse(state.meta('blocked') ?? '[]') as BlockedKey[];
}

function isDatabaseError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
}

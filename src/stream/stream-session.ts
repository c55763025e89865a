import { lsn, formatLsn } from '../event/lsn.ts';
import { samePosition, type Position } from '../event/position.ts';
import { tableName } from '../event/table.ts';
import { tupleOf } from '../event/tuple.ts';
import { TailraceError } from '../runtime/errors.ts';
import { failpoint } from '../runtime/failpoint.ts';
import type { BlockedKey, SinkSession, TableChanges } from '../sink/sink.ts';
import { decodeValue } from './canonical.ts';
import { Engine } from './engine.ts';
import { shapeOf } from './output-types.ts';
import type { CopyAsk, InputPlace, OutputChange, ResultStep, StreamOutputs } from './outputs.ts';
import type { State } from './state.ts';
import type { StreamDefinition } from './stream.ts';

export interface StreamSessionOptions {
  readonly definition: StreamDefinition;
  readonly state: State;
  readonly outputs: StreamOutputs;
}

/** Changes that are handed to the outputs at a time. */
const piece = 2000;

/**
 * One worker of a stream. State, position and outbox change in one transaction; then the outbox is published. What a crash leaves
 * in it is published when the next session opens, unless the outputs already have it.
 */
export class StreamSession implements SinkSession {
  readonly #options: StreamSessionOptions;
  readonly #state: State;
  readonly #shapes: ReadonlyMap<number, OutputChange['shape']>;
  #engine: Engine;
  position: Position | null;
  blocked: readonly BlockedKey[];
  readonly missing = 0;
  #attempted: Position | null = null;
  #commitTime = 0n;
  /** Whether the outputs were taken; a stream without a past takes them with its first transaction. */
  #open = false;
  /** What is in the outbox has been published. */
  #published = false;
  readonly #waiting: CopyAsk[] = [];
  #copying: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(options: StreamSessionOptions) {
    this.#options = options;
    this.#state = options.state;
    this.#engine = new Engine(options.definition.plan, options.state);
    this.#shapes = new Map(options.definition.plan.operators.flatMap((operator) => (operator.kind === 'output' ? [[operator.id, shapeOf(operator.output)] as const] : [])));
    this.position = readPosition(options.state);
    this.blocked = readBlocked(options.state);
  }

  static async open(options: StreamSessionOptions): Promise<StreamSession> {
    const session = new StreamSession(options);
    options.outputs.onAsk((ask) => void session.#answer([ask]));
    if (session.position !== null) await session.#takeOutputs(session.position, false);
    return session;
  }

  async begin(to: Position): Promise<'open' | 'applied'> {
    if (!this.#open) await this.#takeOutputs(to, true);
    // A copy that is under way comes first: it is of what the state has between two transactions.
    await this.#copying;
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
    if (this.#published) this.#state.clearOutbox();
    this.#state.setMeta('position', JSON.stringify({ ...to, commitLsn: formatLsn(to.commitLsn) }));
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
    this.#user(() => this.#engine.finish());
    const end: ResultStep = { place: { epoch: to.epoch, commitLsn: to.commitLsn }, commitTime: this.#commitTime };
    this.#state.setMeta('outbox', JSON.stringify({ epoch: to.epoch, commitLsn: formatLsn(to.commitLsn), commitTime: String(this.#commitTime) }));
    this.#state.db.exec('COMMIT');
    // Not before: a transaction that is given up leaves the outbox as it was.
    this.#published = false;
    failpoint('stream.committed');
    this.position = to;
    this.blocked = readBlocked(this.#state);
    await this.#publish(end);
    await this.#answer([]);
  }

  async abort(): Promise<void> {
    if (!this.#state.db.isTransaction) return;
    this.#state.db.exec('ROLLBACK');
    // What the operators held of the transaction goes with it.
    this.#engine = new Engine(this.#options.definition.plan, this.#state);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#copying;
    await this.#options.outputs.close();
    this.#state.close();
  }

  #apply(changes: TableChanges): void {
    const { committedAt = 0n } = changes;
    if (committedAt > this.#commitTime) this.#commitTime = committedAt;
    this.#user(() => this.#engine.apply(changes, Number(committedAt / 1000n)), changes);
  }

  /** An error out of the user's functions is about the row that they were given. */
  #user(run: () => void, changes?: TableChanges): void {
    try {
      run();
    } catch (error) {
      if (error instanceof TailraceError || isDatabaseError(error)) throw error;
      const of = changes === undefined ? '' : ` on a row of ${changes.table.schema}.${changes.table.name}`;
      throw new TailraceError('sink-data', `a function of the stream failed${of}: ${error instanceof Error ? error.message : String(error)}${placeOf(error)}`, {
        cause: error, remedy: 'Mend the function, or configure on_error: dead-letter for the stream.',
      });
    }
  }

  #setBlocked(keys: readonly BlockedKey[]): void {
    this.#state.setMeta('blocked', JSON.stringify(keys));
  }

  async #takeOutputs(position: Position, anew: boolean): Promise<void> {
    const { outputs } = this.#options;
    const { logId, systemIdentifier } = position;
    const { input: published, asks } = await outputs.open({ shapes: [...this.#shapes.values()], logId, systemIdentifier, anew });
    this.#open = true;
    const pending = readPending(this.#state);
    if (!anew && pending !== null) {
      if (published === null || isBehind(published, pending.place)) await this.#publish(pending);
      else this.#published = true;
    }
    await this.#answer(asks);
  }

  /**
   * Copies of outputs for sinks that asked, one after the other, while no transaction is open. What cannot be done now is asked for again
   * when the stream is opened next.
   */
  #answer(asks: readonly CopyAsk[]): Promise<void> {
    this.#waiting.push(...asks);
    if (!this.#open || this.#state.db.isTransaction) return Promise.resolve();
    this.#copying = this.#copying.then(async () => {
      for (let ask = this.#waiting.shift(); ask !== undefined && !this.#closed; ask = this.#waiting.shift()) await this.#copy(ask);
    });
    // Whoever begins next hears of it.
    this.#copying.catch(() => undefined);
    return this.#copying;
  }

  async #copy(ask: CopyAsk): Promise<void> {
    const [node, shape] = [...this.#shapes].find(([, shape]) => tableName(shape) === ask.table) ?? [];
    if (node === undefined || shape === undefined) return;
    for (let after = ''; ;) {
      const entries = this.#state.entriesAfter(node, after, piece);
      const last = entries.length < piece;
      await this.#options.outputs.publishCopy(ask, { shape, rows: entries.map(({ value }) => tuple(value) as Uint8Array), last });
      if (last) return;
      after = (entries.at(-1) as { key: string }).key;
    }
  }

  async #publish(step: ResultStep): Promise<void> {
    let changes: OutputChange[] = [];
    let seq = 0;
    for (;;) {
      const posted = this.#state.posted(seq, piece);
      changes = posted.map(({ node, before, after }) => ({ shape: this.#shapes.get(node) as OutputChange['shape'], before: tuple(before), after: tuple(after) }));
      if (posted.length < piece) break;
      seq = (posted.at(-1) as { seq: number }).seq;
      await this.#options.outputs.publish(changes, step, false);
    }
    if (changes.length > 0 || seq > 0) {
      await this.#options.outputs.publish(changes, step, true);
      failpoint('stream.published');
    }
    this.#published = true;
  }
}

function tuple(texts: string | null): Uint8Array | null {
  return texts === null ? null : tupleOf(decodeValue(texts) as (string | null)[]);
}

function isBehind(a: InputPlace, b: InputPlace): boolean {
  return a.epoch !== b.epoch ? a.epoch < b.epoch : a.commitLsn < b.commitLsn;
}

function readPosition(state: State): Position | null {
  const text = state.meta('position');
  if (text === null) return null;
  const position = JSON.parse(text) as Omit<Position, 'commitLsn'> & { readonly commitLsn: string };
  return { ...position, commitLsn: lsn(position.commitLsn) };
}

function readBlocked(state: State): readonly BlockedKey[] {
  return JSON.parse(state.meta('blocked') ?? '[]') as BlockedKey[];
}

function readPending(state: State): ResultStep | null {
  const text = state.meta('outbox');
  if (text === null) return null;
  const { epoch, commitLsn, commitTime } = JSON.parse(text) as { epoch: number; commitLsn: string; commitTime: string };
  return { place: { epoch, commitLsn: lsn(commitLsn) }, commitTime: BigInt(commitTime) };
}

function isDatabaseError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_SQLITE_ERROR';
}

/** Where in the user's module it was thrown. */
function placeOf(error: unknown): string {
  const frame = error instanceof Error ? error.stack?.split('\n').find((line) => line.trimStart().startsWith('at ')) : undefined;
  return frame === undefined ? '' : ` (${frame.trim()})`;
}

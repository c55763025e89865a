import type { Position } from '../event/position.ts';
import { failpoint } from '../runtime/failpoint.ts';
import type { SinkSession, TableChanges } from '../sink/sink.ts';
import type { Part } from './control-records.ts';
import { isOfShape, isRefusal } from './dead-letters.ts';
import type { Step } from './end-follower.ts';
import type { ReplayPart } from './replay-parts.ts';
import type { SinkPart } from './sink-part.ts';

type Tag = TableChanges['coverage'];

export interface UnfinishedOptions {
  readonly own: SinkPart;
  readonly session: SinkSession;
  readonly position: (step: Step) => Position;
  /** Writes into the open transaction; returns how many changes there were. */
  readonly write: (batch: readonly ReplayPart<Tag>[]) => Promise<number>;
}

interface Open {
  /** What of the transaction is written. */
  readonly taken: Step;
  readonly changes: number;
  readonly since: number;
  /** It had been committed, and its answer was lost: nothing is written again. */
  readonly applied: boolean;
}

/** A publisher that says nothing more has lost its source: what is open at the replica holds locks there meanwhile. */
const patienceMs = 5000;

/**
 * Writes a large transaction while it is still being captured, into a transaction of its own at the replica that is committed
 * when the END has come (PROTOCOL, PROGRESS; ADR 52). It can be given up at any moment, as nobody has seen any of it, and is
 * whenever anything is out of the ordinary: the END is then taken like any other, from the beginning.
 */
export class Unfinished {
  readonly #options: UnfinishedOptions;
  #open: Open | null = null;
  /** Not begun with again. */
  #declined: Step | null = null;

  constructor(options: UnfinishedOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#open !== null;
  }

  /** Writes what has come of the transaction that has no END yet; false when there was nothing new. */
  async advance(step: Step | null): Promise<boolean> {
    if (this.#open !== null && !isSame(this.#open.taken, step)) await this.giveUp();
    if (step === null || isSame(step, this.#declined)) return false;
    const open = this.#open;
    const rest = behind(open?.taken.end.parts ?? [], step.end.parts);
    if (rest === null || (open !== null && rest.length === 0 && Date.now() - open.since > patienceMs)) await this.#decline(step);
    if (rest === null || rest.length === 0) return false;
    return (await this.#unlessRefused(step, () => this.#take(step, rest))) ?? false;
  }

  /** Whether this END is the open transaction's, which it then commits: with so many changes. Null when it is to be taken from the beginning. */
  async finish(step: Step): Promise<number | null> {
    const open = this.#open;
    if (open === null) return null;
    const rest = isSame(open.taken, step) ? behind(open.taken.end.parts, step.end.parts) : null;
    const { snapshot, shapes } = step.end;
    if (rest === null || snapshot !== null || shapes !== undefined || step.afterGap) {
      await this.giveUp();
      return null;
    }
    const changes = await this.#unlessRefused(step, () => this.#commit(open, step, rest));
    this.#open = null;
    return changes;
  }

  /** Nothing of it has happened. */
  async giveUp(): Promise<void> {
    if (this.#open === null) return;
    this.#open = null;
    await this.#options.session.abort();
  }

  async #decline(step: Step): Promise<void> {
    this.#declined = step;
    await this.giveUp();
  }

  async #take(step: Step, rest: readonly Part[]): Promise<boolean> {
    const { own, session, position } = this.#options;
    const part = await own.of([{ ...step, end: { ...step.end, parts: rest } }]);
    if (this.#open === null) {
      if (part.shares.size === 0) return false;
      const applied = (await session.begin(position(step))) === 'applied';
      this.#open = { taken: { ...step, end: { ...step.end, parts: [] } }, changes: 0, since: 0, applied };
      failpoint('sink.begin');
    }
    const { changes, applied } = this.#open;
    const more = applied ? 0 : await this.#options.write([part]);
    this.#open = { taken: step, changes: changes + more, since: Date.now(), applied };
    failpoint('sink.unfinished');
    return true;
  }

  async #commit(open: Open, step: Step, rest: readonly Part[]): Promise<number> {
    if (open.applied) return 0;
    const { own, session, write } = this.#options;
    const more = await write([await own.of([{ ...step, end: { ...step.end, parts: rest } }])]);
    failpoint('sink.rows_uncommitted');
    await session.commit();
    failpoint('sink.committed');
    return open.changes + more;
  }

  /** What the replica refuses is dealt with when the transaction is taken whole. */
  async #unlessRefused<T>(step: Step, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (!isRefusal(error) && !isOfShape(error)) throw error;
      await this.#decline(step);
      return null;
    }
  }
}

function isSame(one: Step, other: Step | null): boolean {
  return one.end.startId === other?.end.startId && one.end.commitLsn === other.end.commitLsn && one.logId === other.logId;
}

/** What `all` names beyond `taken`; null when it is not what `taken` was the beginning of. */
function behind(taken: readonly Part[], all: readonly Part[]): readonly Part[] | null {
  const known = new Map(taken.map((part) => [`${part.topic}/${part.partition}`, part]));
  const rest: Part[] = [];
  for (const part of all) {
    const name = `${part.topic}/${part.partition}`;
    const before = known.get(name);
    known.delete(name);
    if (before === undefined) {
      rest.push(part);
      continue;
    }
    const count = part.count - before.count;
    if (part.first !== before.first || count < 0 || part.last < before.last) return null;
    if (count > 0) rest.push({ ...part, count, first: before.last + 1, bytes: part.bytes - before.bytes });
  }
  return known.size === 0 ? rest : null;
}

import { TailraceError } from '../../runtime/errors.ts';
import { tableName } from '../../event/table.ts';
import type { TableChanges } from '../sink.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import { sinkError } from './errors.ts';
import type { Image } from './images.ts';
import { keyText, type Target } from './target.ts';
import type { Outcome, Wire } from './wire.ts';

/** What was sent and what must come of it. */
export type Sent =
  /** BEGIN, COMMIT, savepoints, our own tables. */
  | { readonly kind: 'control' }
  /** Moves the position; fails by a division by zero when the position is not the one expected. */
  | { readonly kind: 'move' }
  /** Concerns the row with this image's key. `expected`: the row must be there. */
  | { readonly kind: 'row'; readonly target: Target; readonly image: Image; readonly expected: boolean; readonly coverage: TableChanges['coverage'] }
  /** Part of a batch behind a savepoint. `expected`: so many rows must be hit, or null for any number. */
  | { readonly kind: 'batch'; readonly target: Target; readonly expected: number | null };

export const control: Sent = { kind: 'control' };

const DIVISION_BY_ZERO = '22012';

/** Sends what was collected and judges what came of it. */
export class Sender {
  readonly wire: Wire<Sent>;
  /** Updates and deletes that found no row, under coverage `partial`. */
  missing = 0;
  /** Missing rows of the open transaction. */
  #missing = 0;
  /** Something was collected whose result decides whether the transaction may commit. */
  #verdictDue = false;

  constructor(wire: Wire<Sent>) {
    this.wire = wire;
  }

  /** Whether COMMIT may go in the same flush as what was collected: what fails takes it along, what only counts does not. */
  get verdictDue(): boolean {
    return this.#verdictDue;
  }

  run(text: string, tag: Sent = control): void {
    this.wire.run({ name: '', text }, tag);
  }

  /** Bind, parameters and execute are the caller's; this notes that a missing row must be heard of before the commit. */
  expectRow(coverage: TableChanges['coverage']): void {
    if (coverage === 'complete') this.#verdictDue = true;
  }

  /** Throws what the server refused, and a missing row that must be there. */
  async flush(): Promise<Outcome<Sent>['done']> {
    const outcome = await this.tryFlush();
    if (outcome.failed !== undefined) throw this.errorOf(outcome.failed);
    return outcome.done;
  }

  /** As `flush`, but a refusal is left to the caller. */
  async tryFlush(): Promise<Outcome<Sent>> {
    if (this.wire.idle) return { done: [], failed: undefined };
    await this.post();
    return this.answer();
  }

  /** Sends what was collected; what became of it is asked by `answer`, before anything else is. */
  async post(): Promise<void> {
    this.#verdictDue = false;
    await this.wire.post();
  }

  async answer(): Promise<Outcome<Sent>> {
    const outcome = await this.wire.answer();
    for (const { tag, count } of outcome.done) {
      if (tag.kind === 'row' && tag.expected && count === 0) this.noteMissing(tag, 1);
    }
    return outcome;
  }

  /** A row that an update or a delete took for granted is not at the replica. */
  noteMissing(what: { readonly target: Target; readonly image?: Image; readonly coverage: TableChanges['coverage'] }, count: number): void {
    switch (what.coverage) {
      case 'copying':
        return;
      case 'partial':
        this.#missing += count;
        return;
      case 'complete': {
        const { target, image } = what;
        const row = image === undefined || target.key.length === 0 ? 'a row' : `the row with the key ${keyText(target.table, image)}`;
        throw new TailraceError('sink-data', `${tableName(target.table)}: ${row} is missing at the replica, and a change needs it`, {
          remedy: 'Somebody removed it there. Run tailrace verify to see what differs; forget the sink and let it be filled anew.',
        });
      }
    }
  }

  errorOf(failed: { readonly tag: Sent | undefined; readonly error: Error }): Error {
    const { tag, error } = failed;
    switch (tag?.kind) {
      case 'move':
        return sqlstateOf(error) === DIVISION_BY_ZERO
          ? new TailraceError('fenced', "the sink's position at the replica is not where this worker left it: another worker has the sink")
          : sinkError(error, 'moving the position');
      case 'row': {
        const { target, image } = tag;
        const row = target.key.length === 0 ? '' : `, key ${keyText(target.table, image)}`;
        return sinkError(error, `writing ${tableName(target.table)}${row}`);
      }
      case 'batch':
        return sinkError(error, `writing ${tableName(tag.target.table)}`);
      case 'control':
      case undefined:
        return sinkError(error, 'writing to the replica');
    }
  }

  /** The transaction is over: what was counted in it counts, or never happened. */
  settle(committed: boolean): void {
    if (committed) this.missing += this.#missing;
    this.#missing = 0;
    this.#verdictDue = false;
  }
}

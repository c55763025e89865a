import type { JoinKeep } from './plan.ts';
import type { JoinOn, Rows } from './stream.ts';
import { durationOf, type JoinWindowSpec } from './windows.ts';

/** How far apart in event time two rows may be to meet; durations as in the configuration. */
export interface JoinWindow<L, R> {
  /** Event time of each side, milliseconds since 1970: `time(row.created_at)`. A row without one meets nobody and is in no result. */
  readonly leftAt: (row: L) => number | null;
  readonly rightAt: (row: R) => number | null;
  /** How much earlier than the left row the right one may be, and how much later; not at all without it. The bounds are within. */
  readonly before?: string;
  readonly after?: string;
  /** How long after the newest event time of either side a row may still come; none without it. */
  readonly grace?: string;
  /** `changes` (default): pairs are shown as they come, and taken back; `closed`: each once, when nothing can change it any more. */
  readonly emit?: 'changes' | 'closed';
}

/** A row that came, or was taken away, when nothing that it could meet may come any more; the other side is null. */
export interface LateOfJoin<L, R> {
  readonly left: L | null;
  readonly right: R | null;
  readonly removed: boolean;
}

export interface WindowJoin<L, R, U> {
  readonly rows: Rows<U>;
  readonly late: Rows<LateOfJoin<L, R>>;
}

export interface OuterJoinOn<L, R, U> {
  readonly left: (row: L) => unknown;
  readonly right: (row: R) => unknown;
  readonly combine: (left: L | null, right: R | null) => U;
}

type Make<L, R> = (on: JoinOn<never, never, unknown>, keep: JoinKeep) => WindowJoin<L, R, never>;

/** Two sides that are to be joined where their rows are near in time. */
export class JoinWindows<L, R> {
  readonly #make: Make<L, R>;

  constructor(make: Make<L, R>) {
    this.#make = make;
  }

  /** Every pair of rows whose keys are equal and whose times are near. Keys with a null in them meet nobody. */
  join<U>(on: JoinOn<L, R, U>): WindowJoin<L, R, U> {
    return this.#make(on, 'neither');
  }

  /** As `join`; a row of the left side without a partner comes once, with null on the right. */
  leftJoin<U>(on: JoinOn<L, R | null, U, R>): WindowJoin<L, R, U> {
    return this.#make(on, 'left');
  }

  /** As `leftJoin`, for both sides. */
  outerJoin<U>(on: OuterJoinOn<L, R, U>): WindowJoin<L, R, U> {
    return this.#make(on, 'both');
  }
}

export function joinWindowOf<L, R>({ leftAt, rightAt, before, after, grace, emit = 'changes' }: JoinWindow<L, R>): JoinWindowSpec {
  const milliseconds = (text: string | undefined): number => (text === undefined ? 0 : durationOf(text));
  return { leftAt, rightAt, before: milliseconds(before), after: milliseconds(after), grace: milliseconds(grace), emit };
}

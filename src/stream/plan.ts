import type { Aggregates } from './aggregates.ts';
import type { JoinWindowSpec, WindowSpec } from './windows.ts';

/**
 * What a stream's module describes: a graph of operators, each with the number of its place in the order of making, which
 * is also an order in which every operator stands behind its inputs. The engine runs it; the state is kept by these numbers.
 */
export type Operator =
  | { readonly kind: 'table'; readonly id: number; readonly table: string }
  /** Each change of the table as an event: rows that are never taken back. */
  | { readonly kind: 'changes'; readonly id: number; readonly input: number }
  | { readonly kind: 'flat-map'; readonly id: number; readonly input: number; readonly each: (row: never) => Iterable<unknown> }
  | { readonly kind: 'merge'; readonly id: number; readonly inputs: readonly number[] }
  | ({ readonly kind: 'join'; readonly id: number } & JoinSides & { readonly keepLeft: boolean })
  | ({ readonly kind: 'window-join'; readonly id: number } & JoinSides & { readonly keep: JoinKeep; readonly window: JoinWindowSpec })
  /** Each event of the left side with the rows that the right side has at that moment. */
  | ({ readonly kind: 'lookup'; readonly id: number } & JoinSides)
  | { readonly kind: 'group'; readonly id: number; readonly input: number; readonly key: (row: never) => object; readonly aggregates: Aggregates; readonly window: WindowSpec | null }
  /** What came too late for a window of a `group` or of a `window-join`. */
  | { readonly kind: 'late'; readonly id: number; readonly input: number }
  | { readonly kind: 'output'; readonly id: number; readonly input: number; readonly output: Output };

/** Whose rows without a partner stand alone in the result. */
export type JoinKeep = 'neither' | 'left' | 'both';

export interface JoinSides {
  readonly left: number;
  readonly right: number;
  readonly leftKey: (row: never) => unknown;
  readonly rightKey: (row: never) => unknown;
  readonly combine: (left: never, right: never) => unknown;
}

/** A table that the stream writes: one topic, which any sink can replay. */
export interface Output {
  /** `schema.name` as a replica will have it. */
  readonly schema: string;
  readonly name: string;
  /** Column names and Postgres types, in order. */
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** Names of the columns that identify a row; empty for events, which are only ever added. */
  readonly key: readonly string[];
}

export interface Plan {
  readonly operators: readonly Operator[];
}

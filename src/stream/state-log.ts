import type { TableShape } from '../event/table.ts';
import type { ResultStep } from './outputs.ts';

/** A piece of a state: of all of it, or of what one step changed; with the `last` one it is whole. */
export interface StatePiece {
  readonly kind: 'whole' | 'change';
  readonly last: boolean;
  readonly bytes: Uint8Array;
}

/**
 * Where a task's state lasts (ADR 64). A call that rejects may or may not have been carried out: open again and see. `lead-lost` says
 * that another worker has the task.
 */
export interface StateLog {
  /** By what the last step is known that it holds; null for none. */
  readonly last: string | null;
  /** What a state lacks that ends with the step of this mark; null: what makes one from nothing. Undefined for a mark that the log does not know. */
  since(mark: string | null): AsyncIterable<StatePiece> | undefined;
  /** Begins a step; its mark. */
  begin(step: ResultStep): string;
  publish(rows: readonly { readonly shape: TableShape; readonly tuple: Uint8Array }[], last: boolean): Promise<void>;
  /** The state should be written whole, so that what stands before can go. */
  readonly isLong: boolean;
  publishWhole(pieces: readonly Uint8Array[], last: boolean): Promise<void>;
  close(): Promise<void>;
}

/** How pieces and rows stand in the log. */
export interface StateShapes {
  readonly pieces: TableShape;
  readonly rows: TableShape;
  piece(bytes: Uint8Array, last: boolean): Uint8Array;
}

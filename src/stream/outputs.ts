import type { Lsn } from '../event/lsn.ts';
import type { TableShape } from '../event/table.ts';

/** Where a step's input ended: the END of its last transaction (PROTOCOL, Identity). */
export interface InputPlace {
  readonly epoch: number;
  readonly commitLsn: Lsn;
}

/** One row of an output that came, changed or went, as tuples of its shape. */
export interface OutputChange {
  readonly shape: TableShape;
  readonly before: Uint8Array | null;
  readonly after: Uint8Array | null;
}

/** The step that results are of. */
export interface ResultStep {
  readonly place: InputPlace;
  /** Microseconds since 1970, by the source's clock. */
  readonly commitTime: bigint;
}

/** A sink of the stream wants all that an output has now: the log does not hold it any more, or never did for that sink. */
export interface CopyAsk {
  readonly sink: string;
  /** `schema.table` of the output. */
  readonly table: string;
  readonly id: string;
}

/**
 * Where a stream's results go: topics of its own, by the protocol of the log. One caller, one call at a time. A call that rejects
 * may or may not have been carried out: open again and see.
 */
export interface StreamOutputs {
  /**
   * Takes the stream's topics over from whoever wrote them before. Resolves with the input's place of the last results that are
   * durable there; null for none. `anew`: the stream has no past, and what its topics hold counts no longer. Log and system are the input's.
   */
  open(of: { readonly shapes: readonly TableShape[]; readonly logId: string; readonly systemIdentifier: string; readonly anew: boolean }): Promise<{
    readonly input: InputPlace | null;
    /** What was asked for before and has no answer yet. */
    readonly asks: readonly CopyAsk[];
  }>;
  /** Hears what is asked for from now on. */
  onAsk(listener: (ask: CopyAsk) => void): void;
  /** Some of an output's rows, as tuples, for the sink that asked; between two steps. With the `last` the copy is complete. */
  publishCopy(ask: CopyAsk, piece: { readonly shape: TableShape; readonly rows: readonly Uint8Array[]; readonly last: boolean }): Promise<void>;
  /** Some of a step's changes; once its `last` ones are durable, all of them are visible. */
  publish(changes: readonly OutputChange[], step: ResultStep, last: boolean): Promise<void>;
  close(): Promise<void>;
}

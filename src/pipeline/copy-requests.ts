import type { TableShape } from '../event/table.ts';
import type { CopyOrderRecord, SnapshotRecord } from './control-records.ts';
import { answering, askedJob, orderedJob, type CopyAsk } from './copy-jobs.ts';
import type { CopyOrders } from './copy-orders.ts';
import type { CopyJob } from './copy.ts';
import { copyKey } from './log-state.ts';
import type { Snapshotter } from './snapshotter.ts';

export interface CopyRequestsOptions {
  readonly snapshotter: Snapshotter;
  readonly orders: CopyOrders;
  /** Those that are captured now. */
  readonly tables: () => readonly TableShape[];
  /** The newest of each, by `copyKey`. */
  readonly copies: ReadonlyMap<string, SnapshotRecord>;
}

/** Who wants which table copied, on one connection: the pipeline itself, its sinks, and people by commands. */
export class CopyRequests {
  readonly #options: CopyRequestsOptions;
  readonly #asks = new Map<string, CopyAsk>();

  constructor(options: CopyRequestsOptions) {
    this.#options = options;
  }

  get orders(): CopyOrders {
    return this.#options.orders;
  }

  copy(job: CopyJob): void {
    this.#options.snapshotter.add(answering(job, this.orders));
  }

  /** A sink wants a copy of its own. Its newest ask for a table is the one that counts. */
  ask(ask: CopyAsk): void {
    this.#asks.set(copyKey(ask.table, ask.sink), ask);
    this.#answer(ask, this.#options.tables());
  }

  /** Tables have come: what was asked for while none had that name, or by a copy of the one before it, which went, is answered now. */
  came(tables: readonly TableShape[]): void {
    for (const ask of this.#asks.values()) this.#answer(ask, tables);
  }

  /** Does what a command has asked for; it is in the log already. */
  order(order: CopyOrderRecord): void {
    this.orders.take(order);
    const job = orderedJob(order, this.#options.tables(), this.#options.copies);
    if (job !== null) this.copy(job);
    this.#options.snapshotter.obey(order);
  }

  #answer(ask: CopyAsk, tables: readonly TableShape[]): void {
    const job = askedJob(ask, tables, this.#options.copies);
    if (job !== null) this.copy(job);
  }
}

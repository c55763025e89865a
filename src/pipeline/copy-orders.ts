import type { CopyOrderRecord } from './control-records.ts';

/** What commands have asked of the copies, all in all: the orders in `schema`, taken in the order in which they stand there. */
export class CopyOrders {
  #allPaused = false;
  readonly #paused = new Set<string>();
  readonly #stopped = new Set<string>();
  /** The id of the newest order for the whole of a table. */
  readonly #whole = new Map<string, string>();
  /** Orders for some rows, by id, until they are done. */
  readonly #some = new Map<string, CopyOrderRecord>();

  take(order: CopyOrderRecord): void {
    const { table } = order;
    switch (order.action) {
      case 'copy':
        if (table === null) return;
        if (order.where !== null) {
          this.#some.set(order.id, order);
        } else {
          this.#whole.set(table, order.id);
          this.#stopped.delete(table);
        }
        break;
      case 'pause':
        if (table === null) this.#allPaused = true;
        else this.#paused.add(table);
        break;
      case 'resume':
        if (table === null) {
          this.#allPaused = false;
          this.#paused.clear();
        } else this.#paused.delete(table);
        break;
      case 'stop': case 'stop-rows':
        if (table === null) return;
        if (order.action === 'stop') this.#stopped.add(table);
        for (const [id, some] of this.#some) if (some.table === table) this.#some.delete(id);
        break;
    }
  }

  /** An order for some rows that is done. */
  finished(id: string): void {
    this.#some.delete(id);
  }

  get allPaused(): boolean {
    return this.#allPaused;
  }

  isPaused(table: string): boolean {
    return this.#allPaused || this.#paused.has(table);
  }

  /** Whether the table is not to be copied until somebody asks for it anew. */
  isStopped(table: string): boolean {
    return this.#stopped.has(table);
  }

  /** The order that a copy of the whole table must answer to be the newest; null when nobody ever ordered one. */
  whole(table: string): string | null {
    return this.#whole.get(table) ?? null;
  }

  someRows(): readonly CopyOrderRecord[] {
    return [...this.#some.values()];
  }
}

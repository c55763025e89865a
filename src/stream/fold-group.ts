import type { Aggregates, Ordered } from './aggregates.ts';
import { bareObject } from './bare.ts';
import { decodeValue, encodeValue } from './canonical.ts';
import { inconsistent } from './node.ts';
import { orderKey } from './order-key.ts';
import type { State } from './state.ts';

/** A group as it is kept: how many rows it has, and the state of each of its folds. */
interface Kept {
  readonly rows: number;
  readonly folds: Readonly<Record<string, unknown>>;
}

/**
 * The aggregates of one group while a step changes it. Folds are in memory; the values of ordered aggregates are in the state's
 * index at once, so that a group may be of any size.
 */
export class FoldGroup {
  readonly #state: State;
  readonly #node: number;
  readonly #key: string;
  readonly #aggregates: Aggregates;
  readonly #folds: Record<string, unknown>;
  #rows: number;
  /** What it gave before this step; null when it was not there. */
  readonly before: Record<string, unknown> | null;

  constructor(of: { readonly state: State; readonly node: number; readonly aggregates: Aggregates }, key: string) {
    this.#state = of.state;
    this.#node = of.node;
    this.#key = key;
    this.#aggregates = of.aggregates;
    const text = of.state.entry(of.node, key);
    const kept = text === null ? null : (decodeValue(text) as Kept);
    this.#rows = kept?.rows ?? 0;
    this.#folds = { ...kept?.folds };
    this.before = kept === null ? null : this.#results();
  }

  add(row: unknown, times: number): void {
    this.#rows += times;
    for (const [name, aggregate] of Object.entries(this.#aggregates)) {
      if (aggregate.kind === 'fold') {
        const state = name in this.#folds ? this.#folds[name] : aggregate.init();
        this.#folds[name] = aggregate.apply(state as never, row as never, times);
      } else {
        this.#addOrdered(name, aggregate, { row, times });
      }
    }
  }

  /** What the group gives now, kept for the next step; null when no row is left. */
  settle(): Record<string, unknown> | null {
    if (this.#rows < 0) throw inconsistent('a row of a group');
    if (this.#rows === 0) {
      this.drop();
      return null;
    }
    this.#state.setEntry(this.#node, this.#key, encodeValue({ rows: this.#rows, folds: this.#folds } satisfies Kept));
    return this.#results();
  }

  /** Takes the group out of the state. */
  drop(): void {
    this.#state.setEntry(this.#node, this.#key, null);
    for (const [name, aggregate] of Object.entries(this.#aggregates)) if (aggregate.kind === 'ordered') this.#state.dropOrdered(this.#node, this.#index(name));
  }

  #addOrdered(name: string, aggregate: Ordered<unknown>, { row, times }: { readonly row: unknown; readonly times: number }): void {
    const by = aggregate.by(row as never);
    if (by === null || by === undefined) return;
    const at = { key: this.#index(name), ord: orderKey(by, aggregate.numeric), item: encodeValue(aggregate.item(row as never)) };
    if (this.#state.order(this.#node, at, times) < 0) throw inconsistent('a value of a group');
  }

  #results(): Record<string, unknown> {
    const results = bareObject<unknown>();
    for (const [name, aggregate] of Object.entries(this.#aggregates)) {
      if (aggregate.kind === 'ordered') results[name] = aggregate.result(this.#first(name, aggregate));
      else results[name] = aggregate.result((name in this.#folds ? this.#folds[name] : aggregate.init()) as never);
    }
    return results;
  }

  #first(name: string, aggregate: Ordered<unknown>): readonly unknown[] {
    const items: unknown[] = [];
    for (const { item, n } of this.#state.first(this.#node, this.#index(name), aggregate)) {
      for (let i = 0; i < n && items.length < aggregate.take; i++) items.push(decodeValue(item));
    }
    return items;
  }

  #index(name: string): string {
    return `${name}\0${this.#key}`;
  }
}

/** The aggregates of rows that are all at hand, in any order. */
export function aggregateRows(aggregates: Aggregates, rows: readonly { readonly row: unknown; readonly n: number }[]): Record<string, unknown> {
  const results = bareObject<unknown>();
  for (const [name, aggregate] of Object.entries(aggregates)) {
    if (aggregate.kind === 'fold') {
      const folded = rows.reduce((state, { row, n }) => aggregate.apply(state as never, row as never, n), aggregate.init());
      results[name] = aggregate.result(folded as never);
    } else {
      results[name] = aggregate.result(firstOf(aggregate, rows));
    }
  }
  return results;
}

function firstOf(aggregate: Ordered<unknown>, rows: readonly { readonly row: unknown; readonly n: number }[]): readonly unknown[] {
  const sign = aggregate.direction === 'ascending' ? 1 : -1;
  const values = rows
    .filter(({ row }) => (aggregate.by(row as never) ?? null) !== null)
    .map(({ row, n }) => ({ n, ord: orderKey(aggregate.by(row as never), aggregate.numeric), item: encodeValue(aggregate.item(row as never)) }))
    .sort((a, b) => sign * Buffer.compare(a.ord, b.ord) || (a.item < b.item ? -1 : a.item > b.item ? 1 : 0));
  return values.flatMap(({ n, item }) => new Array<string>(Math.min(n, aggregate.take)).fill(item)).slice(0, aggregate.take).map(decodeValue);
}

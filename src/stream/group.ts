import type { Aggregates } from './aggregates.ts';
import { decodeValue, encodeValue } from './canonical.ts';
import { FoldGroup } from './fold-group.ts';
import type { Emit, Node } from './node.ts';
import { orderKey } from './order-key.ts';
import type { State } from './state.ts';
import type { Late } from './stream.ts';
import { Watermark } from './watermark.ts';
import { windowStarts, type WindowSpec } from './windows.ts';

export interface GroupOptions {
  readonly id: number;
  readonly key: (row: never) => object;
  readonly aggregates: Aggregates;
  readonly state: State;
  readonly emit: Emit;
}

/** Groups that a step has touched are told at its end, or when there are this many. */
const mostDirty = 10_000;

/** Changes of groups are told once a step: what a group gave before goes, what it gives now comes. */
class DirtyGroups {
  readonly #options: GroupOptions;
  readonly #groups = new Map<string, { readonly key: object; readonly group: FoldGroup }>();
  /** Whether what a group gives is told as it changes. */
  readonly #tells: boolean;

  constructor(options: GroupOptions, tells: boolean) {
    this.#options = options;
    this.#tells = tells;
  }

  /** Returns whether the group is new in this step and was not there before. */
  add(key: object, row: unknown, times: number): boolean {
    const text = encodeValue(key);
    let dirty = this.#groups.get(text);
    const touched = dirty !== undefined;
    if (dirty === undefined) {
      if (this.#groups.size >= mostDirty) this.settle();
      const { state, id, aggregates } = this.#options;
      this.#groups.set(text, (dirty = { key, group: new FoldGroup({ state, node: id, aggregates }, text) }));
    }
    dirty.group.add(row, times);
    return !touched && dirty.group.before === null;
  }

  settle(): void {
    const { emit } = this.#options;
    for (const { key, group } of this.#groups.values()) {
      const after = group.settle();
      const { before } = group;
      if (!this.#tells || (before !== null && after !== null && encodeValue(before) === encodeValue(after))) continue;
      if (before !== null) emit({ ...key, ...before }, -1);
      if (after !== null) emit({ ...key, ...after }, 1);
    }
    this.#groups.clear();
  }
}

export class GroupNode implements Node {
  readonly #key: (row: unknown) => object;
  readonly #dirty: DirtyGroups;

  constructor(options: GroupOptions) {
    this.#key = options.key as (row: unknown) => object;
    this.#dirty = new DirtyGroups(options, true);
  }

  receive(_port: number, row: unknown, times: number): void {
    this.#dirty.add(this.#key(row), row, times);
  }

  flush(): void {
    this.#dirty.settle();
  }
}

/** Where the ends of open windows are kept, in their order. */
const endsKey = '\0ends';

/**
 * Groups within windows of one size. A window is open while a row of it may still come, by the event times seen so far; what
 * comes later goes to `late`, and a closed window's group is taken out of the state: its result stands.
 */
export class WindowNode implements Node {
  readonly #options: GroupOptions;
  readonly #spec: WindowSpec;
  readonly #size: { readonly size: number; readonly every: number };
  readonly #key: (row: unknown) => object;
  readonly #at: (row: unknown) => number | null;
  readonly #late: Emit;
  readonly #dirty: DirtyGroups;
  readonly #watermark: Watermark;

  constructor(options: GroupOptions, spec: WindowSpec & { readonly shape: { readonly kind: 'fixed'; readonly size: number; readonly every: number } }, late: Emit) {
    this.#options = options;
    this.#spec = spec;
    this.#size = spec.shape;
    this.#key = options.key as (row: unknown) => object;
    this.#at = spec.at as (row: unknown) => number | null;
    this.#late = late;
    this.#dirty = new DirtyGroups(options, spec.emit === 'changes');
    this.#watermark = new Watermark({ state: options.state, node: options.id, grace: spec.grace });
  }

  receive(_port: number, row: unknown, times: number): void {
    const at = this.#at(row);
    if (at === null || !Number.isFinite(at)) return;
    const missed: number[] = [];
    for (const start of windowStarts(at, this.#size)) {
      if (start + this.#size.size <= this.#watermark.value) missed.push(start);
      else this.#add(start, row, times);
    }
    if (missed.length > 0) this.#late({ row, removed: times < 0, missed } satisfies Late<unknown>, Math.abs(times));
    if (times > 0) this.#watermark.see(at);
  }

  pass(_port: number, row: unknown, times: number): void {
    const at = this.#at(row);
    if (at !== null && Number.isFinite(at) && times > 0) this.#watermark.see(at);
  }

  flush(): void {
    this.#dirty.settle();
    if (this.#watermark.settle()) this.#close();
  }

  #add(start: number, row: unknown, times: number): void {
    const end = start + this.#size.size;
    const key = { ...this.#key(row), window_start: start, window_end: end };
    if (!this.#dirty.add(key, row, times)) return;
    const { state, id } = this.#options;
    state.order(id, { key: endsKey, ord: orderKey(end), item: encodeValue(key) }, 1);
  }

  #close(): void {
    const { state, id, aggregates, emit } = this.#options;
    for (;;) {
      const closed = state.upTo(id, endsKey, orderKey(this.#watermark.value), 1000);
      for (const { ord, item, n } of closed) {
        state.order(id, { key: endsKey, ord, item }, -n);
        const group = new FoldGroup({ state, node: id, aggregates }, item);
        if (this.#spec.emit === 'closed' && group.before !== null) emit({ ...(decodeValue(item) as object), ...group.before }, 1);
        group.drop();
      }
      if (closed.length < 1000) return;
    }
  }
}

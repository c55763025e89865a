import { aggregateRows } from './fold-group.ts';
import { decodeValue, encodeValue } from './canonical.ts';
import type { GroupOptions } from './group.ts';
import { inconsistent, type Emit, type Node } from './node.ts';
import { orderKey } from './order-key.ts';
import type { State } from './state.ts';
import type { Late } from './stream.ts';
import { Watermark } from './watermark.ts';
import type { WindowSpec } from './windows.ts';

/** A row in its session's index, as `encodeValue` keeps it. */
interface Placed {
  readonly at: number;
  readonly row: unknown;
}

interface Session {
  readonly start: number;
  /** Behind the last row by the gap. */
  readonly end: number;
  readonly rows: readonly { readonly row: unknown; readonly n: number; readonly at: number }[];
}

/** Where the ends of open sessions are kept, in their order. */
const endsKey = '\0ends';

/**
 * Groups within sessions: rows of one key no further than `gap` apart. A row can lengthen a session, join two, and its going can
 * part one; so the rows of open sessions are kept in order of their times and a session that changes is added up anew.
 */
export class SessionNode implements Node {
  readonly #options: GroupOptions;
  readonly #spec: WindowSpec;
  readonly #gap: number;
  readonly #late: Emit;
  readonly #watermark: Watermark;

  constructor(options: GroupOptions, spec: WindowSpec & { readonly shape: { readonly kind: 'session'; readonly gap: number } }, late: Emit) {
    this.#options = options;
    this.#spec = spec;
    this.#gap = spec.shape.gap;
    this.#late = late;
    this.#watermark = new Watermark({ state: options.state, node: options.id, grace: spec.grace });
  }

  receive(_port: number, row: unknown, times: number): void {
    const at = (this.#spec.at as (row: unknown) => number | null)(row);
    if (at === null || !Number.isFinite(at)) return;
    if (at + this.#gap <= this.#watermark.value) {
      this.#late({ row, removed: times < 0, missed: [at] } satisfies Late<unknown>, Math.abs(times));
      return;
    }
    const fields = (this.#options.key as (row: unknown) => object)(row);
    const key = encodeValue(fields);
    for (const session of this.#around(key, at)) this.#tell({ fields, key, session }, -1);
    this.#place(key, { at, row }, times);
    for (const session of this.#around(key, at)) this.#tell({ fields, key, session }, 1);
    if (times > 0) this.#watermark.see(at);
  }

  pass(_port: number, row: unknown, times: number): void {
    const at = (this.#spec.at as (row: unknown) => number | null)(row);
    if (at !== null && Number.isFinite(at) && times > 0) this.#watermark.see(at);
  }

  flush(): void {
    if (this.#watermark.settle()) this.#close();
  }

  #place(key: string, placed: Placed, times: number): void {
    const { state, id } = this.#options;
    if (state.order(id, { key, ord: orderKey(placed.at), item: encodeValue(placed) }, times) < 0) throw inconsistent('a row of a session');
  }

  /** The sessions that hold `at` or lie within the gap of it: one, or two that it parts. */
  #around(key: string, at: number): readonly Session[] {
    const left = this.#reach(key, { from: at, direction: 'descending' });
    const right = this.#reach(key, { from: at, direction: 'ascending' });
    const joined = left.length > 0 && right.length > 0 && (right[0] as Placed).at - (left[0] as Placed).at <= this.#gap;
    const before = left.toReversed();
    // Rows at `at` itself are in both walks.
    const after = right.filter((placed) => left.length === 0 || placed.at > (left[0] as Placed).at);
    return (joined ? [[...before, ...after]] : [before, after]).filter((rows) => rows.length > 0).map((rows) => sessionOf(rows, this.#gap));
  }

  /** The rows of a session, from a place on in one direction: the first no further than the gap, each next likewise. */
  #reach(key: string, of: { readonly from: number; readonly direction: 'ascending' | 'descending' }): Session['rows'] {
    const rows: { row: unknown; n: number; at: number }[] = [];
    let last = of.from;
    for (const { item, n } of this.#options.state.walk(this.#options.id, key, { ord: orderKey(of.from), direction: of.direction })) {
      const { at, row } = decodeValue(item) as Placed;
      if (Math.abs(at - last) > this.#gap) break;
      rows.push({ at, row, n });
      last = at;
    }
    return rows;
  }

  /** A session goes or comes: what it gives, and when it closes. */
  #tell({ fields, key, session }: { readonly fields: object; readonly key: string; readonly session: Session }, times: number): void {
    const { state, id, emit } = this.#options;
    state.order(id, { key: endsKey, ord: orderKey(session.end), item: encodeValue({ key, end: session.end }) }, times);
    if (this.#spec.emit === 'changes') emit(this.#result(fields, session), times);
  }

  #result(fields: object, { start, end, rows }: Session): object {
    return { ...fields, window_start: start, window_end: end, ...aggregateRows(this.#options.aggregates, rows) };
  }

  #close(): void {
    const { state, id, emit } = this.#options;
    for (let [due] = this.#due(); due !== undefined; [due] = this.#due()) {
      const { key, end } = decodeValue(due.item) as { key: string; end: number };
      state.order(id, { key: endsKey, ord: due.ord, item: due.item }, -1);
      for (const session of this.#around(key, end - this.#gap)) {
        if (this.#spec.emit === 'closed') emit(this.#result(decodeValue(key) as object, session), 1);
        for (const { at, row, n } of session.rows) this.#place(key, { at, row }, -n);
      }
    }
  }

  #due(): ReturnType<State['upTo']> {
    return this.#options.state.upTo(this.#options.id, endsKey, orderKey(this.#watermark.value), 1);
  }
}

function sessionOf(rows: Session['rows'], gap: number): Session {
  return { start: (rows[0] as Placed).at, end: (rows.at(-1) as Placed).at + gap, rows };
}

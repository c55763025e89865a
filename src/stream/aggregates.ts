import { divide, formatDecimal, parseDecimal } from './decimal.ts';
import { addTo, newSum, sumOf, toDecimal, type SumState } from './sum.ts';

/**
 * How a group's rows become one value, and how a row is taken back out again. `fold` keeps a small state; `ordered` needs the
 * group's values in order, which the engine keeps in an index: the state of the largest group stays out of memory.
 */
export type Aggregate<Out> = Fold<Out> | Ordered<Out>;

export interface Fold<Out> {
  readonly kind: 'fold';
  /** States are what `encodeValue` can keep. */
  readonly init: () => unknown;
  /** `times` is 1 for a row that came and -1 for one that went; larger for equal rows that come at once. */
  readonly apply: (state: never, row: never, times: number) => unknown;
  readonly result: (state: never) => Out;
}

export interface Ordered<Out> {
  readonly kind: 'ordered';
  /** By what values are ordered; null is left out. */
  readonly by: (row: never) => unknown;
  /** Texts of numbers are ordered as numbers. */
  readonly numeric: boolean;
  readonly direction: 'ascending' | 'descending';
  /** How many of the first are looked at. */
  readonly take: number;
  readonly item: (row: never) => unknown;
  readonly result: (items: readonly unknown[]) => Out;
}

export type Aggregates = Readonly<Record<string, Aggregate<unknown>>>;

/** What a value of a sum may be: NULL counts nowhere. A text is a `numeric`. */
export type Summable = number | bigint | string | null | undefined;

/** How many rows; with `of`, how many for which it is not null. */
export function count<Row>(of?: (row: Row) => unknown): Aggregate<number> {
  return fold<Row, number, number>({
    init: () => 0,
    apply: (state, row, times) => (of !== undefined && of(row) == null ? state : state + times),
    result: (state) => state,
  });
}

/**
 * The exact sum: of numbers a number (rounded once, at the end), of bigints a bigint, of texts (`numeric`) a text with the scale that
 * Postgres's own sum has. Null when there is nothing to add up.
 */
export function sum<Row, V extends Summable>(of: (row: Row) => V): Aggregate<NonNullable<V> | null> {
  return fold<Row, SumState, NonNullable<V> | null>({
    init: newSum,
    apply: (state, row, times) => addTo(state, of(row), times),
    result: (state) => sumOf(state) as NonNullable<V> | null,
  });
}

/** The mean, as a decimal text with `digits` behind the point, rounded half away from zero; null when there is nothing. */
export function average<Row>(of: (row: Row) => Summable, digits = 16): Aggregate<string | null> {
  return fold<Row, SumState, string | null>({
    init: newSum,
    apply: (state, row, times) => addTo(state, of(row), times),
    result: (state) => {
      if (state.count === 0) return null;
      const total = toDecimal(state);
      return typeof total === 'string' ? total : formatDecimal(divide(total, BigInt(state.count), digits));
    },
  });
}

export function min<Row, V>(of: (row: Row) => V, options: { readonly numeric?: boolean } = {}): Aggregate<NonNullable<V> | null> {
  return extreme(of, 'ascending', options.numeric ?? false);
}

/** Texts are compared by code point; `numeric: true` compares texts of numbers as numbers. */
export function max<Row, V>(of: (row: Row) => V, options: { readonly numeric?: boolean } = {}): Aggregate<NonNullable<V> | null> {
  return extreme(of, 'descending', options.numeric ?? false);
}

function extreme<Row, V>(of: (row: Row) => V, direction: Ordered<unknown>['direction'], numeric: boolean): Aggregate<NonNullable<V> | null> {
  const result = (items: readonly unknown[]): NonNullable<V> | null => (items[0] ?? null) as NonNullable<V> | null;
  return { kind: 'ordered', by: of, numeric, direction, take: 1, item: of, result };
}

/** The `n` rows that are first by `by`: the largest, or with `order: 'ascending'` the smallest. Equal ones by their content. */
export function top<Row, Item = Row>(
  n: number,
  options: { readonly by: (row: Row) => unknown; readonly item?: (row: Row) => Item; readonly order?: 'ascending' | 'descending'; readonly numeric?: boolean },
): Aggregate<readonly Item[]> {
  const item = (options.item ?? ((row: Row) => row));
  return {
    kind: 'ordered', by: options.by, numeric: options.numeric ?? false, direction: options.order ?? 'descending', take: n, item,
    result: (items) => items as readonly Item[],
  };
}

/** An aggregate of your own. `apply` must be its own inverse for `times` of the other sign: what was added can be taken away. */
export function fold<Row, State, Out>(of: { readonly init: () => State; readonly apply: (state: State, row: Row, times: number) => State; readonly result: (state: State) => Out }): Aggregate<Out> {
  return { kind: 'fold', init: of.init, apply: of.apply, result: of.result };
}

/** Adds and multiplies decimal texts exactly, for use in `map`; null when one of them is. */
export function multiply(a: Summable, b: Summable): string | null {
  if (a == null || b == null) return null;
  const [left, right] = [parseDecimal(String(a)), parseDecimal(String(b))];
  if (left === null || right === null) return 'NaN';
  return formatDecimal({ unscaled: left.unscaled * right.unscaled, scale: left.scale + right.scale });
}

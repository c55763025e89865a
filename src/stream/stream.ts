import type { Aggregate, Aggregates } from './aggregates.ts';
import { JoinWindows, joinWindowOf, type JoinWindow, type LateOfJoin } from './join-windows.ts';
import { shapeOf } from './output-types.ts';
import type { JoinSides, Operator, Output, Plan } from './plan.ts';
import type { Row } from './value.ts';
import { durationOf, type WindowShape, type WindowSpec } from './windows.ts';

/** What a module describes; made by `stream`. */
export interface StreamDefinition {
  readonly plan: Plan;
}

/** What `stream` made in this program: an object that only looks like it does not pass. */
const made = new WeakSet<object>();

export function isStreamDefinition(value: unknown): value is StreamDefinition {
  return typeof value === 'object' && value !== null && made.has(value);
}

/**
 * Describes a stream: continual calculations over the tables of a pipeline, whose results are tables of their own. The function
 * is called once; what it calls builds the plan. The functions that it gives to `map` and the like are called for every row
 * that comes, and again when the row goes: each must give the same for the same row.
 */
export function stream(describe: (sources: Sources) => void): StreamDefinition {
  const builder = new Builder();
  describe({
    table: <T extends object = Row>(name: string) => new Rows<T>(builder, builder.table(name), { events: false }),
    changes: <T extends object = Row>(name: string) =>
      new Rows<Change<T>>(builder, builder.add({ kind: 'changes', input: builder.table(name) }), { events: true }),
  });
  const definition = { plan: builder.plan() };
  made.add(definition);
  return definition;
}

/** Where rows come from; tables are named `schema.table`. */
export interface Sources {
  /** A captured table as it is at every moment: rows come, change and go. */
  readonly table: <T extends object = Row>(name: string) => Rows<T>;
  /** Each change of a captured table as an event, in order. */
  readonly changes: <T extends object = Row>(name: string) => Rows<Change<T>>;
}

/** One change of a row as an event. */
export interface Change<T> {
  /** `r` is a row that stood there before, `t` a truncate, which has no rows. */
  readonly op: 'c' | 'u' | 'd' | 'r' | 't';
  readonly before: T | null;
  readonly after: T | null;
  /** When it was committed at the source, milliseconds since 1970 by the source's clock. */
  readonly at: number;
}

type AnyOperator = Operator extends infer O ? (O extends Operator ? Omit<O, 'id'> : never) : never;

class Builder {
  readonly #operators: Operator[] = [];

  add(operator: AnyOperator): number {
    const id = this.#operators.length;
    this.#operators.push({ ...operator, id });
    return id;
  }

  /** The operator that follows a table: one, however often it is named. */
  table(name: string): number {
    if (!/^[^.]+\..+$/.test(name)) throw new TypeError(`${JSON.stringify(name)}: a table is named schema.table`);
    const known = this.#operators.find((operator) => operator.kind === 'table' && operator.table === name);
    return known?.id ?? this.add({ kind: 'table', table: name });
  }

  output(output: Output): void {
    const known = this.#operators.some((operator) => operator.kind === 'output' && operator.output.schema === output.schema && operator.output.name === output.name);
    if (known) throw new TypeError(`two outputs are called ${output.schema}.${output.name}`);
  }

  plan(): Plan {
    if (!this.#operators.some((operator) => operator.kind === 'output')) throw new TypeError('the stream has no output: end it with .to(name, …)');
    return { operators: this.#operators };
  }
}

/**
 * Rows, each of them as often as it is there. What is made of them follows when they change or go. `events: true` are rows that
 * only ever come: changes of a table, and what is made of those one by one.
 */
export class Rows<T> {
  readonly #builder: Builder;
  readonly #id: number;
  readonly #events: boolean;

  constructor(builder: Builder, id: number, of: { readonly events: boolean }) {
    this.#builder = builder;
    this.#id = id;
    this.#events = of.events;
  }

  map<U>(each: (row: T) => U): Rows<U> {
    return this.flatMap((row) => [each(row)]);
  }

  filter(keep: (row: T) => boolean): Rows<T> {
    return this.flatMap((row) => (keep(row) ? [row] : []));
  }

  flatMap<U>(each: (row: T) => Iterable<U>): Rows<U> {
    return this.#next<U>({ kind: 'flat-map', input: this.#id, each: each });
  }

  /** The rows of both. */
  merge(other: Rows<T>): Rows<T> {
    return new Rows<T>(this.#builder, this.#builder.add({ kind: 'merge', inputs: [this.#id, other.#id] }), { events: this.#events && other.#events });
  }

  /** Every pair of rows whose keys are equal; a change of either side changes the result. Keys with a null in them meet nobody. */
  join<R, U>(right: Rows<R>, on: JoinOn<T, R, U>): Rows<U> {
    return this.#pair<R, U>(right, on, false);
  }

  /** As `join`; a row without a partner comes once, with null on the right. */
  leftJoin<R, U>(right: Rows<R>, on: JoinOn<T, R | null, U, R>): Rows<U> {
    return this.#pair<R, U>(right, on, true);
  }

  /**
   * Joins with the rows of `right` whose event time is near: from `before` earlier to `after` later than the row's own. A change of
   * either side changes the result, until no row that could meet it may come any more.
   */
  within<R>(right: Rows<R>, window: JoinWindow<T, R>): JoinWindows<T, R> {
    const spec = joinWindowOf(window);
    return new JoinWindows<T, R>((on, keep) => {
      const id = this.#builder.add({ kind: 'window-join', ...sides(this.#id, right.#id, on as JoinOn<T, R, unknown>), keep, window: spec });
      const events = spec.emit === 'closed' || (this.#events && right.#events && keep === 'neither');
      return { rows: new Rows<never>(this.#builder, id, { events }), late: new Rows<LateOfJoin<T, R>>(this.#builder, this.#builder.add({ kind: 'late', input: id }), { events: true }) };
    });
  }

  /**
   * Each event with the rows that `right` has at that moment, or with null where it has none. What is changed there later changes
   * nothing: this is for events. Within one transaction of the source, tables are taken one after the other in the order in
   * which it touched them first.
   */
  lookup<R, U>(right: Rows<R>, on: JoinOn<T, R | null, U, R>): Rows<U> {
    if (!this.#events) throw new TypeError('lookup is for events, such as table.changes(): for rows that change use join or leftJoin');
    return this.#next<U>({ kind: 'lookup', ...sides(this.#id, right.#id, on as JoinOn<T, R, U>) });
  }

  /** One group for each key; the key's fields become columns of the result. */
  groupBy<K extends object>(key: (row: T) => K): Groups<T, K> {
    return new Groups<T, K>((window, aggregates) => {
      const id = this.#builder.add({ kind: 'group', input: this.#id, key: key, aggregates, window });
      return { rows: new Rows(this.#builder, id, { events: window?.emit === 'closed' }), late: () => new Rows<Late<T>>(this.#builder, this.#builder.add({ kind: 'late', input: id }), { events: true }) };
    });
  }

  /**
   * Writes the rows to a table of the stream: `name` or `schema.name` (public without one). With a `key` the table has one row for each
   * key, and two rows of one key are an error. Events have no key: they are only ever added.
   */
  to(name: string, as: { readonly columns: Readonly<Record<string, string>>; readonly key?: readonly string[] }): void {
    const [schema, table] = name.includes('.') ? [name.slice(0, name.indexOf('.')), name.slice(name.indexOf('.') + 1)] : ['public', name];
    const columns = Object.entries(as.columns).map(([column, type]) => ({ name: column, type }));
    const key = as.key ?? [];
    for (const column of key) if (!Object.hasOwn(as.columns, column)) throw new TypeError(`${name}: the key column ${column} is not among the columns`);
    if (key.length === 0 && !this.#events) throw new TypeError(`${name}: rows that change need a key, the columns by which one is told from another`);
    const output: Output = { schema, name: table, columns, key };
    shapeOf(output);
    this.#builder.output(output);
    this.#builder.add({ kind: 'output', input: this.#id, output });
  }

  #pair<R, U>(right: Rows<R>, on: JoinOn<T, R, U>, keepLeft: boolean): Rows<U> {
    const id = this.#builder.add({ kind: 'join', ...sides(this.#id, right.#id, on), keepLeft });
    return new Rows<U>(this.#builder, id, { events: this.#events && right.#events && !keepLeft });
  }

  #next<U>(operator: AnyOperator): Rows<U> {
    return new Rows<U>(this.#builder, this.#builder.add(operator), { events: this.#events });
  }
}

export interface JoinOn<L, R, U, Found = R> {
  readonly left: (row: L) => unknown;
  readonly right: (row: Found) => unknown;
  readonly combine: (left: L, right: R) => U;
}

function sides<L, R, U>(left: number, right: number, on: JoinOn<L, R, U>): JoinSides {
  return { left, right, leftKey: on.left, rightKey: on.right, combine: on.combine };
}

/** What the aggregates give, by their names. */
export type Results<A extends Aggregates> = { readonly [Name in keyof A]: A[Name] extends Aggregate<infer Out> ? Out : never };

type Make<T> = (window: WindowSpec | null, aggregates: Aggregates) => { readonly rows: Rows<unknown>; readonly late: () => Rows<Late<T>> };

/** Rows by key, to be made one value each. */
export class Groups<T, K extends object> {
  readonly #make: Make<T>;

  constructor(make: Make<T>) {
    this.#make = make;
  }

  /** One row a key: its fields and those of the aggregates. A group whose last row goes is gone. */
  aggregate<A extends Aggregates>(aggregates: A): Rows<K & Results<A>> {
    return this.#make(null, aggregates).rows as Rows<K & Results<A>>;
  }

  /**
   * Windows of event time. `grace` is how long after the newest event time a row may still come; what comes later than that is in
   * `late` of the result and changes nothing. Windows that nothing can change any more take no room.
   */
  window(shape: WindowShape, options: WindowOptions<T>): Windows<T, K> {
    return new Windows<T, K>(this.#make, {
      shape, at: options.at, grace: options.grace === undefined ? 0 : durationOf(options.grace), emit: options.emit ?? 'changes',
    });
  }
}

export interface WindowOptions<T> {
  /** A row's event time, milliseconds since 1970: `time(row.created_at)`. Null is in no window. */
  readonly at: (row: T) => number | null;
  /** `10s`; none without it. */
  readonly grace?: string;
  /** `changes` (default) or `closed`: see the documentation of windows. */
  readonly emit?: 'changes' | 'closed';
}

/** A row that came, or was taken away, when a window of it was closed. */
export interface Late<T> {
  readonly row: T;
  readonly removed: boolean;
  /** Starts of the windows that it does not count in, milliseconds since 1970; of a session, the row's own time. */
  readonly missed: readonly number[];
}

/** Which window a result is of, milliseconds since 1970; the end is outside. */
export interface WindowBounds {
  readonly window_start: number;
  readonly window_end: number;
}

export class Windows<T, K extends object> {
  readonly #make: Make<T>;
  readonly #spec: WindowSpec;

  constructor(make: Make<T>, spec: WindowSpec) {
    this.#make = make;
    this.#spec = spec;
  }

  aggregate<A extends Aggregates>(aggregates: A): { readonly rows: Rows<K & WindowBounds & Results<A>>; readonly late: Rows<Late<T>> } {
    const { rows, late } = this.#make(this.#spec, aggregates);
    return { rows: rows as Rows<K & WindowBounds & Results<A>>, late: late() };
  }
}

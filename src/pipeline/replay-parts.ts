import type { TableSchema } from '../event/table.ts';
import { inCommitOrder, inOrdinalOrder, type SharesByTopic } from './commit-order.ts';
import type { EndRecord } from './control-records.ts';
import type { Step } from './end-follower.ts';
import type { Run, TransactionReader } from './transaction-reader.ts';

/** What goes to a sink together, and what is said of tables behind it. */
export interface ReplayPart<T> {
  readonly shares: SharesByTopic<T>;
  readonly shapes: readonly ShapeOf<T>[];
}

export interface ShapeOf<T> {
  readonly table: TableSchema;
  readonly tag: T;
  readonly end: EndRecord;
}

/**
 * Which transactions are taken together: all of them, table by table, or one at a time. One that says what tables are is always by
 * itself: a table's rows may stand under one name before it and under another behind it.
 */
export function togetherOf(steps: readonly Step[], inCommitOrder: boolean): readonly (readonly Step[])[] {
  if (inCommitOrder) return steps.map((step) => [step]);
  const parts: Step[][] = [];
  for (const [i, step] of steps.entries()) {
    const apart = step.end.shapes !== undefined || steps[i - 1]?.end.shapes !== undefined;
    if (i === 0 || apart) parts.push([step]);
    else parts.at(-1)?.push(step);
  }
  return parts;
}

/** Cut in front of each that says how far a copy is: what is asked of the copies at a transaction must not know of later ones. */
export function stretchesOf(steps: readonly Step[]): readonly (readonly Step[])[] {
  const cuts = steps.flatMap(({ end, afterGap }, i) => (i > 0 && (afterGap || end.snapshot?.first === true || end.snapshot?.last === true || end.shapes !== undefined) ? [i] : []));
  return [0, ...cuts].map((from, i) => steps.slice(from, cuts[i]));
}

export interface RunOptions {
  readonly newReader: () => TransactionReader;
  /** For going table by table; null for one transaction after the other. */
  readonly reader: TransactionReader | null;
  readonly maxBytes: number;
  /** No run goes over the end of a transaction. */
  readonly apart?: boolean;
}

/** The events of a batch in the order in which they are written; a shape is a run without events. */
export async function* runsOf<T>(batch: readonly ReplayPart<T>[], options: RunOptions): AsyncGenerator<Run<T>> {
  const { newReader, maxBytes } = options;
  for (const { parts, shapes } of stretches(batch)) {
    if (shapes.length > 0) for (const shares of parts) yield* inOrdinalOrder(newReader, shares, maxBytes);
    else if (options.reader === null) yield* inCommitOrder(newReader, parts, maxBytes);
    else for (const shares of parts) yield* byTable(shares, { ...options, reader: options.reader });
    // A table becomes what it is there, whether a row follows or not.
    for (const { table, tag, end } of shapes) yield { table, tag, changes: [], first: 0, last: { end, ordinal: 0 } };
  }
}

async function* byTable<T>(shares: SharesByTopic<T>, { reader, maxBytes, apart }: RunOptions & { readonly reader: TransactionReader }): AsyncGenerator<Run<T>> {
  for (const ofTopic of shares.values()) {
    if (apart === true) for (const share of ofTopic) yield* reader.read([share], maxBytes);
    else yield* reader.read(ofTopic, maxBytes);
  }
}

/** Parts that say nothing of tables are read along each other. */
function stretches<T>(batch: readonly ReplayPart<T>[]): readonly { readonly parts: readonly SharesByTopic<T>[]; readonly shapes: readonly ShapeOf<T>[] }[] {
  const found: { parts: SharesByTopic<T>[]; shapes: readonly ShapeOf<T>[] }[] = [];
  for (const { shares, shapes } of batch) {
    const last = found.at(-1);
    if (last === undefined || last.shapes.length > 0 || shapes.length > 0) found.push({ parts: [shares], shapes });
    else last.parts.push(shares);
  }
  return found;
}

/** The same runs, each of them read while the one before it is being written. */
export async function* ahead<T>(runs: AsyncGenerator<Run<T>>): AsyncGenerator<Run<T>> {
  const read = (): Promise<IteratorResult<Run<T>>> => {
    const next = runs.next();
    // Whoever asks for it hears of it; nobody asks where the one before could not be written.
    next.catch(() => undefined);
    return next;
  };
  let next = read();
  try {
    for (let result = await next; result.done !== true; result = await next) {
      next = read();
      yield result.value;
    }
  } finally {
    await next.catch(() => undefined);
    await runs.return(undefined);
  }
}

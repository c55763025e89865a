import type { Share } from './partition-feed.ts';
import type { Run, TransactionReader } from './transaction-reader.ts';

/** What some transactions hold for a reader, by topic and in order there. */
export type SharesByTopic<T> = ReadonlyMap<string, readonly Share<T>[]>;

interface Placed<T> {
  readonly tag: T;
  readonly transaction: number;
}

/** The tag that a share was given here, whether it is read in commit order or not. */
export function ownTag<T extends string>(tag: unknown): T {
  return (typeof tag === 'string' ? tag : (tag as Placed<T>).tag) as T;
}

/**
 * The events of transactions that follow each other, one transaction after the other, table by table within each. Every topic is read
 * once, along all of them: each has a reader of its own, because readers know one place, and not one fetch a transaction.
 */
export async function* inCommitOrder<T>(newReader: () => TransactionReader, transactions: readonly SharesByTopic<T>[], maxBytes: number): AsyncGenerator<Run<T>> {
  const byTopic = new Map<string, Share<Placed<T>>[]>();
  for (const [transaction, shares] of transactions.entries()) {
    for (const [topic, own] of shares) {
      const known = byTopic.get(topic);
      const all = known ?? [];
      if (known === undefined) byTopic.set(topic, all);
      // One for all partitions: runs are told apart by it.
      const tags = new Map<T, Placed<T>>();
      for (const share of own) {
        const tag = tags.get(share.tag) ?? { tag: share.tag, transaction };
        tags.set(share.tag, tag);
        all.push({ ...share, tag });
      }
    }
  }
  const walks = new Map([...byTopic].map(([topic, shares]) => [topic, new Walk(newReader().read(shares, maxBytes))]));
  try {
    for (const [transaction, shares] of transactions.entries()) {
      for (const topic of shares.keys()) {
        const walk = walks.get(topic) as Walk<T>;
        for (let run = await walk.next(transaction); run !== null; run = await walk.next(transaction)) yield run;
      }
    }
  } finally {
    for (const walk of walks.values()) await walk.close();
  }
}

/** One topic's runs; a run has one tag, and so is of one transaction. */
class Walk<T> {
  readonly #runs: AsyncGenerator<Run<Placed<T>>>;
  #ahead: Run<Placed<T>> | null = null;

  constructor(runs: AsyncGenerator<Run<Placed<T>>>) {
    this.#runs = runs;
  }

  /** The next run of this transaction; null when there is no more of it. */
  async next(transaction: number): Promise<Run<T> | null> {
    if (this.#ahead === null) {
      const next = await this.#runs.next();
      this.#ahead = next.done === true ? null : next.value;
    }
    const run = this.#ahead;
    if (run === null || run.tag.transaction !== transaction) return null;
    this.#ahead = null;
    return { ...run, tag: run.tag.tag };
  }

  async close(): Promise<void> {
    await this.#runs.return(undefined);
  }
}

/**
 * The events of one transaction as they happened, as far as one table's rows stand under two names, or two tables' under one: runs of
 * one version of one table, by their first ordinals. Whatever is of a table before it got another name comes before the rest of it.
 */
export async function* inOrdinalOrder<T>(newReader: () => TransactionReader, shares: SharesByTopic<T>, maxBytes: number): AsyncGenerator<Run<T>> {
  const walks = [...shares.values()].map((own) => newReader().read(own, maxBytes));
  try {
    const ahead = await Promise.all(walks.map(async (walk) => ({ walk, run: await walk.next() })));
    for (;;) {
      let next: (typeof ahead)[number] | null = null;
      for (const one of ahead) if (one.run.done !== true && (next === null || one.run.value.first < (next.run.value as Run<T>).first)) next = one;
      if (next === null) return;
      yield next.run.value as Run<T>;
      next.run = await next.walk.next();
    }
  } finally {
    for (const walk of walks) await walk.return(undefined);
  }
}

import type { Share } from './partition-feed.ts';
import type { Run, TransactionReader } from './transaction-reader.ts';

/** What some transactions hold for a reader, by topic and in order there. */
export type SharesByTopic<T> = ReadonlyMap<string, readonly Share<T>[]>;

interface Placed<T> {
  readonly tag: T;
  readonly transaction: number;
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

import type { EndRecord, Part } from '../control-records.ts';
import type { PartitionScan } from './partition-scan.ts';

/** An event while it is handed out. */
export interface ScannedEvent {
  readonly topic: string;
  readonly scan: PartitionScan;
}

/** Reads the events of transactions out of the partitions that their ENDs name, each partition through one scan for good. */
export class OrderedEvents {
  readonly #newScan: (topic: string, partition: number) => PartitionScan;
  readonly #scans = new Map<string, PartitionScan>();

  constructor(newScan: (topic: string, partition: number) => PartitionScan) {
    this.#newScan = newScan;
  }

  /** The events of these parts by ordinal, whichever topics and partitions they are in. A truncate, which stands in each partition of its topic, comes once. */
  async *of(parts: readonly Part[], end: EndRecord): AsyncGenerator<ScannedEvent> {
    const walks = parts.map((part) => ({ topic: part.topic, events: this.#scan(part).events(part, end) }));
    const next = await Promise.all(walks.map(({ events }) => events.next()));
    const truncated = new Map<string, number>();
    for (let first = earliest(next); first >= 0; first = earliest(next)) {
      const scan = next[first]?.value as PartitionScan;
      const { topic, events } = walks[first] as (typeof walks)[number];
      const isTruncate = scan.header.op === 't';
      const isRepeated = isTruncate && truncated.get(topic) === scan.order;
      if (isTruncate) truncated.set(topic, scan.order);
      if (!isRepeated) yield { topic, scan };
      next[first] = await events.next();
    }
  }

  #scan({ topic, partition }: Part): PartitionScan {
    const name = `${topic}/${partition}`;
    let scan = this.#scans.get(name);
    if (scan === undefined) this.#scans.set(name, (scan = this.#newScan(topic, partition)));
    return scan;
  }
}

/** Which of the partitions has the event that comes first; -1 when all are through. */
function earliest(next: readonly IteratorResult<PartitionScan>[]): number {
  let first = -1;
  let lowest = Infinity;
  for (const [i, { value, done }] of next.entries()) {
    if (done === true || value.order >= lowest) continue;
    first = i;
    lowest = value.order;
  }
  return first;
}

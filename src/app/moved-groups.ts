import type { ConsumerGroups, GroupOffset } from '../log/groups.ts';
import type { Log, LogReader } from '../log/log.ts';
import { holding } from './groups.ts';
import { kindOf } from './topic-kind.ts';

const fetchBytes = 1 << 20;

export interface GroupsMove {
  readonly pipeline: string;
  readonly from: { readonly log: Pick<Log, 'openGroups'>; readonly reader: LogReader };
  readonly to: { readonly log: Pick<Log, 'openGroups'>; readonly reader: LogReader };
}

/**
 * Consumer groups go on in another log where they were in this one. Offsets are others there, and times are not: a group goes on at the first record
 * that is as old as the oldest that it has not had. So it gets some again, of the same time or where partitions are dealt out otherwise, and
 * misses none. To be done while nobody writes to either; done again it comes to the same.
 */
export async function moveGroups({ pipeline, from, to }: GroupsMove): Promise<void> {
  const [old, made] = [await from.log.openGroups(), await to.log.openGroups()];
  try {
    const [partitions, before] = [await partitionsOf(to.reader), await partitionsOf(from.reader)];
    for (const group of await old.names()) {
      const offsets: GroupOffset[] = [];
      for (const [topic, places] of Map.groupBy(await old.read(group), (place) => place.topic)) {
        const count = partitions.get(topic);
        // What a pipeline says to itself is another record in another log.
        if (count === undefined || !['events', 'produced', 'message'].includes(kindOf(pipeline, topic))) continue;
        const unread = await Promise.all(places.map(async (place) => ({ partition: place.partition, since: await unreadSince(from.reader, place) })));
        const since = count === before.get(topic) ? unread : spread(unread, count);
        for (const { partition, since: time } of since) {
          offsets.push({ topic, partition, offset: time === null ? (await to.reader.range(topic, partition)).end : await to.reader.offsetAt(topic, partition, time) });
        }
      }
      if (offsets.length > 0) await put(made, group, offsets);
    }
  } finally {
    await old.close();
    await made.close();
  }
}

interface Unread {
  readonly partition: number;
  /** Milliseconds since 1970; null for a group that has had all there is. */
  readonly since: number | null;
}

/** Keys are in other partitions: what any of them lacks may be in each. */
function spread(unread: readonly Unread[], partitions: number): readonly Unread[] {
  const times = unread.map(({ since }) => since).filter((since) => since !== null);
  return Array.from({ length: partitions }, (_, partition) => ({ partition, since: times.length === 0 ? null : Math.min(...times) }));
}

/** The oldest time among the records that it has not had: clocks are put back, and who produces may say any. */
async function unreadSince(reader: LogReader, { topic, partition, offset }: GroupOffset): Promise<number | null> {
  const { start, end } = await reader.range(topic, partition);
  let oldest: number | null = null;
  for (let next = Math.max(start, offset); next < end; ) {
    const cursor = await reader.fetch(topic, partition, next, fetchBytes);
    while (cursor.next()) if (cursor.offset >= next && (oldest === null || cursor.timestamp < oldest)) oldest = cursor.timestamp;
    if (cursor.nextOffset <= next) break;
    next = cursor.nextOffset;
  }
  return oldest;
}

async function partitionsOf(reader: LogReader): Promise<ReadonlyMap<string, number>> {
  return new Map((await reader.topics()).map(({ topic, partitions }) => [topic, partitions]));
}

function put(groups: ConsumerGroups, group: string, offsets: readonly GroupOffset[]): Promise<void> {
  return holding(groups, group, () => groups.commit(group, offsets));
}

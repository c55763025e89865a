import { isMerged } from './merge/mark.ts';
import type { Retained } from './retention.ts';
import { isProduced } from './topics.ts';

/** Bytes on disk of topics that people made: the size limit of a pipeline's own is not kept by letting go of its transactions for them. */
export async function producedBytes({ reader, writer }: Pick<Retained, 'reader' | 'writer'>): Promise<number> {
  let sum = 0;
  for (const spec of writer.topics()) if (isProduced(spec.topic)) for (const { bytes } of await reader.sizes(spec)) sum += bytes;
  return sum;
}

/** Lets go of what was produced longer ago than so many milliseconds; groups are not waited for. */
export async function trimProduced(publisher: Pick<Retained, 'reader' | 'writer' | 'exclusively'>, age: number): Promise<void> {
  for (const { topic, partitions } of publisher.writer.topics()) {
    for (let partition = 0; isProduced(topic) && partition < partitions; partition++) {
      const { reader } = publisher;
      const old = await reader.offsetAt(topic, partition, Date.now() - age);
      // The last record of a merged topic says where the merge goes on.
      const offset = old > 0 && (await isMerged(reader, topic)) ? Math.min(old, (await reader.range(topic, partition)).end - 1) : old;
      // It may have been deleted meanwhile.
      await publisher.exclusively(async (writer) => {
        if (writer.topics().some((spec) => spec.topic === topic)) await writer.trim(topic, partition, offset);
      });
    }
  }
}

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
      const offset = await publisher.reader.offsetAt(topic, partition, Date.now() - age);
      // It may have been deleted meanwhile.
      await publisher.exclusively(async (writer) => {
        if (writer.topics().some((spec) => spec.topic === topic)) await writer.trim(topic, partition, offset);
      });
    }
  }
}

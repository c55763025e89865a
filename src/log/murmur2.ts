import type { Slice } from '../runtime/slice.ts';

const seed = 0x9747b28c;
const multiplier = 0x5bd1e995;

/** The hash by which Kafka's own clients place a key (org.apache.kafka.common.utils.Utils.murmur2): so others place it alike. */
export function murmur2({ bytes, start, end }: Slice): number {
  const length = end - start;
  let hash = seed ^ length;
  let at = start;
  for (const last = end - (length & 3); at < last; at += 4) {
    let k = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
    k = Math.imul(k, multiplier);
    k ^= k >>> 24;
    hash = Math.imul(hash, multiplier) ^ Math.imul(k, multiplier);
  }
  const rest = length & 3;
  if (rest === 3) hash ^= (bytes[at + 2] as number) << 16;
  if (rest >= 2) hash ^= (bytes[at + 1] as number) << 8;
  if (rest >= 1) hash = Math.imul(hash ^ (bytes[at] as number), multiplier);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, multiplier);
  return hash ^ (hash >>> 15);
}

/** A record without a key goes to partition 0: rows of a table without a key keep their order. */
export function partitionOf(key: Slice, partitions: number): number {
  return key.start < 0 || partitions === 1 ? 0 : (murmur2(key) & 0x7fff_ffff) % partitions;
}

import type { PartitionReader } from './partition-reader.ts';

/**
 * The first record at or after `timestamp`, or the end. Timestamps need not ascend, so that every segment before the one
 * found is looked at, by the headers of its batches; what is found of a full segment is remembered.
 */
export async function offsetAt(reader: PartitionReader, timestamp: number): Promise<number> {
  const bases = reader.bases();
  for (const [i, base] of bases.entries()) {
    const walker = reader.mayHold(base, timestamp) ? reader.walk(base) : undefined;
    if (walker === undefined) continue;
    while (walker.next()) {
      if (walker.maxTimestamp < timestamp) continue;
      const cursor = await reader.fetch(walker.offset, walker.size);
      while (cursor.next()) if (cursor.timestamp >= timestamp) return cursor.offset;
    }
    const next = bases[i + 1] ?? walker.end.offset;
    // Nobody passes over damage in silence: this fetch says what it is.
    if (walker.problem !== undefined || walker.end.offset !== next) await reader.fetch(walker.end.offset, 1);
  }
  return reader.range().end;
}

import type { Buckets, RowId } from '../../event/digest.ts';

/** Rows of a bucket, about: enough that few buckets are asked for, and few enough that one is quickly read. */
const rowsPerBucket = 256;
const mostBuckets = 65_536;

/** How many buckets for a table of about so many rows; a power of two. */
export function bucketCount(rows: number | undefined): number {
  const wanted = Math.max(16, (rows ?? 1_000_000) / rowsPerBucket);
  return Math.min(mostBuckets, 2 ** Math.ceil(Math.log2(wanted)));
}

export function differingBuckets(a: Buckets, b: Buckets): number[] {
  const differing: number[] = [];
  for (let i = 0; i < a.counts.length; i++) if (a.counts[i] !== b.counts[i] || a.sums[i] !== b.sums[i]) differing.push(i);
  return differing;
}

export function rowsIn(counts: Float64Array, buckets: readonly number[] = [...counts.keys()]): number {
  return buckets.reduce((sum, bucket) => sum + (counts[bucket] ?? 0), 0);
}

/** As many of the buckets, in order, as hold `limit` rows at most on the side that has more; one at least. */
export function bucketsWithin(limit: number, buckets: readonly number[], sides: readonly Buckets[]): readonly number[] {
  let rows = 0;
  const end = buckets.findIndex((bucket, i) => {
    rows += Math.max(...sides.map(({ counts }) => counts[bucket] ?? 0));
    return i > 0 && rows > limit;
  });
  return end < 0 ? buckets : buckets.slice(0, end);
}

/** Rows that only one side has, or that have another hash or count there. */
export function differingRows(a: ReadonlyMap<RowId, string>, b: ReadonlyMap<RowId, string>): RowId[] {
  const differing = [...a].flatMap(([id, hash]) => (b.get(id) === hash ? [] : [id]));
  for (const id of b.keys()) if (!a.has(id)) differing.push(id);
  return differing;
}

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { damaged, errno } from './fs-errors.ts';
import type { PartitionState } from './journal-format.ts';
import { partitionPath, segmentPath } from './layout.ts';
import { BATCH_HEADER, batchBaseOffset, batchNextOffset, claimedSize, crcMatches } from '../record-batch.ts';
import { headerProblem, stampOf } from './stamp.ts';

/**
 * Holds a partition's active segment against what the journal's table says of it: it is there, as long as it was, and its
 * last batch is whole and ends where it did. Earlier batches are checked when they are read. Throws `log-damaged`.
 */
export function checkState(directory: string, logId: string, state: PartitionState): void {
  const path = segmentPath(partitionPath(directory, state.topic, state.partition), state.base);
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (errno(error) === 'ENOENT') throw damaged(path, 0, 'the segment is missing');
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    if (size < state.size) throw damaged(path, size, `the file ends here, but it had ${state.size} bytes when it was last synced`);
    if (state.lastBatchAt >= 0) checkLastBatch(fd, path, state, logId);
  } finally {
    closeSync(fd);
  }
}

function checkLastBatch(fd: number, path: string, state: PartitionState, logId: string): void {
  const at = state.lastBatchAt;
  const bytes = Buffer.alloc(Math.max(state.size - at, BATCH_HEADER));
  readSync(fd, bytes, 0, state.size - at, at);
  const stamp = stampOf(logId, state.topic, state.partition);
  const problem = headerProblem(bytes, 0, batchBaseOffset(bytes, 0), stamp);
  if (problem !== undefined) throw damaged(path, at, problem);
  if (claimedSize(bytes, 0) !== state.size - at || batchNextOffset(bytes, 0) !== state.end) {
    throw damaged(path, at, `the last batch does not end at offset ${state.end}, byte ${state.size}`);
  }
  if (!crcMatches(bytes, 0, state.size - at)) throw damaged(path, at, 'the checksum of the batch does not fit');
}

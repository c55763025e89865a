import { TailraceError } from '../../runtime/errors.ts';
import type { BatchBuilder, Placement as LogPlacement } from '../log.ts';
import { RecordBatchBuilder } from '../record-batch-builder.ts';
import type { FrameWriter } from './journal-format.ts';
import type { Placement } from './partition-writer.ts';
import { placeBatch } from './stamp.ts';

/** The journal's frame of one append; gives each batch its place. */
export function groupFrame(frame: FrameWriter, placements: readonly Placement[], sequence: number): Buffer {
  frame.begin();
  frame.u32(placements.length);
  for (const { partition, batch, baseOffset, segmentBase, position } of placements) {
    placeBatch(batch.bytes, batch.length, baseOffset);
    frame.partition(partition.topic, partition.partition);
    frame.i64(segmentBase);
    frame.i64(position);
    frame.blob(batch.bytes, batch.length);
  }
  return frame.finish('group', sequence);
}

/** Nobody writes in between. */
export function from(base: number): LogPlacement {
  return { offsetOf: (index) => base + index };
}

export function own(builder: BatchBuilder): RecordBatchBuilder {
  if (builder instanceof RecordBatchBuilder) return builder;
  throw new TailraceError('internal', 'a batch of another log was appended');
}

import { TailraceError } from '../../runtime/errors.ts';
import { BATCH_HEADER, LENGTH_HEADER, batchBaseOffset, batchCount, batchNextOffset, claimedSize, crcMatches } from '../record-batch.ts';
import { BatchCursor } from '../record-cursor.ts';
import { decompress } from './compression.ts';
import type { FetchedPartition } from './protocol/record-apis.ts';

const compressionMask = 0x07;
const controlBit = 0x20;
const attributesAt = 21;

interface Place {
  readonly topic: string;
  readonly partition: number;
}

/**
 * Makes a cursor of what a fetch brought, from `from` on: each batch is checked, compressed ones are unpacked, and marks of
 * transactions (nobody should write such to our topics) are passed over. The last batch may be cut off: it comes again.
 */
export async function cursorOver({ records: fetched, highWatermark }: Pick<FetchedPartition, 'records' | 'highWatermark'>, from: number, place: Place): Promise<BatchCursor> {
  const batches: { readonly at: number; readonly end: number }[] = [];
  let next = from;
  let plain = true;
  for (let at = 0; at + LENGTH_HEADER <= fetched.length; ) {
    const size = claimedSize(fetched, at);
    if (size < BATCH_HEADER) throw damaged(place, next, `a batch claims a length of ${size}`);
    if (at + size > fetched.length) break;
    check(fetched, at, size, place);
    // A fetch begins with the whole batch that holds its offset.
    next = Math.max(next, batchNextOffset(fetched, at));
    const attributes = fetched.readInt16BE(at + attributesAt);
    if ((attributes & (compressionMask | controlBit)) !== 0) plain = false;
    if ((attributes & controlBit) === 0) batches.push({ at, end: at + size });
    at += size;
  }
  const range = { from, next, isLast: next >= highWatermark };
  if (plain) return new BatchCursor(fetched, batches.at(-1)?.end ?? 0, range);
  const unpacked = Buffer.concat(await Promise.all(batches.map(({ at, end }) => unpack(fetched.subarray(at, end)))));
  return new BatchCursor(unpacked, unpacked.length, range);
}

function check(fetched: Buffer, at: number, size: number, place: Place): void {
  const base = batchBaseOffset(fetched, at);
  const magic = fetched[at + 16];
  if (magic !== 2) throw damaged(place, base, `a batch has the format ${magic}, not 2`);
  if (!crcMatches(fetched, at, size)) throw damaged(place, base, "a batch's CRC is wrong");
  if (batchCount(fetched, at) < 0) throw damaged(place, base, `a batch claims ${batchCount(fetched, at)} records`);
}

async function unpack(batch: Buffer): Promise<Buffer> {
  const bits = batch.readInt16BE(attributesAt) & compressionMask;
  if (bits === 0) return batch;
  const records = await decompress(batch.subarray(BATCH_HEADER), bits);
  const plain = Buffer.concat([batch.subarray(0, BATCH_HEADER), records]);
  plain.writeInt32BE(plain.length - LENGTH_HEADER, 8);
  return plain;
}

function damaged({ topic, partition }: Place, offset: number, why: string): TailraceError {
  return new TailraceError('log-damaged', `partition ${partition} of ${topic} at offset ${offset}: ${why}`, {
    remedy: 'If the partition has another replica that is whole, let it take the lead; else the pipeline needs a new log.',
  });
}

import { promisify } from 'node:util';
import { constants, gunzip, gzip, gzipSync, zstdCompress, zstdCompressSync, zstdDecompress } from 'node:zlib';
import { TailraceError } from '../../runtime/errors.ts';

/** What a topic's records are written with. Others (snappy, lz4) are refused when they are read: nothing of ours writes them. */
export type Compression = 'none' | 'gzip' | 'zstd';

/** The low three bits of a batch's attributes. */
export const compressionBits = { none: 0, gzip: 1, zstd: 4 } as const;

const toGzip = promisify(gzip);
const fromGzip = promisify(gunzip);
const toZstd = promisify(zstdCompress);
const fromZstd = promisify(zstdDecompress);

const zstdOptions = { params: { [constants.ZSTD_c_compressionLevel]: 3 } };

/** No batch of ours is larger than a record may be; this is for what somebody else may have put there. */
const longestRecords = 256 * 1024 * 1024;

/** In a thread of Node's own: the one that encodes goes on. */
export function compress(records: Uint8Array, compression: 'gzip' | 'zstd'): Promise<Buffer> {
  if (compression === 'gzip') return toGzip(records);
  return toZstd(records, zstdOptions);
}

/** For what is rare: the thread stands still meanwhile. */
export function compressSync(records: Uint8Array, compression: 'gzip' | 'zstd'): Buffer {
  return compression === 'gzip' ? gzipSync(records) : zstdCompressSync(records, zstdOptions);
}

export async function decompress(records: Uint8Array, bits: number): Promise<Buffer> {
  const limit = { maxOutputLength: longestRecords };
  try {
    if (bits === compressionBits.gzip) return await fromGzip(records, limit);
    if (bits === compressionBits.zstd) return await fromZstd(records, limit);
  } catch (error) {
    throw new TailraceError('log-damaged', 'a batch of records cannot be decompressed', { cause: error });
  }
  const name = { 2: 'snappy', 3: 'lz4' }[bits] ?? `codec ${bits}`;
  throw new TailraceError('log-settings', `records are compressed with ${name}, which Tailrace does not read`, {
    remedy: 'Set compression.type of the topic (or of the broker) to producer, and let the records that are there be written anew.',
  });
}

import { formatSize } from '../../runtime/units.ts';
import { BufferPool } from '../buffer-pool.ts';
import type { Oversize, OversizePolicy, RecordDraft } from '../log.ts';
import { BATCH_HEADER } from '../record-batch.ts';
import { RecordBatchBuilder } from '../record-batch-builder.ts';
import { compressSync, type Compression } from './compression.ts';

export interface RecordLimitOptions {
  /** `max.message.bytes` of the topic: the broker's own `message.max.bytes` where the topic has none. */
  readonly topic: number;
  /** `socket.request.max.bytes`: a broker drops the connection over a larger request. Undefined where we may not know. */
  readonly request: number | undefined;
  /** What the configuration says. */
  readonly maxRecordSize: number;
  readonly compression: Compression;
  readonly policy: OversizePolicy;
}

/** What one request holds besides the record that is too large for others to stand with it: the group that it comes in. */
const otherBytes = 1.5 * 1024 * 1024;
/** More than a record needs besides its key, value and headers. */
const overhead = 128;

/** What a topic takes of one record: a record that is too large is known before it is sent, and its event can be written otherwise. */
export class RecordLimit {
  readonly bytes: number;
  readonly #options: RecordLimitOptions;
  readonly #pool = new BufferPool(0);

  constructor(options: RecordLimitOptions) {
    const { topic, request = Infinity } = options;
    this.#options = options;
    this.bytes = Math.min(topic, Math.max(request - otherBytes, request / 2));
  }

  /** For messages. */
  get words(): string {
    const { topic, request, maxRecordSize } = this.#options;
    const broker = request === undefined ? '' : `the brokers take requests of ${formatSize(request)} (socket.request.max.bytes), `;
    return `the topic takes ${formatSize(topic)} (max.message.bytes), ${broker}log.max_record_size is ${formatSize(maxRecordSize)}`;
  }

  oversize(draft: RecordDraft): Oversize | undefined {
    if (roughly(draft) <= this.bytes) return undefined;
    const bytes = this.#sizeOf(draft);
    return bytes <= this.bytes ? undefined : { bytes, limits: this.words, policy: this.#options.policy };
  }

  /** As it would be sent, in a batch of its own: it is the compressed batch that has to fit. */
  #sizeOf(draft: RecordDraft): number {
    const builder = new RecordBatchBuilder({ topic: '', partition: 0, stamp: { high: 0, low: 0 } }, this.#pool);
    builder.add(draft);
    const [batch] = builder.finish();
    if (batch === undefined) return 0;
    const { compression } = this.#options;
    if (compression === 'none') return batch.length;
    return Math.min(batch.length, BATCH_HEADER + compressSync(batch.bytes.subarray(BATCH_HEADER, batch.length), compression).length);
  }
}

function roughly({ key, value, headers }: RecordDraft): number {
  let bytes = overhead + BATCH_HEADER + key.end - key.start + value.end - value.start;
  for (let i = 0; i < headers.length; i++) bytes += 32 + (headers[i]?.value.end ?? 0) - (headers[i]?.value.start ?? 0);
  return bytes;
}

import type { LogReader, LogWriter, RecordDraft } from '../../log/log.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { failpoint } from '../../runtime/failpoint.ts';
import { shortened } from '../../runtime/printable.ts';
import type { Slice } from '../../runtime/slice.ts';
import { formatSize } from '../../runtime/units.ts';
import { decodeControl } from '../control-json.ts';
import type { EndRecord, TransactionRecord } from '../control-records.ts';
import { Extent, Group } from '../group.ts';
import { records } from '../log-state.ts';
import { extraHeaderName, headerName, leftOutHeaderName } from '../record-header.ts';
import { StartRule } from '../start-rule.ts';
import { lastCopied } from './copied-records.ts';
import { OrderedEvents, type ScannedEvent } from './ordered-events.ts';
import { PartitionScan } from './partition-scan.ts';

export interface TransactionsCopyOptions {
  readonly from: LogReader;
  readonly to: { readonly reader: LogReader; readonly writer: LogWriter };
  /** The `transaction` topic, of the pipeline or of a stream. */
  readonly topic: string;
  /** How many partitions topics of events have in the new log. */
  readonly partitions: ReadonlyMap<string, number>;
  /** Whether the format deletes a key with a second record (codec.ts): those are no events, and are made again. */
  readonly tombstones: boolean;
  readonly onProgress: (copied: { readonly transactions: number; readonly events: number }) => void;
}

const groupBytes = 1 << 20;
const groupEnds = 2000;

/**
 * Copies the transactions that count, in their order: START records as they are, the events of each END with the identity, key and headers
 * that they have, and END itself with the offsets that its events have now. Each group goes as a publisher's would: so a copy that is cut
 * off leaves whole transactions, and goes on behind the last one. What no END names stays behind.
 */
export class TransactionsCopy {
  readonly #options: TransactionsCopyOptions;
  readonly #events: OrderedEvents;
  #group: Group;
  #ends = 0;
  #extents = new Map<string, Extent>();
  #transactions = 0;
  #copied = 0;

  constructor(options: TransactionsCopyOptions) {
    this.#options = options;
    this.#events = new OrderedEvents((topic, partition) => new PartitionScan(options.from, topic, partition));
    this.#group = this.#newGroup();
  }

  /** Copies what is there now, up to a START that says that the log has moved; may be called again for what has come since. */
  async run(): Promise<void> {
    const { from, to, topic } = this.#options;
    const known = await lastCopied(to.reader, topic);
    const { start } = await from.range(topic, 0);
    if (known >= 0 && start > known + 1) {
      throw new TailraceError('gap', `the old log has let go of transactions since the copy was cut off: ${topic} begins at offset ${start}, and the copy ends at ${known}`, {
        remedy: 'Delete what was copied (the new directory, or the topics of the pipeline), and run the command again.',
      });
    }
    const rule = new StartRule();
    for await (const cursor of records(from, topic)) {
      const { offset, timestamp } = cursor;
      const record = decodeControl<TransactionRecord>(cursor.value, `${topic} at offset ${offset}`);
      if (rule.accept(record) === 'void' || record.type === 'progress' || offset <= known) continue;
      if (record.type === 'start' && record.moved !== undefined) break;
      if (record.type === 'start') this.#group.start(record, { timestamp, offset });
      else await this.#end(record, { timestamp, offset });
      if (++this.#ends >= groupEnds || this.#group.bytes >= groupBytes) await this.#flush();
    }
    await this.#flush();
  }

  async #end({ parts, ...end }: EndRecord, copied: { readonly timestamp: number; readonly offset: number }): Promise<void> {
    this.#extents = new Map();
    const byTopic = Map.groupBy(parts, (part) => part.topic);
    // Partitions are merged by ordinal, and taken apart again as the new log has them.
    for (const own of byTopic.values()) for await (const event of this.#events.of(own, { ...end, parts })) await this.#write(event);
    this.#group.end({ end, extents: [...this.#extents.values()], copied });
    this.#transactions++;
  }

  async #write({ topic, scan: { header, cursor } }: ScannedEvent): Promise<void> {
    const { to, partitions, tombstones } = this.#options;
    const count = partitions.get(topic) ?? 1;
    const { timestamp, key, value } = cursor;
    const headers = [headerName, extraHeaderName, leftOutHeaderName].map((name) => ({ name, value: headerOf(cursor, name) }));
    const draft: RecordDraft = { timestamp, key, value, headers };
    const places = header.op === 't' ? Array.from({ length: count }, (_, i) => i) : [count === 1 ? 0 : to.writer.partitionOf(key, count)];
    for (const partition of places) {
      const batch = this.#group.batch(topic, partition);
      const excess = batch.oversize(draft);
      if (excess !== undefined) throw tooLarge(topic, key, excess);
      this.#group.add(batch, draft, this.#extent(topic, partition));
      if (header.op === 'd' && tombstones) this.#group.add(batch, { timestamp, key, value: { ...key, start: -1, end: -1 }, headers: [] }, null);
    }
    this.#copied++;
    if (this.#group.bytes >= groupBytes) await this.#flush();
  }

  #extent(topic: string, partition: number): Extent {
    const name = `${topic}/${partition}`;
    let extent = this.#extents.get(name);
    if (extent === undefined) this.#extents.set(name, (extent = Extent.of(topic, partition)));
    return extent;
  }

  async #flush(): Promise<void> {
    if (this.#group.isEmpty) return;
    await this.#group.append();
    failpoint('move.group');
    this.#group = this.#newGroup();
    this.#ends = 0;
    this.#options.onProgress({ transactions: this.#transactions, events: this.#copied });
  }

  #newGroup(): Group {
    return new Group(this.#options.to.writer, this.#options.topic);
  }
}

function headerOf(cursor: PartitionScan['cursor'], name: string): Slice {
  const slice: Slice = { bytes: cursor.value.bytes, start: -1, end: -1 };
  if (!cursor.header(name, slice)) slice.start = slice.end = -1;
  return slice;
}

function tooLarge(topic: string, key: Slice, { bytes, limits }: { readonly bytes: number; readonly limits: string }): TailraceError {
  const text = key.start < 0 ? 'without a key' : `with the key ${shortened(Buffer.from(key.bytes.subarray(key.start, key.end)).toString(), 200)}`;
  return new TailraceError('log-record-too-large', `an event ${text} of ${topic} has ${formatSize(bytes)}: ${limits}`, {
    remedy: 'Raise log.max_record_size in the new file, and max.message.bytes of the topics that are there by now (kafka-configs); then run the command again.',
  });
}

import type { Readable } from 'node:stream';
import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { isMerged } from '../pipeline/merge/mark.ts';
import { TailraceError } from '../runtime/errors.ts';
import { shortened } from '../runtime/printable.ts';
import { formatSize } from '../runtime/units.ts';
import { InputLines } from './input-lines.ts';
import { LogDoor } from './log-door.ts';
import type { ProducedRecord } from './control/log-request.ts';
import type { LineReader } from './produced-records.ts';
import { kindOf } from './topic-kind.ts';
import { findTopic, withLogReader } from './topics.ts';

export interface ProduceOptions {
  readonly topic: string;
  /** Destroyed when it is done: what is typed after that would keep the process. */
  readonly input: Readable;
  readonly read: LineReader;
  readonly runtimeFolder: string | undefined;
  /** Nothing more is read; what was read is written. */
  readonly signal: AbortSignal;
  /** So many records in all are durable. */
  readonly onDurable: (records: number) => void;
}

/** What goes into one append: the daemon takes no longer request. */
const mostBytes = 512 << 10;
const mostRecords = 5000;
/** One record, as `log.max_record_size` is by default. */
const largest = 8 << 20;
/** Lines that come one by one wait this long for others. */
const patience = 10;

/** Appends a record a line, in order; resolves with how many once all of them are durable. */
export async function produce(configs: readonly PipelineConfig[], options: ProduceOptions): Promise<number> {
  const { config, topic } = await findTopic(configs, options.topic);
  if (kindOf(config.name, topic) !== 'produced') {
    throw new TailraceError('usage', `${shortened(topic, 80)} is a topic that the pipeline ${config.name} writes: nothing else may be in it`, { remedy: `Make one of your own: tailrace topics create ${config.name}.NAME` });
  }
  if (await withLogReader(config, (reader) => isMerged(reader, topic))) {
    throw new TailraceError('usage', `${shortened(topic, 80)} is merged from other topics: nothing else may be in it`, { remedy: 'Produce to a topic of its own; a merge from the beginning, into another topic, can have that too.' });
  }
  const door = new LogDoor(config, options.runtimeFolder);
  let durable = 0;
  try {
    for await (const lines of new InputLines(options.input, { mostBytes, mostRecords, patience, longest: largest }).batches(options.signal)) {
      const records = lines.map(({ text, number }) => readLine(text, number, options.read));
      const { done } = await door.ask({ do: 'append', topic, records });
      if (!done) throw new TailraceError('usage', `the topic ${shortened(topic, 80)} was deleted`);
      durable += records.length;
      options.onDurable(durable);
    }
    return durable;
  } finally {
    options.input.destroy();
    await door.close();
  }
}

function readLine(text: string, number: number, read: LineReader): ProducedRecord {
  try {
    const record = read(text, Date.now());
    const size = (record.value?.length ?? 0) + (record.key?.length ?? 0);
    if (size * 0.75 > largest) throw new TailraceError('log-record-too-large', `it is larger than ${formatSize(largest)}`);
    return record;
  } catch (error) {
    throw error instanceof TailraceError ? new TailraceError(error.code, `line ${number}: ${error.message}`, { cause: error, remedy: error.remedy }) : error;
  }
}

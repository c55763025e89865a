import { randomUUID } from 'node:crypto';
import { isAfter, type Position } from '../event/position.ts';
import { matchesFilter, type TableFilter } from '../event/table-pattern.ts';
import { tableName, type TableSchema } from '../event/table.ts';
import type { LogReader } from '../log/log.ts';
import { decodeControl } from './control-json.ts';
import { origin, type Place, type SinkRecord, type SnapshotRecord, type TransactionRecord } from './control-records.ts';
import { CoverageMap } from './coverage.ts';
import { copyKey, readSchemaState, records } from './log-state.ts';
import { readSinkRecords, sinceForgotten } from './sink-topic.ts';
import type { TopicNames } from './topics.ts';

/** What a sink writes to its own topics; resolves when it is durable. */
export interface SinkReporter {
  append(kind: 'sink' | 'dead-letter', draft: { readonly key: Uint8Array | null; readonly value: Uint8Array; readonly ask?: SinkRecord }): Promise<void>;
}

export interface SinkStartOptions {
  readonly reader: LogReader;
  readonly topics: TopicNames;
  readonly sink: string;
  readonly snapshot: 'initial' | 'never';
  readonly filter: TableFilter;
  /** The tables that the log knows and the filter takes. */
  readonly tables: readonly TableSchema[];
  readonly position: Position | null;
  /** Where it begins to read `transaction`. */
  readonly offset: number;
  readonly write: (record: SinkRecord) => Promise<void>;
}

/**
 * Decides for each table from where on this sink applies it, asks for copies that the log no longer holds, and registers
 * the outcome in the sink's topic before anything is read (PROTOCOL, Latecomers).
 */
export async function startSink(options: SinkStartOptions): Promise<CoverageMap> {
  const { reader, topics, sink, snapshot, position, filter } = options;
  const { copies } = await readSchemaState(reader, topics);
  const coverage = new CoverageMap(sink, snapshot, { copies, passed: position === null ? new Map() : await copiesAt(position, { reader, topics }) });
  // A sink whose replica is new has no past, whatever its topic says of an earlier replica.
  const past = position === null ? [] : sinceForgotten(await readSinkRecords(reader, topics, sink));
  const registered = past.findLast((record) => record.type === 'register');
  const oldest = await oldestPlace(reader, topics.transaction);
  const since: Record<string, Place> = {};
  for (const table of options.tables) {
    const name = tableName(table);
    const taken = registered !== undefined && matchesFilter(registered.filter, table);
    const place = (taken ? askedPlace(past, copies, { table: name, sink }) : undefined) ??
      decide({ copy: coverage.copy(name), known: taken ? (registered.tables[name] ?? origin) : undefined, position, oldest, snapshot });
    if (place === 'ask') await options.write({ type: 'ask', table: name, id: randomUUID() });
    if (place === 'ask' || place === 'asked') coverage.await(name);
    else {
      coverage.startAt(name, place);
      if (place.epoch !== 0) since[name] = place;
    }
  }
  const { epoch, commitLsn } = position ?? origin;
  await options.write({ type: 'register', filter, tables: since, at: { epoch, commitLsn }, offset: options.offset });
  return coverage;
}

/** The copies that there were by then. */
export async function copiesAt(place: Place, { reader, topics }: Pick<SinkStartOptions, 'reader' | 'topics'>): Promise<ReadonlyMap<string, SnapshotRecord>> {
  const { copies } = await readSchemaState(reader, topics, (other) => !isAfter(other, place));
  return copies;
}

/** What became of the sink's own ask for a table: undefined when it never asked. */
function askedPlace(
  past: readonly SinkRecord[],
  copies: ReadonlyMap<string, SnapshotRecord>,
  of: { readonly table: string; readonly sink: string },
): Place | 'asked' | undefined {
  const ask = past.findLast((record) => record.type === 'ask' && record.table === of.table);
  if (ask?.type !== 'ask') return undefined;
  const copy = copies.get(copyKey(of.table, of.sink));
  return copy?.ask === ask.id ? copy.begin : 'asked';
}

/** The place from which a table is applied, or `ask`: the sink needs a copy of its own. */
export function decide(of: {
  readonly copy: SnapshotRecord | null;
  /** The place registered before, for a table that is not new to the sink. */
  readonly known: Place | undefined;
  readonly position: Place | null;
  /** The first place that the log still holds; null when nothing was trimmed. */
  readonly oldest: Place | null;
  readonly snapshot: 'initial' | 'never';
}): Place | 'ask' {
  if (of.known !== undefined) return of.known;
  const begin = of.copy?.begin ?? null;
  if (begin === null) {
    // No copy has begun. With `snapshot: initial` one is to come, and what is streamed before it does no harm; with `never` the
    // log is all there is.
    return of.snapshot === 'initial' || of.position === null ? origin : 'ask';
  }
  const stillHeld = of.oldest === null || !isAfter(of.oldest, begin);
  const ahead = of.position === null || isAfter(begin, of.position);
  return stillHeld && ahead ? begin : 'ask';
}

/** The first transaction that the log holds when retention has removed older ones; null when the log holds everything. */
export async function oldestPlace(reader: LogReader, topic: string): Promise<Place | null> {
  if ((await reader.range(topic, 0)).start === 0) return null;
  for await (const cursor of records(reader, topic)) {
    const record = decodeControl<TransactionRecord>(cursor.value, topic);
    // An END without events repeats the place of one that may be gone.
    if (record.type === 'end' && (record.parts.length > 0 || record.snapshot !== null)) return { epoch: record.epoch, commitLsn: record.commitLsn };
  }
  return { epoch: Number.MAX_SAFE_INTEGER, commitLsn: 0n };
}

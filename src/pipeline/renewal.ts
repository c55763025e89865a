import type { Codec } from '../codec/codec.ts';
import { isAfter } from '../event/position.ts';
import { tableName } from '../event/table.ts';
import type { LogReader } from '../log/log.ts';
import type { Logger } from '../runtime/logger.ts';
import { decodeControl } from './control-json.ts';
import type { EndRecord, Place, SchemaTopicRecord, SnapshotRecord, TransactionRecord } from './control-records.ts';
import type { CoverageMap } from './coverage.ts';
import { noRelation, records } from './log-state.ts';
import type { ReplayPart } from './replay-parts.ts';
import type { SchemaReader } from './schema-reader.ts';
import type { TopicNames } from './topics.ts';
import { TransactionReader } from './transaction-reader.ts';
import type { VoidEvents } from './void-events.ts';

export interface RenewalOptions {
  readonly reader: LogReader;
  readonly topics: TopicNames;
  readonly schemas: SchemaReader;
  readonly codec: Codec;
  /** The sink for which copies count. */
  readonly sink: string;
  /** Copies behind the last transaction that is taken empty nothing. */
  readonly isTaken: (end: EndRecord) => boolean;
  readonly coverage: CoverageMap;
  readonly voids: VoidEvents;
  readonly logger: Logger;
}

const pieceBytes = 1 << 20;

/**
 * After a refusal: whether there is more in the batch that the sink passes over, now in `voids`. Events are void before a copy of their
 * table that begins with a truncate: a replica may refuse them, because rows had changed without an event before. Each table is passed
 * over up to its next copy alone, so that as little is missing meanwhile as can be: what is refused behind it asks again. Where no copy is
 * left to wait for, the batch's events of tables that were dropped since are void.
 */
export async function findVoid<T>(options: RenewalOptions, batch: readonly ReplayPart<T>[], to: Place): Promise<boolean> {
  await options.schemas.refresh();
  const met = await metIn(options, batch);
  return (await voidByCopies(options, met)) || voidAsGone(options, met, to);
}

/** A table as a batch has it. */
interface Met {
  /** Its first event or shape there. */
  first: Place;
  /** Under which it has some. */
  readonly names: Set<string>;
}

/** By relid, the tables of which the batch holds anything that is not void already. */
async function metIn<T>({ reader, schemas, codec, voids }: RenewalOptions, batch: readonly ReplayPart<T>[]): Promise<ReadonlyMap<number, Met>> {
  const met = new Map<number, Met>();
  const note = (table: { readonly relid: number; readonly schema: string; readonly name: string }, { epoch, commitLsn }: Place): void => {
    const place = { epoch, commitLsn };
    const known = met.get(table.relid);
    if (known === undefined) met.set(table.relid, { first: place, names: new Set([tableName(table)]) });
    else {
      known.names.add(tableName(table));
      if (isAfter(known.first, place)) known.first = place;
    }
  };
  const events = new TransactionReader(reader, schemas, codec, { voids });
  for (const { shares, shapes } of batch) {
    for (const { table, end } of shapes) if (!voids.covers(table.relid, end)) note(table, end);
    for (const share of [...shares.values()].flat()) for await (const run of events.read([share], pieceBytes)) note(run.table, share.end);
  }
  return met;
}

async function voidByCopies(options: RenewalOptions, met: ReadonlyMap<number, Met>): Promise<boolean> {
  const { schemas, voids, coverage, logger } = options;
  const copies = met.size === 0 ? [] : await beginnings(options);
  let found = false;
  for (const [relid, { first, names }] of met) {
    const now = schemas.currentOf(relid);
    const isItsOwn = (copy: SnapshotRecord): boolean =>
      copy.relid === relid || (names.has(copy.table) && (now === undefined || tableName(now) === copy.table));
    const next = await firstWhere(copies, async (copy) => isAfter(copy.place, first) && isItsOwn(copy) && (await empties(options, copy)));
    if (next === undefined) continue;
    found = true;
    voids.add(relid, next.place);
    if (names.has(next.table)) coverage.startAt(next.table, next.place);
    logger.warn({ table: [...names].join(), copiedAs: next.table }, 'the replica refuses a row of a table that is copied anew further on: its events are passed over up to there');
  }
  return found;
}

function voidAsGone({ schemas, voids, logger }: RenewalOptions, met: ReadonlyMap<number, Met>, to: Place): boolean {
  const gone = [...met].filter(([relid]) => schemas.isGone(relid));
  if (gone.length === 0) return false;
  for (const [relid] of gone) voids.add(relid, { epoch: to.epoch, commitLsn: to.commitLsn + 1n });
  logger.warn({ tables: gone.flatMap(([, { names }]) => [...names]) }, 'the replica refuses a row: events of tables that were dropped at the source since are passed over');
  return true;
}

/** Where copies begin that concern the sink and are sure to count, in order. */
async function beginnings({ reader, topics, sink }: RenewalOptions): Promise<readonly SnapshotRecord[]> {
  const found: SnapshotRecord[] = [];
  for await (const cursor of records(reader, topics.schema)) {
    const record = decodeControl<SchemaTopicRecord>(cursor.value, `${topics.schema} at offset ${cursor.offset}`);
    if (record.type !== 'snapshot' || !record.confirmed || !record.first || record.where !== null || record.relid === noRelation) continue;
    if (record.sink === null || record.sink === sink) found.push(record);
  }
  return found.toSorted((a, b) => (isAfter(a.place, b.place) ? 1 : isAfter(b.place, a.place) ? -1 : 0));
}

async function firstWhere<T>(list: readonly T[], holds: (one: T) => Promise<boolean>): Promise<T | undefined> {
  for (const one of list) if (await holds(one)) return one;
  return undefined;
}

/** Whether the copy begins with a truncate, in front of what the sink takes. */
async function empties({ reader, topics, schemas, codec, isTaken }: RenewalOptions, copy: SnapshotRecord): Promise<boolean> {
  const end = await endOf(reader, topics.transaction, copy);
  if (end === undefined || !isTaken(end)) return false;
  const shares = end.parts.filter(({ topic }) => topic === end.parts[0]?.topic).map((part) => ({ end, part, tag: null }));
  if (shares.length === 0) return false;
  for await (const run of new TransactionReader(reader, schemas, codec).read(shares, 1)) return run.changes[0]?.op === 't';
  return false;
}

/** The END that confirms a copy's record: it counts, because the record was written again as confirmed. */
async function endOf(reader: LogReader, topic: string, copy: SnapshotRecord): Promise<EndRecord | undefined> {
  for await (const cursor of records(reader, topic, copy.from)) {
    const record = decodeControl<TransactionRecord>(cursor.value, `${topic} at offset ${cursor.offset}`);
    if (record.type === 'end' && record.snapshot?.record === copy.id) return record;
  }
  return undefined;
}

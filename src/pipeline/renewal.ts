import type { Codec } from '../codec/codec.ts';
import { isAfter, type Position } from '../event/position.ts';
import { tableName } from '../event/table.ts';
import type { LogReader } from '../log/log.ts';
import type { Logger } from '../runtime/logger.ts';
import type { EndRecord, Place } from './control-records.ts';
import type { CoverageMap } from './coverage.ts';
import { EndFollower } from './end-follower.ts';
import type { Share } from './partition-feed.ts';
import type { ReplayPart } from './replay-parts.ts';
import type { SchemaReader } from './schema-reader.ts';
import type { TopicNames } from './topics.ts';
import { TransactionReader } from './transaction-reader.ts';

export interface RenewalOptions {
  readonly reader: LogReader;
  readonly topics: TopicNames;
  readonly schemas: SchemaReader;
  readonly codec: Codec;
  /** The sink for which copies count. */
  readonly sink: string;
  readonly coverage: CoverageMap;
  readonly logger: Logger;
}

/** How far ahead is looked: a copy follows its look, and a look the doubt, within seconds of the source's time. */
const most = 1 << 16;

/**
 * The batch without the events and shapes of tables that a copy further on empties first: they are void. A replica may refuse them,
 * because rows had changed without an event before. The batch itself where there are none. `tables`: by topic.
 */
export async function withoutVoid<T>(
  options: RenewalOptions,
  batch: readonly ReplayPart<T>[],
  { position, tables }: { readonly position: Position | null; readonly tables: ReadonlyMap<string, string | null> },
): Promise<readonly ReplayPart<T>[]> {
  const names = new Set(batch.flatMap(({ shapes }) => shapes.map(({ table }) => tableName(table))));
  const topics = new Set(batch.flatMap(({ shares }) => [...shares.keys()]));
  const renewals = await renewalsAhead(options, position, new Map([...tables].filter(([topic, table]) => topics.has(topic) || (table !== null && names.has(table)))));
  const left = batch.map(({ shares, shapes }) => ({
    shapes: shapes.filter(({ table, end }) => ![...renewals].some(([topic, place]) => tables.get(topic) === tableName(table) && isAfter(place, end))),
    shares: new Map([...shares].flatMap((entry) => behind(entry, renewals))),
  }));
  if (count(left) === count(batch)) return batch;
  for (const [topic, place] of renewals) {
    const table = tables.get(topic) as string;
    options.coverage.startAt(table, place);
    options.logger.warn({ table }, 'the replica refuses a row of a table that is copied anew further on: its events are passed over up to there');
  }
  return left;
}

function count<T>(batch: readonly ReplayPart<T>[]): number {
  return batch.reduce((sum, { shares, shapes }) => sum + shapes.length + [...shares.values()].reduce((own, list) => own + list.length, 0), 0);
}

function behind<T>([topic, shares]: readonly [string, readonly Share<T>[]], renewals: ReadonlyMap<string, Place>): [string, readonly Share<T>[]][] {
  const place = renewals.get(topic);
  const rest = place === undefined ? shares : shares.filter(({ end }) => !isAfter(place, end));
  return rest.length === 0 ? [] : [[topic, rest]];
}

/** By topic: where the first copy behind the position that begins with a truncate has its place. */
async function renewalsAhead(options: RenewalOptions, position: Position | null, tables: ReadonlyMap<string, string | null>): Promise<ReadonlyMap<string, Place>> {
  const { reader, topics, schemas, codec, sink } = options;
  const found = new Map<string, Place>();
  const follower = await EndFollower.behind(reader, topics.transaction, position);
  const events = new TransactionReader(reader, schemas, codec);
  for (let seen = 0; seen < most && found.size < tables.size;) {
    const steps = await follower.next(Infinity, 4096);
    if (steps.length === 0) break;
    seen += steps.length;
    for (const { end } of steps) {
      const { snapshot } = end;
      if (snapshot?.first !== true || (snapshot.sink !== null && snapshot.sink !== sink)) continue;
      for (const [topic, table] of tables)
        if (table === snapshot.table && !found.has(topic) && (await beginsEmpty(events, end, topic))) found.set(topic, { epoch: end.epoch, commitLsn: end.commitLsn });
    }
  }
  return found;
}

async function beginsEmpty(events: TransactionReader, end: EndRecord, topic: string): Promise<boolean> {
  const shares = end.parts.filter((part) => part.topic === topic).map((part) => ({ end, part, tag: null }));
  if (shares.length === 0) return false;
  for await (const run of events.read(shares, 1)) return run.changes[0]?.op === 't';
  return false;
}

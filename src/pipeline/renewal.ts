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
const pieceBytes = 1 << 20;

/**
 * The batch without the events and shapes of tables that a copy further on empties first: they are void. A replica may refuse them,
 * because rows had changed without an event before. The batch itself where there are none. `tables`: by topic.
 */
export async function withoutVoid<T>(
  options: RenewalOptions,
  batch: readonly ReplayPart<T>[],
  { position, tables }: { readonly position: Position | null; readonly tables: ReadonlyMap<string, string | null> },
): Promise<readonly ReplayPart<T>[]> {
  const { wanted, gone, dropped } = await wantedOf(options, batch, tables);
  const renewals = await renewalsAhead(options, position, wanted);
  const left = batch.map(({ shares, shapes }) => ({
    shapes: shapes.filter(({ table, end }) => !gone.has(table.relid) && ![...renewals].some(([topic, place]) => tables.get(topic) === tableName(table) && isAfter(place, end))),
    shares: new Map([...shares].flatMap(([topic, list]) => behind([topic, list.filter((share) => !gone.has(share))], renewals))),
  }));
  if (count(left) === count(batch)) return batch;
  if (dropped.length > 0) options.logger.warn({ tables: dropped }, 'the replica refuses a row: events of tables that were dropped at the source since are passed over');
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

/** By topic: where the first copy behind the position that begins with a truncate has its place, of the table or under its next name. */
async function renewalsAhead(options: RenewalOptions, position: Position | null, wanted: readonly Wanted[]): Promise<ReadonlyMap<string, Place>> {
  const { reader, topics, schemas, codec, sink } = options;
  const found = new Map<string, Place>();
  const follower = await EndFollower.behind(reader, topics.transaction, position);
  const events = new TransactionReader(reader, schemas, codec);
  for (let seen = 0; seen < most && found.size < wanted.length;) {
    const steps = await follower.next(Infinity, 4096);
    if (steps.length === 0) break;
    seen += steps.length;
    for (const { end } of steps) {
      for (const { version } of end.shapes ?? []) {
        const shape = await schemas.get(version);
        for (const { relid, names } of wanted) if (relid === shape.relid) names.set(tableName(shape), topics.events(shape));
      }
      const { snapshot } = end;
      if (snapshot?.first !== true || (snapshot.sink !== null && snapshot.sink !== sink)) continue;
      for (const { topic, names } of wanted) {
        const under = names.get(snapshot.table);
        if (under !== undefined && !found.has(topic) && (await beginsEmpty(events, end, under))) found.set(topic, { epoch: end.epoch, commitLsn: end.commitLsn });
      }
    }
  }
  return found;
}

/** What of a batch may be void. */
interface Wanted {
  readonly topic: string;
  /** Whose rows they are; null where they are of more than one table that had the name. */
  readonly relid: number | null;
  /** With their topics: the table's own, and those that it gets further on. Its rows go along with it, and go where that one is copied. */
  readonly names: Map<string, string>;
}

/** `gone`: relids of tables that were dropped since, and shares that hold rows of such tables alone; no copy of them comes. `dropped`: their names. */
async function wantedOf<T>(
  { reader, schemas, codec }: RenewalOptions,
  batch: readonly ReplayPart<T>[],
  tables: ReadonlyMap<string, string | null>,
): Promise<{ readonly wanted: readonly Wanted[]; readonly gone: ReadonlySet<number | Share<T>>; readonly dropped: readonly string[] }> {
  await schemas.refresh();
  const events = new TransactionReader(reader, schemas, codec);
  const gone = new Set<number | Share<T>>();
  const wanted: Wanted[] = [];
  const dropped: string[] = [];
  for (const [topic, table] of tables) {
    if (table === null) continue;
    const relids = new Set(batch.flatMap(({ shapes }) => shapes.flatMap((shape) => (tableName(shape.table) === table ? shape.table.relid : []))));
    for (const share of batch.flatMap((part) => part.shares.get(topic) ?? [])) {
      const own = new Set<number>();
      for await (const run of events.read([share], pieceBytes)) own.add(run.table.relid);
      for (const relid of own) relids.add(relid);
      if (own.size > 0 && [...own].every((relid) => schemas.isGone(relid))) gone.add(share);
    }
    const left = [...relids].filter((relid) => schemas.isGone(relid));
    for (const relid of left) gone.add(relid);
    if (left.length > 0) dropped.push(table);
    if (relids.size > 0) wanted.push({ topic, relid: relids.size === 1 ? ([...relids][0] ?? null) : null, names: new Map([[table, topic]]) });
  }
  return { wanted, gone, dropped };
}

async function beginsEmpty(events: TransactionReader, end: EndRecord, topic: string): Promise<boolean> {
  const shares = end.parts.filter((part) => part.topic === topic).map((part) => ({ end, part, tag: null }));
  if (shares.length === 0) return false;
  for await (const run of events.read(shares, 1)) return run.changes[0]?.op === 't';
  return false;
}

import { isAfter, type Position } from '../event/position.ts';
import { tableName, type TableSchema } from '../event/table.ts';
import type { LogReader } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import { origin, type EndRecord, type Place } from './control-records.ts';
import { CoverageMap } from './coverage.ts';
import { EndFollower, isLink } from './end-follower.ts';
import { copiesAt, oldestPlace } from './sink-start.ts';
import type { TopicNames } from './topics.ts';

export interface ReplayStartOptions {
  readonly reader: LogReader;
  readonly topics: TopicNames;
  readonly sink: string;
  readonly snapshot: 'initial' | 'never';
  /** The tables that the log knows and the sink takes. */
  readonly tables: readonly TableSchema[];
  readonly position: Position | null;
  /** The copies are those that had begun by then: one that came later would leave nothing of what was there before it. */
  readonly copiesAt: Place;
}

/**
 * From where on a replica that is built from the log alone takes each table. Nothing can be asked for: throws `gap` where the beginning of a
 * table's copy is gone.
 */
export async function startFromLog(options: ReplayStartOptions): Promise<CoverageMap> {
  const { reader, topics, sink, snapshot, position } = options;
  const copies = await copiesAt(position ?? options.copiesAt, { reader, topics });
  const coverage = new CoverageMap(sink, snapshot, { copies, passed: position === null ? new Map() : copies });
  const oldest = await oldestPlace(reader, topics.transaction);
  for (const table of options.tables) {
    const name = tableName(table);
    const begin = coverage.copy(name)?.begin ?? null;
    // The first copy may be still to come.
    if (position !== null || begin === null) coverage.startAt(name, origin);
    else if (oldest === null || !isAfter(oldest, begin)) coverage.startAt(name, begin);
    else throw new TailraceError('gap', `the log no longer holds ${name} from its beginning, so that ${sink} cannot be built from it alone`, { remedy: 'Keep the log longer (log.retention), choose a later point, or let a running sink be filled: it asks for a copy.' });
  }
  return coverage;
}

/** The last transaction with something of its own of which `holds` is true, before the first of which it is not; null when it is of none that the log holds. */
export async function lastEndWhere(reader: LogReader, topic: string, holds: (end: EndRecord) => boolean): Promise<EndRecord | null> {
  const follower = await EndFollower.behind(reader, topic, null);
  let last: EndRecord | null = null;
  for (;;) {
    const steps = await follower.next(Number.POSITIVE_INFINITY, 4096);
    for (const { end } of steps) {
      if (!holds(end)) return last;
      if (isLink(end)) last = end;
    }
    if (steps.length === 0) return last;
  }
}

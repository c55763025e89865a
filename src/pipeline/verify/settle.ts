import type { RowId, RowState, TableDigests } from '../../event/digest.ts';
import type { SourceDigests, WatchedRow } from '../../source/verifier.ts';
import type { HistoryReader } from './history-reader.ts';
import { judge, judgeWithHistory, type Evidence } from './judge.ts';

export interface SettleParts {
  readonly source: Pick<SourceDigests, 'watch' | 'writers'>;
  readonly replica: Pick<TableDigests, 'look'>;
  readonly history: HistoryReader;
  /** Writes a marker and waits until the replica has passed it; false when it does not get there. */
  readonly passed: () => Promise<boolean>;
  /** Before another round, the first time with 1. */
  readonly pause: (round: number) => Promise<void>;
  readonly rounds: number;
}

/** A row that is certainly not the same: undefined where it is not there. */
export interface Difference {
  readonly source: RowState | undefined;
  readonly replica: RowState | undefined;
}

export interface Settled {
  readonly different: ReadonlyMap<RowId, Difference>;
  /** Changed whenever they were looked at; or a transaction would not end that may have changed them. */
  readonly changing: readonly RowId[];
  readonly stuck: readonly RowId[];
  /** The replica did not pass the marker, so nothing can be said. */
  readonly unconfirmed: readonly RowId[];
}

/**
 * Looks at suspects until each is certain: at the source, at the replica once it has passed a marker written after that, and
 * at the source again. What differs then, although the source's row was the same throughout, is different. What changed
 * meanwhile is looked up in the log, and looked at again.
 */
export async function settle(parts: SettleParts, suspects: readonly RowId[]): Promise<Settled> {
  const different = new Map<RowId, Difference>();
  let open = suspects;
  let stuck: readonly RowId[] = [];
  for (let round = 1; open.length > 0; round++) {
    const seen = await look(parts, open);
    if (seen === null) return { different, changing: [], stuck: [], unconfirmed: open };
    const verdicts = await judgeAll(parts, open, seen);
    for (const id of verdicts.different) different.set(id, differenceOf(seen, id));
    open = [...verdicts.changing, ...verdicts.stuck];
    stuck = verdicts.stuck;
    if (round >= parts.rounds) break;
    if (open.length > 0) await parts.pause(round);
  }
  const waiting = new Set(stuck);
  return { different, changing: open.filter((id) => !waiting.has(id)), stuck, unconfirmed: [] };
}

interface Seen {
  readonly before: ReadonlyMap<RowId, WatchedRow>;
  readonly replica: ReadonlyMap<RowId, RowState>;
  readonly after: ReadonlyMap<RowId, WatchedRow>;
  readonly mark: readonly number[];
  readonly stuck: boolean;
}

/** The order is what the verdicts rest on (judge.ts). */
async function look({ source, replica, history, passed }: SettleParts, ids: readonly RowId[]): Promise<Seen | null> {
  const mark = await history.mark();
  const writersBefore = await source.writers();
  const before = await source.watch(ids);
  if (!(await passed())) return null;
  const found = await replica.look(ids);
  const writersAfter = await source.writers();
  const after = await source.watch(ids);
  return { before, replica: found, after, mark, stuck: [...writersAfter].some((writer) => writersBefore.has(writer)) };
}

async function judgeAll(parts: SettleParts, ids: readonly RowId[], seen: Seen): Promise<Record<'different' | 'changing' | 'stuck', RowId[]>> {
  const verdicts: Record<'different' | 'changing' | 'stuck', RowId[]> = { different: [], changing: [], stuck: [] };
  const unsure: RowId[] = [];
  for (const id of ids) {
    const verdict = judge(evidence(seen, id));
    if (verdict === 'different') verdicts.different.push(id);
    else if (verdict === 'unsure') unsure.push(id);
  }
  if (unsure.length === 0) return verdicts;
  const histories = await parts.history.since(seen.mark, unsure);
  for (const id of unsure) {
    const verdict = judgeWithHistory(evidence(seen, id), histories.of(id), seen.stuck);
    if (verdict !== 'equal') verdicts[verdict].push(id);
  }
  return verdicts;
}

function evidence(seen: Seen, id: RowId): Evidence {
  return { before: seen.before.get(id), replica: seen.replica.get(id), after: seen.after.get(id) };
}

function differenceOf(seen: Seen, id: RowId): Difference {
  return { source: seen.after.get(id)?.state, replica: seen.replica.get(id) };
}

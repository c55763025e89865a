import { isAfter } from '../event/position.ts';
import { origin, type EndRecord, type Place, type SnapshotRecord } from './control-records.ts';
import { copyKey, noRelation } from './log-state.ts';

/** What a sink does with a table's events at a place; the last three are `TableChanges.coverage`. */
export type Coverage = 'pass-over' | 'complete' | 'copying' | 'partial';

type Copies = ReadonlyMap<string, SnapshotRecord>;

/** Where the newest copy that concerns this sink began and ended. */
interface Span {
  begin: Place | null;
  done: Place | null;
}

interface TableState {
  /** As far as it was passed or is known from `schema`. */
  readonly known: Span;
  /** By what the log had said up to where the sink is, and nothing later. */
  readonly passed: Span;
  /** Events before this place are passed over. */
  since: Place;
  /** Only a copy addressed to this sink opens the table. */
  awaiting: boolean;
}

/**
 * What part of each table the replica has (PROTOCOL, Latecomers and Applying). An update of a row that isn't there is normal
 * while its table is being copied and an error afterwards; before the copy that a sink begins with, events are passed over.
 */
export class CoverageMap {
  readonly #sink: string;
  readonly #snapshot: 'initial' | 'never';
  readonly #copies: Copies;
  readonly #passed: Copies;
  readonly #tables = new Map<string, TableState>();

  /** `copies`: all that `schema` has when the sink opens; `passed`: those of them that it had where the sink's position is. */
  constructor(sink: string, snapshot: 'initial' | 'never', { copies, passed }: { readonly copies: Copies; readonly passed: Copies }) {
    this.#sink = sink;
    this.#snapshot = snapshot;
    this.#copies = copies;
    this.#passed = passed;
  }

  /** The newest copy of the table that concerns this sink, as `schema` had it when the sink opened. */
  copy(table: string, copies = this.#copies): SnapshotRecord | null {
    const forAll = copies.get(copyKey(table, null)) ?? null;
    const forMe = copies.get(copyKey(table, this.#sink)) ?? null;
    if (forAll === null || forMe === null) return forMe ?? forAll;
    return isAfter(forMe.begin, forAll.begin) ? forMe : forAll;
  }

  /** From where on the table's events are applied. */
  startAt(table: string, since: Place): void {
    this.#state(table).since = since;
  }

  /** The table is passed over until the copy that this sink asked for begins. */
  await(table: string): void {
    this.#state(table).awaiting = true;
  }

  /** Whether a copy was begun, and whether it was passed to its end, with which the table is whole. */
  copyOf(table: string): 'none' | 'begun' | 'done' {
    const { begin, done } = this.#state(table).known;
    return begin === null ? 'none' : done === null ? 'begun' : 'done';
  }

  /** Tables that it was told of, and of which no copy was met. */
  uncopied(): readonly string[] {
    return [...this.#tables.keys()].filter((table) => this.copyOf(table) === 'none').toSorted();
  }

  /** Tables that are passed over so. */
  awaiting(): readonly string[] {
    return [...this.#tables].filter(([, { awaiting }]) => awaiting).map(([table]) => table).toSorted();
  }

  /** Behind a gap every table is copied anew: until then a row may be missing that the source has. */
  forgetCopies(): void {
    for (const { known, passed } of this.#tables.values()) known.done = passed.done = null;
  }

  /** Notes what an END says of a copy; call it before asking for the END's own coverage. */
  pass(end: EndRecord): void {
    const { snapshot } = end;
    for (const { table, doubtful } of end.shapes ?? []) if (doubtful) this.#state(table).known.done = this.#state(table).passed.done = null;
    if (snapshot === null || !this.concerns(end)) return;
    const state = this.#state(snapshot.table);
    if (state.awaiting && snapshot.sink !== this.#sink) return;
    const place = { epoch: end.epoch, commitLsn: end.commitLsn };
    if (snapshot.first) {
      state.known.begin = state.passed.begin = place;
      state.known.done = state.passed.done = null;
      if (state.awaiting) state.since = place;
      state.awaiting = false;
    }
    if (snapshot.last) state.known.done = state.passed.done = place;
  }

  /** Whether the END's events are for this sink at all. */
  concerns(end: EndRecord): boolean {
    return end.snapshot === null || end.snapshot.sink === null || end.snapshot.sink === this.#sink;
  }

  at(table: string, place: Place): Coverage {
    return this.#by('known', table, place);
  }

  /**
   * Whether the table was copied when the log was written up to there: the same wherever reading began, which `at` is not. What comes in the
   * log behind the place must not have been passed yet.
   */
  isCopied(table: string, place: Place): boolean {
    return ['complete', 'partial'].includes(this.#by('passed', table, place));
  }

  #by(span: 'known' | 'passed', table: string, place: Place): Coverage {
    const { since, awaiting, [span]: { begin, done } } = this.#state(table);
    if (awaiting || isAfter(since, place)) return 'pass-over';
    if (begin === null) return this.#snapshot === 'never' ? 'partial' : 'copying';
    return done === null || !isAfter(place, done) ? 'copying' : 'complete';
  }

  #state(table: string): TableState {
    let state = this.#tables.get(table);
    if (state === undefined) {
      state = { known: spanOf(this.copy(table)), passed: spanOf(this.copy(table, this.#passed)), since: origin, awaiting: false };
      this.#tables.set(table, state);
    }
    return state;
  }
}

/** A copy that was declared void has no relation. */
function spanOf(copy: SnapshotRecord | null): Span {
  return { begin: copy?.begin ?? null, done: copy !== null && copy.relid !== noRelation && copy.last ? copy.place : null };
}

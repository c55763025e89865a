import { isAfter } from '../event/position.ts';
import { origin, type EndRecord, type Place, type SnapshotRecord } from './control-records.ts';
import { copyKey } from './log-state.ts';

/** What a sink does with a table's events at a place; the last three are `TableChanges.coverage`. */
export type Coverage = 'pass-over' | 'complete' | 'copying' | 'partial';

interface TableState {
  /** Where the newest copy that concerns this sink began and ended, as far as it was passed or is known from `schema`. */
  begin: Place | null;
  done: Place | null;
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
  readonly #copies: ReadonlyMap<string, SnapshotRecord>;
  readonly #tables = new Map<string, TableState>();

  constructor(sink: string, snapshot: 'initial' | 'never', copies: ReadonlyMap<string, SnapshotRecord>) {
    this.#sink = sink;
    this.#snapshot = snapshot;
    this.#copies = copies;
  }

  /** The newest copy of the table that concerns this sink, as `schema` had it when the sink opened. */
  copy(table: string): SnapshotRecord | null {
    const forAll = this.#copies.get(copyKey(table, null)) ?? null;
    const forMe = this.#copies.get(copyKey(table, this.#sink)) ?? null;
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
    const { begin, done } = this.#state(table);
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
    for (const state of this.#tables.values()) state.done = null;
  }

  /** Notes what an END says of a copy; call it before asking for the END's own coverage. */
  pass(end: EndRecord): void {
    const { snapshot } = end;
    for (const { table, doubtful } of end.shapes ?? []) if (doubtful) this.#state(table).done = null;
    if (snapshot === null || !this.concerns(end)) return;
    const state = this.#state(snapshot.table);
    if (state.awaiting && snapshot.sink !== this.#sink) return;
    const place = { epoch: end.epoch, commitLsn: end.commitLsn };
    if (snapshot.first) {
      state.begin = place;
      state.done = null;
      if (state.awaiting) state.since = place;
      state.awaiting = false;
    }
    if (snapshot.last) state.done = place;
  }

  /** Whether the END's events are for this sink at all. */
  concerns(end: EndRecord): boolean {
    return end.snapshot === null || end.snapshot.sink === null || end.snapshot.sink === this.#sink;
  }

  at(table: string, place: Place): Coverage {
    const { begin, done, since, awaiting } = this.#state(table);
    if (awaiting || isAfter(since, place)) return 'pass-over';
    if (begin === null) return this.#snapshot === 'never' ? 'partial' : 'copying';
    return done === null || !isAfter(place, done) ? 'copying' : 'complete';
  }

  #state(table: string): TableState {
    let state = this.#tables.get(table);
    if (state === undefined) {
      const copy = this.copy(table);
      // A copy that was declared void has no relation.
      const done = copy !== null && copy.relid !== 0 && copy.last ? copy.place : null;
      state = { begin: copy?.begin ?? null, done, since: origin, awaiting: false };
      this.#tables.set(table, state);
    }
    return state;
  }
}

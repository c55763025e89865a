import { decodeValue, encodeValue } from './canonical.ts';
import { keyText } from './join.ts';
import { inconsistent, type Emit, type Node } from './node.ts';
import { orderKey } from './order-key.ts';
import type { JoinKeep, JoinSides } from './plan.ts';
import type { State } from './state.ts';
import type { LateOfJoin } from './join-windows.ts';
import { Watermark, type Clock } from './watermark.ts';
import type { JoinWindowSpec } from './windows.ts';

interface Found {
  readonly row: unknown;
  readonly n: number;
  readonly at: number;
}

interface SideOptions {
  readonly state: State;
  readonly node: number;
  readonly letter: 'l' | 'r';
  readonly key: (row: unknown) => unknown;
  readonly at: (row: unknown) => number | null;
  /** How much earlier and later than a row of this side its partners may be. */
  readonly back: number;
  readonly ahead: number;
}

/** Rounding of times with fractions must not lose a partner: what is looked up is wider by this, in milliseconds. */
const slack = 1;
/** The key of rows that meet nobody; no text of a value begins so. */
const nobody = '\0';

/** The rows of one side that can still count: by their key and time, and by their time alone, so that they can be let go of. */
class TimedSide {
  readonly #of: SideOptions;
  readonly #byTime: string;

  constructor(of: SideOptions) {
    this.#of = of;
    this.#byTime = `${of.letter}\0time`;
  }

  at(row: unknown): number | null {
    const at = this.#of.at(row);
    return at !== null && Number.isFinite(at) ? at : null;
  }

  key(row: unknown): string {
    return keyText(this.#of.key(row)) ?? nobody;
  }

  /** Nothing that could meet a row of this time may come any more. */
  isClosed(at: number, watermark: number): boolean {
    return at + this.#of.ahead < watermark;
  }

  add(key: string, { row, at, n }: Found): void {
    const { state, node, letter } = this.#of;
    const ord = orderKey(at);
    if (state.order(node, { key: letter + key, ord, item: encodeValue(row) }, n) < 0) throw inconsistent('a row of a join');
    state.order(node, { key: this.#byTime, ord, item: key }, n);
  }

  /** Rows of this side that a row of the other one meets. */
  *near(key: string, at: number): Iterable<Found> {
    if (key === nobody) return;
    const { state, node, letter, back, ahead } = this.#of;
    for (const { item, n } of state.between(node, letter + key, orderKey(at - ahead - slack), orderKey(at + back + slack))) {
      const row = decodeValue(item);
      const own = this.#of.at(row) ?? NaN;
      // The same difference from either side, so that both see the same pairs.
      if (at - own >= -back && at - own <= ahead) yield { row, n, at: own };
    }
  }

  hasNear(key: string, at: number): boolean {
    for (const _ of this.near(key, at)) return true;
    return false;
  }

  /** Rows from one time on to before another, in the order of time. */
  *from(start: number, end: number): Iterable<Found & { readonly key: string }> {
    const { state, node, letter } = this.#of;
    for (const { ord, item: key } of state.between(node, this.#byTime, orderKey(start), orderKey(end))) {
      for (const { item, n } of state.between(node, letter + key, ord, ord)) {
        const row = decodeValue(item);
        const at = this.#of.at(row) ?? NaN;
        if (at < end) yield { row, n, at, key };
      }
    }
  }

  /** Lets go of rows of before a time. */
  drop(end: number): void {
    const { state, node, letter } = this.#of;
    for (const { ord, item: key } of state.between(node, this.#byTime, orderKey(-Infinity), orderKey(end))) {
      state.dropAt(node, letter + key, ord);
      state.dropAt(node, this.#byTime, ord);
    }
  }
}

export interface WindowJoinParts {
  readonly state: State;
  readonly emit: Emit;
  readonly late: Emit;
  readonly clock: Clock;
}

/** Up to where results were told, with `emit: 'closed'`. */
const toldKey = '\0told';

/**
 * Rows of two sides whose keys are equal and whose times are near (ADR 63). A row may come and go until the watermark has passed all
 * times at which it could meet one. Its partners are let go of later than that by the width of the window, because whether
 * one of those stands alone depends on its own partners.
 */
export class WindowJoinNode implements Node {
  readonly #id: number;
  readonly #parts: WindowJoinParts;
  readonly #sides: readonly [TimedSide, TimedSide];
  readonly #combine: (left: unknown, right: unknown) => unknown;
  readonly #keeps: readonly [boolean, boolean];
  readonly #spec: JoinWindowSpec;
  readonly #watermark: Watermark;

  constructor(of: JoinSides & { readonly id: number; readonly keep: JoinKeep; readonly window: JoinWindowSpec }, parts: WindowJoinParts) {
    const { id, window } = of;
    const { before, after, grace } = window;
    const { state } = parts;
    this.#id = id;
    this.#parts = parts;
    this.#combine = of.combine as (left: unknown, right: unknown) => unknown;
    this.#keeps = [of.keep !== 'neither', of.keep === 'both'];
    this.#spec = window;
    this.#watermark = new Watermark({ state, node: id, grace, clock: parts.clock });
    this.#sides = [
      new TimedSide({ state, node: id, letter: 'l', key: of.leftKey as (row: unknown) => unknown, at: window.leftAt as (row: unknown) => number | null, back: before, ahead: after }),
      new TimedSide({ state, node: id, letter: 'r', key: of.rightKey as (row: unknown) => unknown, at: window.rightAt as (row: unknown) => number | null, back: after, ahead: before }),
    ];
  }

  receive(port: number, row: unknown, times: number): void {
    const isLeft = port === 0;
    const own = this.#sides[isLeft ? 0 : 1];
    const at = own.at(row);
    if (at === null) return;
    if (own.isClosed(at, this.#watermark.value)) {
      this.#parts.late({ left: isLeft ? row : null, right: isLeft ? null : row, removed: times < 0 } satisfies LateOfJoin<unknown, unknown>, Math.abs(times));
    } else {
      const found = { row, at, n: times };
      const key = own.key(row);
      // Partners are met without the row, so that each sees whether it is alone but for it.
      if (times < 0) own.add(key, found);
      if (this.#spec.emit === 'changes') this.#meet(isLeft, key, found);
      if (times > 0) own.add(key, found);
    }
    this.#watermark.see(times > 0 ? at : undefined);
  }

  pass(port: number, row: unknown, times: number): void {
    const at = this.#sides[port === 0 ? 0 : 1].at(row);
    if (at !== null) this.#watermark.see(times > 0 ? at : undefined);
  }

  flush(): void {
    if (!this.#watermark.settle()) return;
    const { before, after, emit } = this.#spec;
    const { value } = this.#watermark;
    const width = before + after;
    if (emit === 'closed') this.#tell(value - width);
    this.#sides[0].drop(value - width - after - slack);
    this.#sides[1].drop(value - width - before - slack);
  }

  #meet(isLeft: boolean, key: string, { row, at, n: times }: Found): void {
    const [own, other] = isLeft ? [0, 1] as const : [1, 0] as const;
    let alone = true;
    for (const partner of this.#sides[other].near(key, at)) {
      alone = false;
      const wasAlone = this.#keeps[other] && !this.#sides[own].hasNear(key, partner.at);
      if (wasAlone) this.#alone(!isLeft, partner.row, -Math.sign(times) * partner.n);
      this.#pair(isLeft, [row, partner.row], times * partner.n);
    }
    if (alone && this.#keeps[own]) this.#alone(isLeft, row, times);
  }

  /** Tells what rows of before a time gave: neither they nor those that they met can change any more. */
  #tell(end: number): void {
    const { state } = this.#parts;
    const start = Number(state.entry(this.#id, toldKey) ?? -Infinity);
    state.setEntry(this.#id, toldKey, String(end));
    const [left, right] = this.#sides;
    for (const { row, n, at, key } of left.from(start, end)) {
      let alone = true;
      for (const partner of right.near(key, at)) {
        alone = false;
        this.#pair(true, [row, partner.row], n * partner.n);
      }
      if (alone && this.#keeps[0]) this.#alone(true, row, n);
    }
    if (!this.#keeps[1]) return;
    for (const { row, n, at, key } of right.from(start, end)) if (!left.hasNear(key, at)) this.#alone(false, row, n);
  }

  #pair(isLeft: boolean, [own, other]: readonly [unknown, unknown], times: number): void {
    this.#parts.emit(isLeft ? this.#combine(own, other) : this.#combine(other, own), times);
  }

  #alone(isLeft: boolean, row: unknown, times: number): void {
    this.#parts.emit(isLeft ? this.#combine(row, null) : this.#combine(null, row), times);
  }
}

import { decodeValue, encodeValue } from './canonical.ts';
import { inconsistent, type Emit, type Node } from './node.ts';
import type { JoinSides } from './plan.ts';
import type { Counted, State } from './state.ts';

type Keyed = (row: unknown) => unknown;
type Combine = (left: unknown, right: unknown) => unknown;

/** Each side's rows by their key. The tables of the state are told apart by the side's letter in front of the key. */
class Side {
  readonly #state: State;
  readonly #node: number;
  readonly #letter: string;

  constructor(state: State, node: number, letter: 'l' | 'r') {
    this.#state = state;
    this.#node = node;
    this.#letter = letter;
  }

  add(key: string, row: unknown, times: number): void {
    const n = this.#state.count(this.#node, { key: this.#letter + key, item: encodeValue(row) }, times);
    if (n < 0) throw inconsistent('a row of a join');
  }

  rows(key: string): readonly Counted[] {
    return this.#state.counted(this.#node, this.#letter + key);
  }
}

/** The text of a join key; null when there is a null in it, because NULL equals nothing. */
export function keyText(key: unknown): string | null {
  if (key === null || key === undefined) return null;
  if (Array.isArray(key) && key.some((part) => part === null || part === undefined)) return null;
  return encodeValue(key);
}

/** Both sides are kept; a change of one meets what the other has. With `keepLeft` a row without a partner stands alone. */
export class JoinNode implements Node {
  readonly #sides: readonly [Side, Side];
  readonly #keys: readonly [Keyed, Keyed];
  readonly #combine: Combine;
  readonly #keepLeft: boolean;
  readonly #emit: Emit;

  constructor(of: JoinSides & { readonly id: number; readonly keepLeft: boolean }, state: State, emit: Emit) {
    this.#sides = [new Side(state, of.id, 'l'), new Side(state, of.id, 'r')];
    this.#keys = [of.leftKey as Keyed, of.rightKey as Keyed];
    this.#combine = of.combine as Combine;
    this.#keepLeft = of.keepLeft;
    this.#emit = emit;
  }

  receive(port: number, row: unknown, times: number): void {
    const isLeft = port === 0;
    const key = keyText((isLeft ? this.#keys[0] : this.#keys[1])(row));
    if (key === null) {
      if (isLeft && this.#keepLeft) this.#emit(this.#combine(row, null), times);
      return;
    }
    const [left, right] = this.#sides;
    if (isLeft) {
      left.add(key, row, times);
      const partners = right.rows(key);
      if (partners.length === 0 && this.#keepLeft) this.#emit(this.#combine(row, null), times);
      for (const { item, n } of partners) this.#emit(this.#combine(row, decodeValue(item)), times * n);
      return;
    }
    const alone = this.#keepLeft && right.rows(key).length === 0;
    right.add(key, row, times);
    const aloneNow = this.#keepLeft && right.rows(key).length === 0;
    for (const { item, n } of left.rows(key)) {
      const partner = decodeValue(item);
      if (alone) this.#emit(this.#combine(partner, null), -n);
      this.#emit(this.#combine(partner, row), times * n);
      if (aloneNow) this.#emit(this.#combine(partner, null), n);
    }
  }
}

/** Only the right side is kept: each event meets what it has now. */
export class LookupNode implements Node {
  readonly #right: Side;
  readonly #keys: readonly [Keyed, Keyed];
  readonly #combine: Combine;
  readonly #emit: Emit;

  constructor(of: JoinSides & { readonly id: number }, state: State, emit: Emit) {
    this.#right = new Side(state, of.id, 'r');
    this.#keys = [of.leftKey as Keyed, of.rightKey as Keyed];
    this.#combine = of.combine as Combine;
    this.#emit = emit;
  }

  receive(port: number, row: unknown, times: number): void {
    const key = keyText((port === 0 ? this.#keys[0] : this.#keys[1])(row));
    if (port === 1) {
      if (key !== null) this.#right.add(key, row, times);
      return;
    }
    const partners = key === null ? [] : this.#right.rows(key);
    if (partners.length === 0) this.#emit(this.#combine(row, null), times);
    for (const { item, n } of partners) this.#emit(this.#combine(row, decodeValue(item)), times * n);
  }
}

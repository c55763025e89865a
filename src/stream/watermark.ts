import type { State } from './state.ts';

const key = '\0watermark';
const newestKey = '\0newest';

/** Event time stands while tables are copied: rows that were there before come in any order, and table after table. */
export interface Clock {
  readonly stands: boolean;
}

const running: Clock = { stands: false };

/** Up to which event time everything is taken to have come: the newest time seen less the grace. It never goes back. */
export class Watermark {
  readonly #state: State;
  readonly #node: number;
  readonly #grace: number;
  readonly #clock: Clock;
  #newest: number;
  #value: number;
  #kept: { readonly value: number; readonly newest: number };

  constructor(of: { readonly state: State; readonly node: number; readonly grace: number; readonly clock?: Clock }) {
    this.#state = of.state;
    this.#node = of.node;
    this.#grace = of.grace;
    this.#clock = of.clock ?? running;
    this.#value = Number(of.state.entry(of.node, key) ?? -Infinity);
    this.#newest = Number(of.state.entry(of.node, newestKey) ?? this.#value + of.grace);
    this.#kept = { value: this.#value, newest: this.#newest };
  }

  get value(): number {
    return this.#value;
  }

  /** Without a time it only catches up with those that were seen while the clock stood. */
  see(at = -Infinity): void {
    if (at > this.#newest) this.#newest = at;
    if (!this.#clock.stands && this.#newest - this.#grace > this.#value) this.#value = this.#newest - this.#grace;
  }

  /** Keeps it with the step; whether it has moved. */
  settle(): boolean {
    const kept = this.#kept;
    this.#kept = { value: this.#value, newest: this.#newest };
    // Where the clock runs, the one follows from the other.
    if (this.#newest !== kept.newest && this.#clock !== running) this.#state.setEntry(this.#node, newestKey, String(this.#newest));
    if (this.#value === kept.value) return false;
    this.#state.setEntry(this.#node, key, String(this.#value));
    return true;
  }
}

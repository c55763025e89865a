import type { State } from './state.ts';

const key = '\0watermark';

/** Up to which event time everything is taken to have come: the newest time seen less the grace. It never goes back. */
export class Watermark {
  readonly #state: State;
  readonly #node: number;
  readonly #grace: number;
  #value: number;
  #kept: number;

  constructor(state: State, node: number, grace: number) {
    this.#state = state;
    this.#node = node;
    this.#grace = grace;
    this.#kept = this.#value = Number(state.entry(node, key) ?? -Infinity);
  }

  get value(): number {
    return this.#value;
  }

  see(at: number): void {
    if (at - this.#grace > this.#value) this.#value = at - this.#grace;
  }

  /** Keeps it with the step; whether it has moved. */
  settle(): boolean {
    if (this.#value === this.#kept) return false;
    this.#kept = this.#value;
    this.#state.setEntry(this.#node, key, String(this.#value));
    return true;
  }
}

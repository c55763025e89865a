import { TailraceError } from '../runtime/errors.ts';
import { decodeValue, encodeValue } from './canonical.ts';
import type { Node } from './node.ts';
import { outputTexts } from './output-types.ts';
import type { Output } from './plan.ts';
import type { State } from './state.ts';

const page = 1000;
/** Changes of a step are counted in memory up to so many characters; those of a larger step are in the state. */
const mostHeld = 4 << 20;

/**
 * What a stream publishes. The rows of a keyed output are kept as they were published last; the changes of a step are counted by
 * key and content, and each key that is another at its end is posted once, with what it was and what it is.
 */
export class OutputNode implements Node {
  readonly #id: number;
  readonly #output: Output;
  readonly #state: State;
  readonly #keyAt: readonly number[];
  /** By key, how often each content of its row came, less how often it went. */
  readonly #held = new Map<string, Map<string, number>>();
  #characters = 0;
  /** Some of the step's changes are in the state. */
  #spilled = false;

  constructor(id: number, output: Output, state: State) {
    this.#id = id;
    this.#output = output;
    this.#state = state;
    this.#keyAt = output.key.map((column) => output.columns.findIndex(({ name }) => name === column));
  }

  receive(_port: number, row: unknown, times: number): void {
    const texts = outputTexts(this.#output, row);
    if (this.#keyAt.length === 0) {
      if (times < 0) throw new TailraceError('stream-inconsistent', `${name(this.#output)} has events, and one of them is taken back`);
      for (let i = 0; i < times; i++) this.#state.post(this.#id, null, encodeValue(texts));
      return;
    }
    const keyTexts = this.#keyAt.map((at) => texts[at] ?? null);
    if (keyTexts.includes(null)) throw new TailraceError('sink-data', `a row for ${name(this.#output)} has no value in a column of its key (${this.#output.key.join(', ')})`);
    this.#hold(encodeValue(keyTexts), encodeValue(texts), times);
  }

  flush(): void {
    if (this.#spilled) {
      this.#spill();
      this.#flushState();
      this.#spilled = false;
    }
    // By key, so that the state's pages are touched in their order.
    for (const key of [...this.#held.keys()].sort()) this.#settle(key, this.#held.get(key) as Map<string, number>);
    this.#clear();
  }

  #hold(key: string, item: string, times: number): void {
    let items = this.#held.get(key);
    if (items === undefined) this.#held.set(key, (items = new Map<string, number>()));
    const before = items.get(item);
    items.set(item, (before ?? 0) + times);
    if (before !== undefined) return;
    this.#characters += key.length + item.length;
    if (this.#characters > mostHeld) this.#spill();
  }

  #spill(): void {
    for (const [key, items] of this.#held) for (const [item, n] of items) if (n !== 0) this.#state.count(this.#id, { key, item }, n);
    this.#clear();
    this.#spilled = true;
  }

  #clear(): void {
    this.#held.clear();
    this.#characters = 0;
  }

  #flushState(): void {
    for (;;) {
      const found = this.#state.countedAfter(this.#id, { key: '', item: '' }, page);
      // A key's items end within the page, or the page holds them again from their beginning.
      const last = found.length < page ? null : found.at(-1)?.key;
      const byKey = Map.groupBy(found.filter(({ key }) => key !== last), ({ key }) => key);
      for (const [key, items] of byKey) {
        this.#settle(key, new Map(items.map(({ item, n }) => [item, n])));
        for (const { item, n } of items) this.#state.count(this.#id, { key, item }, -n);
      }
      if (last === null) return;
      if (byKey.size === 0) throw this.#several(last ?? '');
    }
  }

  #settle(key: string, items: ReadonlyMap<string, number>): void {
    const before = this.#state.entry(this.#id, key);
    const counts = new Map(before === null ? [] : [[before, 1]]);
    for (const [item, n] of items) counts.set(item, (counts.get(item) ?? 0) + n);
    const left = [...counts].filter(([, n]) => n !== 0);
    if (left.some(([, n]) => n < 0)) throw new TailraceError('stream-inconsistent', `a row of ${name(this.#output)} is taken back that was never published`);
    if (left.length > 1 || left.some(([, n]) => n > 1)) throw this.#several(key);
    const after = left[0]?.[0] ?? null;
    if (after === before) return;
    this.#state.setEntry(this.#id, key, after);
    this.#state.post(this.#id, before, after);
  }

  #several(key: string): TailraceError {
    const count = (decodeValue(key) as unknown[]).length;
    return new TailraceError('sink-data', `${name(this.#output)} would have several rows of one key (${this.#output.key.join(', ')}, ${count} values)`, {
      remedy: 'Take more columns into the key of the output, or group by it.',
    });
  }
}

function name({ schema, name }: Output): string {
  return `${schema}.${name}`;
}

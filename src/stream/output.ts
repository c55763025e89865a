import { TailraceError } from '../runtime/errors.ts';
import { decodeValue, encodeValue } from './canonical.ts';
import type { Node } from './node.ts';
import { outputTexts } from './output-types.ts';
import type { Output } from './plan.ts';
import type { State } from './state.ts';

const page = 1000;

/**
 * What a stream publishes. The rows of a keyed output are kept as they were published last; the changes of a step are counted by
 * key and content, and each key that is another at its end is posted once, with what it was and what it is.
 */
export class OutputNode implements Node {
  readonly #id: number;
  readonly #output: Output;
  readonly #state: State;

  constructor(id: number, output: Output, state: State) {
    this.#id = id;
    this.#output = output;
    this.#state = state;
  }

  receive(_port: number, row: unknown, times: number): void {
    const texts = outputTexts(this.#output, row);
    const { key } = this.#output;
    if (key.length === 0) {
      if (times < 0) throw new TailraceError('stream-inconsistent', `${name(this.#output)} has events, and one of them is taken back`);
      for (let i = 0; i < times; i++) this.#state.post(this.#id, null, encodeValue(texts));
      return;
    }
    const keyTexts = key.map((column) => texts[this.#output.columns.findIndex(({ name }) => name === column)] ?? null);
    if (keyTexts.includes(null)) throw new TailraceError('sink-data', `a row for ${name(this.#output)} has no value in a column of its key (${key.join(', ')})`);
    this.#state.count(this.#id, { key: encodeValue(keyTexts), item: encodeValue(texts) }, times);
  }

  flush(): void {
    for (;;) {
      const found = this.#state.countedAfter(this.#id, { key: '', item: '' }, page);
      // A key's items end within the page, or the page holds them again from their beginning.
      const last = found.length < page ? null : found.at(-1)?.key;
      const byKey = Map.groupBy(found.filter(({ key }) => key !== last), ({ key }) => key);
      for (const [key, items] of byKey) {
        this.#settle(key, items);
        for (const { item, n } of items) this.#state.count(this.#id, { key, item }, -n);
      }
      if (last === null) return;
      if (byKey.size === 0) throw this.#several(last ?? '');
    }
  }

  #settle(key: string, items: readonly { readonly item: string; readonly n: number }[]): void {
    const before = this.#state.entry(this.#id, key);
    const counts = new Map(before === null ? [] : [[before, 1]]);
    for (const { item, n } of items) counts.set(item, (counts.get(item) ?? 0) + n);
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

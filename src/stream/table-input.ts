import type { RowChange } from '../event/change.ts';
import type { TableSchema } from '../event/table.ts';
import { isPartial } from '../event/tuple.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { TableOperation } from '../sink/sink.ts';
import { decodeValue, encodeValue } from './canonical.ts';
import { inconsistent } from './node.ts';
import type { State } from './state.ts';
import type { Change } from './stream.ts';
import { RowReader, type Row } from './value.ts';

/** What a table's changes are told with. */
export interface InputContext {
  readonly table: TableSchema;
  /** Of the transaction, milliseconds since 1970. */
  readonly at: number;
  /** As in `TableChanges`: whether a row that is not there may be missing. */
  readonly coverage: 'complete' | 'copying' | 'partial';
}

export interface TableInputOptions {
  readonly state: State;
  readonly node: number;
  /**
   * Which rows are kept: all, or those that somebody has a use for, because the others are another shard's. Then a row that is not there
   * is not known to be missing.
   */
  readonly keeps: 'all' | 'taken';
  /** Hands a row on, and says whether somebody has a use for it. `identity` is the text of its key, or of the whole row where it has none. */
  readonly emit: (row: Row, times: number, identity: string) => boolean;
  readonly changed: (change: Change<Row>, identity: string) => void;
}

const page = 1000;

/**
 * A captured table as the stream knows it. Its rows are kept, by key: an update or a delete seldom says what the row was, and
 * what it contributed has to be taken back exactly. A row that is copied or sent again replaces the one that is there.
 */
export class TableInput {
  readonly #state: State;
  readonly #node: number;
  readonly #keepsAll: boolean;
  readonly #emit: TableInputOptions['emit'];
  readonly #changed: TableInputOptions['changed'];
  readonly #readers = new Map<TableSchema, RowReader>();

  constructor(of: TableInputOptions) {
    this.#state = of.state;
    this.#node = of.node;
    this.#keepsAll = of.keeps === 'all';
    this.#emit = of.emit;
    this.#changed = of.changed;
  }

  apply(operation: TableOperation, context: InputContext): void {
    if (operation.op === 't') this.#truncate(context);
    else if (context.table.key.length > 0) this.#keyed(operation, context);
    else this.#keyless(operation, context);
  }

  #keyed(change: RowChange<TableSchema>, { table, at, coverage }: InputContext): void {
    const reader = this.#reader(table);
    const old = change.oldAt < 0 ? null : reader.read(change.bytes, change.oldAt);
    const next = change.newAt < 0 ? null : reader.read(change.bytes, change.newAt);
    const oldKey = old === null ? null : keyText(table, old);
    const newKey = next === null ? null : keyText(table, next);
    const from = oldKey ?? newKey ?? '';
    // Most rows that are inserted are new, and one question answers that.
    if (this.#keepsAll && old === null && next !== null && change.op !== 'u' && this.#state.addEntry(this.#node, from, encodeValue(next))) {
      this.#emit(next, 1, from);
      this.#changed({ op: change.op, before: null, after: next, at }, from);
      return;
    }
    const kept = this.#state.entry(this.#node, from);
    const before = kept === null ? null : (decodeValue(kept) as Row);
    const partial = next !== null && isPartial(change.bytes, change.newAt);
    if (before === null && partial) {
      // A later chunk of the copy brings the row; with `snapshot: never` it was never to come.
      if (coverage !== 'complete') return;
      throw new TailraceError('sink-data', `an update without unchanged columns is of a row of ${table.schema}.${table.name} that the stream does not have`);
    }
    const after = partial ? { ...before, ...next } : next;
    if (before === null && after === null) return;
    const text = after === null ? null : encodeValue(after);
    // The row of the new key, where another stands there: a copied row that has got the key since.
    const displaced = newKey === null || newKey === from ? null : this.#state.entry(this.#node, newKey);
    if (displaced !== null) this.#emit(decodeValue(displaced) as Row, -1, newKey ?? '');
    if (kept !== null && kept === text && from === newKey) return;
    if (before !== null) this.#emit(before, -1, from);
    const isTaken = after !== null && this.#emit(after, 1, newKey ?? '');
    if (kept !== null && from !== newKey) this.#state.setEntry(this.#node, from, null);
    if (newKey !== null && (isTaken || this.#keepsAll)) this.#state.setEntry(this.#node, newKey, text);
    else if (newKey !== null && (displaced !== null || (kept !== null && from === newKey))) this.#state.setEntry(this.#node, newKey, null);
    this.#changed({ op: change.op, before, after, at }, newKey ?? from);
  }

  #keyless(change: RowChange<TableSchema>, { table, at, coverage }: InputContext): void {
    const reader = this.#reader(table);
    const before = change.oldAt < 0 ? null : reader.read(change.bytes, change.oldAt);
    const after = change.newAt < 0 ? null : { ...before, ...reader.read(change.bytes, change.newAt) };
    if (before !== null && !this.#count(before, -1, coverage)) return;
    if (after !== null) this.#count(after, 1, coverage);
    this.#changed({ op: change.op, before, after, at }, encodeValue(after ?? before));
  }

  #count(row: Row, times: number, coverage: InputContext['coverage']): boolean {
    const item = encodeValue(row);
    if (!this.#keepsAll && times > 0) {
      if (this.#emit(row, times, item)) this.#state.count(this.#node, { key: '', item }, times);
      return true;
    }
    const n = this.#state.count(this.#node, { key: '', item }, times);
    if (n < 0) {
      this.#state.count(this.#node, { key: '', item }, -times);
      if (coverage === 'complete' && this.#keepsAll) throw inconsistent('a row of a table without a key');
      return !this.#keepsAll;
    }
    this.#emit(row, times, item);
    return true;
  }

  #truncate({ at }: InputContext): void {
    for (;;) {
      const entries = this.#state.entriesAfter(this.#node, '', page);
      for (const { key, value } of entries) {
        this.#state.setEntry(this.#node, key, null);
        this.#emit(decodeValue(value) as Row, -1, key);
      }
      const items = this.#state.countedAfter(this.#node, { key: '', item: '' }, page);
      for (const { key, item, n } of items) {
        this.#state.count(this.#node, { key, item }, -n);
        this.#emit(decodeValue(item) as Row, -n, item);
      }
      if (entries.length < page && items.length < page) break;
    }
    this.#changed({ op: 't', before: null, after: null, at }, '');
  }

  #reader(table: TableSchema): RowReader {
    let reader = this.#readers.get(table);
    if (reader === undefined) this.#readers.set(table, (reader = new RowReader(table)));
    return reader;
  }
}

function keyText(table: TableSchema, row: Row): string {
  return encodeValue(table.key.map((index) => row[table.columns[index]?.name ?? ''] ?? null));
}

import type { RowChange } from '../../event/change.ts';
import type { TableSchema } from '../../event/table.ts';
import { KIND_ABSENT, KIND_NULL, TupleReader } from '../../event/tuple.ts';
import type { TableChanges } from '../sink.ts';
import { newImage, oldImage, type Image } from './images.ts';
import type { Folded } from './fold.ts';
import type { Sender } from './sender.ts';
import { RowStatements, type RowStatement } from './statements.ts';
import type { Target } from './target.ts';

type Coverage = TableChanges['coverage'];

/** Collected statements are sent when they come to this many bytes. */
const flushAt = 256 * 1024;

const reader = new TupleReader();

/**
 * Writes one row after the other, in order, by prepared statements: the quickest way for a handful of rows, because all of
 * them and the commit travel together, and the way to find the one row in a batch that the replica refuses.
 */
export class RowWriter {
  readonly #sender: Sender;
  readonly #statements = new WeakMap<Target, RowStatements>();

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /** Collects the changes; sends them only when they grow big. */
  async write(target: Target, changes: readonly RowChange<TableSchema>[], coverage: Coverage): Promise<void> {
    for (const change of changes) {
      this.#change(target, change, coverage);
      if (this.#sender.wire.pending > flushAt) await this.#sender.flush();
    }
  }

  async writeFolded(target: Target, folded: Folded, coverage: Coverage): Promise<void> {
    const statements = this.#of(target);
    for (const image of folded.deletes) this.#send(target, statements.delete, { row: image, key: image, expected: false, coverage });
    for (const image of folded.expectedDeletes) this.#send(target, statements.delete, { row: image, key: image, expected: true, coverage });
    for (const { present, rows } of folded.updates) {
      const update = statements.update(present, { keyToo: false });
      for (const image of rows) this.#send(target, update, { row: image, key: image, expected: true, coverage });
    }
    for (const image of [...folded.upserts, ...folded.inserts]) {
      this.#send(target, statements.upsert, { row: image, key: image, expected: false, coverage });
      if (this.#sender.wire.pending > flushAt) await this.#sender.flush();
    }
  }

  #change(target: Target, change: RowChange<TableSchema>, coverage: Coverage): void {
    const statements = this.#of(target);
    if (target.key.length === 0) {
      if (change.oldAt >= 0) this.#send(target, statements.delete, { row: oldImage(change), key: null, expected: true, coverage });
      if (change.newAt >= 0) this.#send(target, statements.upsert, { row: newImage(change), key: null, expected: false, coverage });
      return;
    }
    if (change.op === 'd') {
      const image = oldImage(change);
      this.#send(target, statements.delete, { row: image, key: image, expected: coverage === 'partial', coverage });
      return;
    }
    const image = newImage(change);
    const old = change.oldAt >= 0 ? oldImage(change) : image;
    const moves = old !== image && !sameKey(target.key, old, image);
    const present = change.op === 'u' ? presentColumns(target, image) : null;
    if (present !== null) {
      this.#send(target, statements.update(present, { keyToo: moves }), { row: image, key: old, expected: true, coverage });
      return;
    }
    if (moves) this.#send(target, statements.delete, { row: old, key: old, expected: false, coverage });
    this.#send(target, statements.upsert, { row: image, key: image, expected: false, coverage });
  }

  #send(target: Target, statement: RowStatement, what: { row: Image; key: Image | null; expected: boolean; coverage: Coverage }): void {
    const { wire } = this.#sender;
    const { row, key, expected, coverage } = what;
    wire.bind(statement, statement.row.length + statement.key.length, { kind: 'row', target, image: key ?? row, expected, coverage });
    this.#values(row, statement.row);
    if (key !== null) this.#values(key, statement.key);
    wire.execute();
    if (expected) this.#sender.expectRow(coverage);
  }

  /** Parameters are the values of these columns, which ascend. */
  #values(image: Image, columns: readonly number[]): void {
    const { wire } = this.#sender;
    let i = 0;
    reader.reset(image.bytes, image.at);
    while (i < columns.length && reader.next()) {
      if (reader.index !== columns[i]) continue;
      i++;
      if (reader.kind === KIND_NULL || reader.kind === KIND_ABSENT) wire.null();
      else wire.value(reader.bytes, reader.start, reader.end);
    }
  }

  #of(target: Target): RowStatements {
    let statements = this.#statements.get(target);
    if (statements === undefined) this.#statements.set(target, (statements = new RowStatements(target)));
    return statements;
  }
}

/** The columns that came, of those the replica has; null when all of them did. */
function presentColumns(target: Target, image: Image): readonly number[] | null {
  const { leftOut } = target;
  let absent = 0;
  reader.reset(image.bytes, image.at);
  while (reader.next()) if (reader.kind === KIND_ABSENT && leftOut?.[reader.index] !== 1) absent++;
  if (absent === 0) return null;
  const present: number[] = [];
  reader.reset(image.bytes, image.at);
  while (reader.next()) if (reader.kind !== KIND_ABSENT && leftOut?.[reader.index] !== 1) present.push(reader.index);
  return present;
}

function sameKey(key: readonly number[], a: Image, b: Image): boolean {
  const one = new TupleReader().reset(a.bytes, a.at);
  const two = new TupleReader().reset(b.bytes, b.at);
  while (one.next() && two.next()) {
    if (!key.includes(one.index)) continue;
    if (Buffer.compare(one.bytes.subarray(one.start, one.end), two.bytes.subarray(two.start, two.end)) !== 0) return false;
  }
  return true;
}

import type { RowChange } from '../../event/change.ts';
import type { TableSchema } from '../../event/table.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import type { TableChanges } from '../sink.ts';
import { Bag, type Copies } from './bag.ts';
import { CopyText } from './copy-text.ts';
import { codeFor } from './errors.ts';
import { Fold, type Folded } from './fold.ts';
import { newImage, oldImage, type Image } from './images.ts';
import type { RowWriter } from './row-writer.ts';
import type { Sender, Sent } from './sender.ts';
import {
  copyInto, copyIntoStage, createStage, deleteStaged, deleteStagedCopies, stageName, updateStaged, upsertStaged,
} from './statements.ts';
import type { Target } from './target.ts';

type Coverage = TableChanges['coverage'];
type Rows = readonly RowChange<TableSchema>[];

/** Up to here one statement a row is quicker than a staging table. */
export const fewRows = 40;

const UNIQUE_VIOLATION = '23505';
const savepoint = 'tailrace_batch';
/** What is staged: rows to delete, rows that must be there to delete, whole rows, then one number a set of columns. */
const DELETE = 0;
const EXPECTED_DELETE = 1;
const UPSERT = 2;
const UPDATE = 3;

/**
 * Writes many changes of one table at once. Inserts alone go by COPY straight into the table; everything else is folded and goes
 * by COPY into a staging table and from there by one statement for each kind (PROTOCOL, Applying: old keys out first, then final
 * images in). Each attempt stands behind a savepoint, because a failed one is followed by a slower one that is surer.
 */
export class BatchWriter {
  readonly #sender: Sender;
  readonly #rows: RowWriter;

  constructor(sender: Sender, rows: RowWriter) {
    this.#sender = sender;
    this.#rows = rows;
  }

  async write(target: Target, changes: Rows, coverage: Coverage): Promise<void> {
    if (this.#isCopied(target, changes)) await this.#copy(target, changes, coverage);
    else if (target.key.length === 0) await this.#writeBag(target, changes, coverage);
    else await this.#writeFolded(target, changes, coverage);
  }

  #isCopied(target: Target, changes: Rows): boolean {
    return changes.every((change) => change.op === 'c' || (change.op === 'r' && (target.copyReads || target.key.length === 0)));
  }

  async #copy(target: Target, changes: Rows, coverage: Coverage): Promise<void> {
    const failed = await this.#attempt(target, { coverage, body: () => this.#copyChanges(target, changes) });
    if (failed === undefined) return;
    if (sqlstateOf(failed) !== UNIQUE_VIOLATION || target.key.length === 0) return this.#oneByOne(target, changes, coverage);
    // A row is there already: one that was read again, or an insert that had gone through under an older position.
    if (changes.some((change) => change.op === 'r')) target.copyReads = false;
    await this.#writeFolded(target, changes, coverage);
  }

  /** The hot path: nothing is made a row. */
  async #copyChanges(target: Target, changes: Rows): Promise<void> {
    const { wire } = this.#sender;
    const copyText = new CopyText({ leftOut: target.leftOut });
    this.#sender.run(copyInto(target), { kind: 'batch', target, expected: null });
    for (const change of changes) {
      copyText.append(wire.copyBuffer, change.bytes, change.newAt, change.end);
      if (wire.copyFull && !(await wire.copied())) break;
    }
    wire.endCopy();
  }

  async #copyRows(target: Target, images: readonly Image[]): Promise<void> {
    const { wire } = this.#sender;
    const copyText = new CopyText({ leftOut: target.leftOut });
    this.#sender.run(copyInto(target), { kind: 'batch', target, expected: null });
    for (const { bytes, at, end } of images) {
      copyText.append(wire.copyBuffer, bytes, at, end);
      if (wire.copyFull && !(await wire.copied())) break;
    }
    wire.endCopy();
  }

  async #writeFolded(target: Target, changes: Rows, coverage: Coverage): Promise<void> {
    const start = (): Fold => new Fold(target.table, { leftOut: target.leftOut, coverage });
    let fold = start();
    let from = 0;
    for (const [i, change] of changes.entries()) {
      const added = fold.add(change);
      if (added === 'missing') {
        this.#sender.noteMissing({ target, image: change.oldAt < 0 ? newImage(change) : oldImage(change), coverage }, 1);
      } else if (added === 'alone') {
        // The old row is only at the replica: everything before goes there first, then the key change by itself.
        await this.#apply(target, { fold, changes: changes.slice(from, i), coverage });
        await this.#rows.write(target, [change], coverage);
        fold = start();
        from = i + 1;
      }
    }
    await this.#apply(target, { fold, changes: changes.slice(from), coverage });
  }

  /** `changes` are what was folded: they are written one by one when the replica refuses them together. */
  async #apply(target: Target, what: { fold: Fold; changes: Rows; coverage: Coverage }): Promise<void> {
    const { fold, changes, coverage } = what;
    if (changes.length === 0) return;
    const folded = fold.result();
    if (fold.size <= fewRows) return this.#rows.writeFolded(target, folded, coverage);
    const failed = await this.#attempt(target, { coverage, staged: true, body: () => this.#stage(target, folded) });
    if (failed !== undefined) await this.#oneByOne(target, changes, coverage);
  }

  async #stage(target: Target, folded: Folded): Promise<void> {
    const { deletes, expectedDeletes, upserts, updates } = folded;
    const groups: [op: number, rows: readonly Image[]][] = [[DELETE, deletes], [EXPECTED_DELETE, expectedDeletes], [UPSERT, upserts]];
    for (const [i, { rows }] of updates.entries()) groups.push([UPDATE + i, rows]);
    await this.#copyIntoStage(target, groups);
    const run = (text: string, expected: number | null): void => this.#sender.run(text, { kind: 'batch', target, expected });
    if (deletes.length > 0) run(deleteStaged(target, DELETE), null);
    if (expectedDeletes.length > 0) run(deleteStaged(target, EXPECTED_DELETE), expectedDeletes.length);
    for (const [i, { present, rows }] of updates.entries()) run(updateStaged(target, UPDATE + i, present), rows.length);
    if (upserts.length > 0) run(upsertStaged(target, UPSERT), null);
  }

  async #writeBag(target: Target, changes: Rows, coverage: Coverage): Promise<void> {
    const bag = new Bag(target.columns.map((column) => column.index));
    for (const change of changes) bag.add(change);
    const { deletes, inserts } = bag.result();
    const body = async (): Promise<void> => {
      if (deletes.length > 0) await this.#stageDeletes(target, deletes);
      if (inserts.length > 0) await this.#copyRows(target, inserts.flatMap(({ image, count }) => Array.from({ length: count }, () => image)));
    };
    const failed = await this.#attempt(target, { coverage, staged: deletes.length > 0, body });
    if (failed !== undefined) await this.#oneByOne(target, changes, coverage);
  }

  async #stageDeletes(target: Target, deletes: readonly Copies[]): Promise<void> {
    await this.#copyIntoStage(target, deletes.map(({ image, count }) => [count, [image]]));
    const expected = deletes.reduce((sum, { count }) => sum + count, 0);
    this.#sender.run(deleteStagedCopies(target), { kind: 'batch', target, expected });
  }

  async #copyIntoStage(target: Target, groups: readonly (readonly [op: number, rows: readonly Image[]])[]): Promise<void> {
    const { wire } = this.#sender;
    this.#sender.run(copyIntoStage(target), { kind: 'batch', target, expected: null });
    for (const [op, rows] of groups) {
      const copyText = new CopyText({ leftOut: target.leftOut, first: op });
      for (const { bytes, at, end } of rows) {
        copyText.append(wire.copyBuffer, bytes, at, end);
        if (wire.copyFull && !(await wire.copied())) return wire.endCopy();
      }
    }
    wire.endCopy();
  }

  /**
   * Sends what is collected and `body` behind a savepoint. A refusal of the rows, or a row that must be there and is not, is
   * returned, and the transaction stands again where it stood; any other error is thrown.
   */
  async #attempt(target: Target, what: { coverage: Coverage; staged?: boolean; body: () => Promise<void> }): Promise<Error | undefined> {
    const sender = this.#sender;
    if (what.staged === true) this.#prepareStage(target);
    sender.run(`SAVEPOINT ${savepoint}`);
    await what.body();
    const { done, failed } = await sender.tryFlush();
    const error = failed === undefined ? this.#shortage(target, done, what.coverage) : failed.error;
    // Released with whatever is sent next, so that it costs no round trip; until then it can still be gone back to.
    if (error === undefined) sender.run(`RELEASE SAVEPOINT ${savepoint}`);
    if (error === undefined) return undefined;
    if (failed !== undefined && (failed.tag?.kind !== 'batch' || codeFor(error) !== 'sink-data')) throw sender.errorOf(failed);
    sender.run(`ROLLBACK TO SAVEPOINT ${savepoint}`);
    sender.run(`RELEASE SAVEPOINT ${savepoint}`);
    return error;
  }

  /** Rows that must be there and were not: an error where the table is complete, else counted or passed over. */
  #shortage(target: Target, done: readonly { readonly tag: Sent; readonly count: number }[], coverage: Coverage): Error | undefined {
    let missing = 0;
    for (const { tag, count } of done) if (tag.kind === 'batch' && tag.expected !== null) missing += tag.expected - count;
    if (missing <= 0) return undefined;
    if (coverage === 'complete') return new Error('rows are missing');
    this.#sender.noteMissing({ target, coverage }, missing);
    return undefined;
  }

  #prepareStage(target: Target): void {
    if (target.stage === 'none') {
      this.#sender.run(createStage(target));
      target.stage = 'open';
    } else if (target.dirty) {
      this.#sender.run(`TRUNCATE ${stageName(target)}`);
    }
    target.dirty = true;
  }

  /** In order and exactly as the source did it: passes where only the folding was in the way, and names the row otherwise. */
  async #oneByOne(target: Target, changes: Rows, coverage: Coverage): Promise<void> {
    await this.#rows.write(target, changes, coverage);
    await this.#sender.flush();
  }
}

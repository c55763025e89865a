import type { RowChange } from '../../event/change.ts';
import type { TableSchema } from '../../event/table.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import type { TableChanges } from '../sink.ts';
import { Bag, type Copies } from './bag.ts';
import { codeFor } from './errors.ts';
import { Fold, type Folded } from './fold.ts';
import { newImage, oldImage, type Image } from './images.ts';
import { RowCopier } from './row-copier.ts';
import type { RowWriter } from './row-writer.ts';
import { control, type Sender, type Sent } from './sender.ts';
import {
  createStage, deleteStaged, deleteStagedCopies, stageName, updateStaged, upsertStaged,
} from './statements.ts';
import type { Target } from './target.ts';
import type { Outcome, Statement } from './wire.ts';

type Coverage = TableChanges['coverage'];
type Rows = readonly RowChange<TableSchema>[];

/** Up to here one statement a row is quicker than a staging table. */
const fewRows = 40;
/** Up to here one statement a row is quicker than COPY into the table itself. */
const fewInserts = 8;

/** Batches of a table after which COPY is tried again: where streamed rows meet a copy they find each other often, and behind it never. */
const copyRest = 100;

const UNIQUE_VIOLATION = '23505';
const savepoint = 'tailrace_batch';
/** What is staged: rows to delete, rows that must be there to delete, whole rows, then one number a set of columns. */
const DELETE = 0;
const EXPECTED_DELETE = 1;
const UPSERT = 2;
const UPDATE = 3;

/** What is sent behind one savepoint and judged together; done again one after the other where something was refused. */
interface Part {
  readonly target: Target;
  readonly changes: Rows;
  readonly coverage: Coverage;
  readonly staged: boolean;
  /** As it was before: a staging table that was made goes with the savepoint. */
  readonly stage: Target['stage'];
  /** The slower way that is surer. */
  readonly again: (refused: Error) => Promise<void>;
}

/** Parts are collected up to so many bytes of rows, or so many parts: of many tables each has a few. */
const groupBytes = 256 << 10;
const groupParts = 32;
/** Of one COPY that takes part after part: its rows are on their way meanwhile. */
const copyBytes = 1 << 20;

/**
 * Writes many changes of one table at once. Inserts alone go by COPY straight into the table; everything else is folded and goes
 * by COPY into a staging table and from there by one statement for each kind (PROTOCOL, Applying: old keys out first, then final
 * images in), rows that are new by COPY again. Attempts stand behind a savepoint, because a failed one is followed by a slower one that is
 * surer; several small ones share it, and none is waited for before the next one is read and folded (ADR 51).
 */
export class BatchWriter {
  readonly #sender: Sender;
  readonly #rows: RowWriter;
  readonly #copier: RowCopier;
  /** Collected behind the savepoint, and on its way where it was posted. */
  #group: Part[] = [];
  #groupBytes = 0;
  #posted = false;

  constructor(sender: Sender, rows: RowWriter) {
    this.#sender = sender;
    this.#rows = rows;
    this.#copier = new RowCopier(sender);
  }

  /** Whether it is the quicker way for these; else a statement a row is. */
  takes(target: Target, changes: Rows): boolean {
    // COPY knows no empty list of columns; and without a key each statement would search the whole table.
    if (target.columns.length === 0) return false;
    if (target.key.length === 0) return changes.length > 1;
    return changes.length > fewRows || (changes.length > fewInserts && target.copyRests === 0 && changes.every(({ op }) => op === 'c'));
  }

  /** What becomes of the changes may be known only at a later `write`, or at `settle`. */
  async write(target: Target, changes: Rows, coverage: Coverage): Promise<void> {
    if (this.#isCopied(target, changes)) await this.#copy(target, changes, coverage);
    else if (target.key.length === 0) await this.#writeBag(target, changes, coverage);
    else await this.#writeFolded(target, changes, coverage);
  }

  /** Has to come before anything else is collected or sent. Throws what a `write` before it would have thrown. */
  async settle(): Promise<void> {
    const group = this.#group;
    if (group.length === 0) return;
    if (!this.#posted) await this.#post();
    this.#forget();
    const refused = this.#judge(group, await this.#sender.answer());
    if (refused !== undefined) await this.#again(group, refused);
  }

  /** Whether COMMIT may go in the same flush: what is refused takes it along, but of what is staged rows are counted before. */
  get takesCommit(): boolean {
    return !this.#posted && this.#group.every(({ staged }) => !staged);
  }

  /** Sends COMMIT behind what was collected, where that `takesCommit`; once more behind what was refused. */
  async commit(statement: Statement): Promise<Outcome<Sent>['done']> {
    const group = this.#group;
    this.#copier.end();
    this.#forget();
    this.#sender.wire.run(statement, control);
    const { done, failed } = await this.#sender.tryFlush();
    if (failed === undefined) return done;
    if (group.length === 0) throw this.#sender.errorOf(failed);
    const refused = this.#judge(group, { done, failed });
    if (refused !== undefined) await this.#again(group, refused);
    return this.commit(statement);
  }

  /** What was refused together, in surer ways. */
  async #again(group: readonly Part[], refused: Error): Promise<void> {
    for (const { target, stage } of group.toReversed()) target.stage = stage;
    const [only] = group;
    if (only !== undefined && group.length === 1) {
      await only.again(refused);
      return this.settle();
    }
    // Each for itself: all but one will pass.
    for (const { target, changes, coverage } of group) {
      await this.write(target, changes, coverage);
      await this.settle();
    }
  }

  /** As `settle`, where the transaction is given up in any case. */
  async giveUp(): Promise<void> {
    if (this.#posted) await this.#sender.answer().catch(() => undefined);
    this.#forget();
  }

  #forget(): void {
    this.#group = [];
    this.#groupBytes = 0;
    this.#posted = false;
    this.#copier.forget();
  }

  #isCopied(target: Target, changes: Rows): boolean {
    return changes.every((change) => change.op === 'c' || (change.op === 'r' && (target.copyReads || target.key.length === 0)));
  }

  async #copy(target: Target, changes: Rows, coverage: Coverage): Promise<void> {
    const again = async (refused: Error): Promise<void> => {
      if (sqlstateOf(refused) !== UNIQUE_VIOLATION || target.key.length === 0) return this.#oneByOne(target, changes, coverage);
      // A row is there already: one that was read again, or an insert that had gone through under an older position.
      target.copyRests = copyRest;
      if (changes.some((change) => change.op === 'r')) target.copyReads = false;
      await this.#writeFolded(target, changes, coverage);
    };
    await this.#attempt({ target, changes, coverage, again, body: () => this.#copier.changes(target, changes) });
  }

  async #writeFolded(target: Target, changes: Rows, coverage: Coverage): Promise<void> {
    const start = (): Fold => new Fold(target.table, { leftOut: target.leftOut, coverage });
    let fold = start();
    let from = 0;
    for (let i = 0; i < changes.length; i++) {
      const change = changes[i] as Rows[number];
      const added = fold.add(change);
      if (added === 'missing') {
        this.#sender.noteMissing({ target, image: change.oldAt < 0 ? newImage(change) : oldImage(change), coverage }, 1);
      } else if (added === 'alone') {
        // The old row is only at the replica: everything before goes there first, then the key change by itself.
        await this.#apply(target, { fold, changes: changes.slice(from, i), coverage });
        await this.settle();
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
    if (fold.size <= fewRows) {
      await this.settle();
      return this.#rows.writeFolded(target, folded, coverage);
    }
    // Of a few rows a COPY of their own would cost more than it saves.
    const apart = target.copyRests === 0 && folded.inserts.length > fewRows;
    const again = async (refused: Error): Promise<void> => {
      if (!apart || sqlstateOf(refused) !== UNIQUE_VIOLATION) return this.#oneByOne(target, changes, coverage);
      // A row is there that should not be: as with a batch of inserts alone.
      target.copyRests = copyRest;
      await this.#apply(target, what);
    };
    await this.#attempt({ target, changes, coverage, again, staged: true, body: () => this.#writeGroups(target, folded, apart) });
  }

  /** Rows that are new go straight into the table, `apart` from what concerns rows that are there: behind it, which may make room for them. */
  async #writeGroups(target: Target, folded: Folded, apart: boolean): Promise<void> {
    const { inserts, upserts } = folded;
    await this.#stage(target, apart ? folded : { ...folded, upserts: [...upserts, ...inserts] });
    if (apart) await this.#copier.images(target, inserts);
  }

  async #stage(target: Target, folded: Folded): Promise<void> {
    const { deletes, expectedDeletes, upserts, updates } = folded;
    const groups: [op: number, rows: readonly Image[]][] = [[DELETE, deletes], [EXPECTED_DELETE, expectedDeletes], [UPSERT, upserts]];
    for (const [i, { rows }] of updates.entries()) groups.push([UPDATE + i, rows]);
    await this.#copier.staged(target, groups);
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
      if (inserts.length > 0) await this.#copier.images(target, inserts.flatMap(({ image, count }) => Array.from({ length: count }, () => image)));
    };
    const again = (): Promise<void> => this.#oneByOne(target, changes, coverage);
    await this.#attempt({ target, changes, coverage, again, staged: deletes.length > 0, body });
  }

  async #stageDeletes(target: Target, deletes: readonly Copies[]): Promise<void> {
    await this.#copier.staged(target, deletes.map(({ image, count }) => [count, [image]]));
    const expected = deletes.reduce((sum, { count }) => sum + count, 0);
    this.#sender.run(deleteStagedCopies(target), { kind: 'batch', target, expected });
  }

  /** Collects `body` behind a savepoint, and sends it when enough has come together. Where the rows are refused, `settle` does `again`. */
  async #attempt(part: Omit<Part, 'stage' | 'staged'> & { readonly staged?: boolean; readonly body: () => Promise<void> }): Promise<void> {
    const { target, changes, coverage, again, staged = false } = part;
    // What must be hit is counted by table.
    if (this.#posted || (staged && this.#group.some((other) => other.staged && other.target === target))) await this.settle();
    if (this.#group.length === 0) this.#sender.run(`SAVEPOINT ${savepoint}`);
    if (staged) this.#copier.end();
    this.#group.push({ target, changes, coverage, again, staged, stage: target.stage });
    if (staged) this.#prepareStage(target);
    await part.body();
    for (const change of changes) this.#groupBytes += change.end - Math.max(change.oldAt, change.newAt);
    if (this.#groupBytes < (this.#copier.isOpen ? copyBytes : groupBytes) && this.#group.length < groupParts) return;
    await this.#post();
    this.#posted = true;
  }

  async #post(): Promise<void> {
    this.#copier.end();
    await this.#sender.post();
  }

  /**
   * A refusal of the rows, or a row that must be there and is not, is returned, and the transaction stands again where it stood; any
   * other error is thrown.
   */
  #judge(group: readonly Part[], { done, failed }: Outcome<Sent>): Error | undefined {
    const sender = this.#sender;
    const error = failed === undefined ? this.#shortage(group, done) : failed.error;
    // Released with whatever is sent next, so that it costs no round trip; until then it can still be gone back to.
    if (error === undefined) sender.run(`RELEASE SAVEPOINT ${savepoint}`);
    if (error === undefined) return undefined;
    if (failed !== undefined && (failed.tag?.kind !== 'batch' || codeFor(error) !== 'sink-data')) throw sender.errorOf(failed);
    sender.run(`ROLLBACK TO SAVEPOINT ${savepoint}`);
    sender.run(`RELEASE SAVEPOINT ${savepoint}`);
    return error;
  }

  /** Rows that must be there and were not: an error where the table is complete, else counted or passed over. */
  #shortage(group: readonly Part[], done: readonly { readonly tag: Sent; readonly count: number }[]): Error | undefined {
    const missing = group.map(({ target, staged }) => {
      let rows = 0;
      if (!staged) return rows;
      for (const { tag, count } of done) if (tag.kind === 'batch' && tag.target === target && tag.expected !== null) rows += tag.expected - count;
      return rows;
    });
    if (group.some(({ coverage }, i) => coverage === 'complete' && (missing[i] ?? 0) > 0)) return new Error('rows are missing');
    for (const [i, { target, coverage }] of group.entries()) if ((missing[i] ?? 0) > 0) this.#sender.noteMissing({ target, coverage }, missing[i] ?? 0);
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

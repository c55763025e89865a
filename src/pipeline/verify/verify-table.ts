import type { Buckets, RowId, TableDigests } from '../../event/digest.ts';
import { tableName, type TableSchema, type TableShape } from '../../event/table.ts';
import type { ReplicaView, SinkVerifier } from '../../sink/verifier.ts';
import type { SourceDigests, SourceVerifier } from '../../source/verifier.ts';
import { bucketCount, bucketsWithin, differingBuckets, differingRows, rowsIn } from './buckets.ts';
import type { HistoryReader } from './history-reader.ts';
import { emptyReport, shownRows, type RowDifference, type TableReport } from './report.ts';
import { settle, type Difference, type Settled } from './settle.ts';

/** What the comparison of one table is doing, for a progress display. */
export type Phase = 'scanning' | 'reading rows' | 'waiting for the replica' | 'looking again';

export interface VerifyTableOptions {
  readonly source: SourceVerifier;
  readonly sink: SinkVerifier;
  /** As the log has it: the name by which the replica knows it, and its version. */
  readonly table: TableSchema;
  /** Writes a marker and waits until the replica has passed it; false when it does not get there. */
  readonly passed: () => Promise<boolean>;
  readonly history: (columns: readonly string[], keyed: boolean) => HistoryReader;
  readonly pause: (round: number) => Promise<void>;
  readonly progress: (phase: Phase, rows?: number) => void;
}

/** Beyond so many rows in differing buckets the replica is let catch up before rows are read. */
const fewRows = 50_000;
/** Rows that are read of each side at most, and suspects that are followed up. */
const mostRows = 500_000;
const mostSuspects = 50_000;
/** How often a row is looked at that changes whenever it is. */
const settleRounds = 20;
const scanRounds = 3;

/**
 * Compares one table: counts and sums of hashes by bucket, then the rows of the buckets that differ, then those rows again and
 * again until each is certain. Never a false alarm: what is reported as different was looked at on both sides while the
 * source's row was one and the same (settle.ts).
 */
export async function verifyTable(options: VerifyTableOptions): Promise<TableReport> {
  const { source, table } = options;
  const name = tableName(table);
  const shape = await source.shape(table.relid);
  if (shape === null) return emptyReport(name, 'gone');
  const comparison = new TableComparison(options, shape, name);
  return comparison.run();
}

class TableComparison {
  readonly #options: VerifyTableOptions;
  readonly #shape: TableShape;
  readonly #name: string;
  readonly #notes: string[] = [];

  constructor(options: VerifyTableOptions, shape: TableShape, name: string) {
    this.#options = options;
    this.#shape = shape;
    this.#name = name;
  }

  async run(): Promise<TableReport> {
    let view = await this.#view();
    if (view === null) {
      const rows = await this.#sourceRows();
      if (rows === 0) return { ...emptyReport(this.#name, 'equal'), rows, notes: ['the replica has no such table yet, and the source no row'] };
      if (!(await this.#passed())) return { ...emptyReport(this.#name, 'unconfirmed'), rows, unconfirmed: rows };
      view = await this.#view();
      if (view === null) return { ...emptyReport(this.#name, 'different'), rows, tableMissing: true };
    }
    const columnsMissing = await this.#missingColumns(view);
    if (columnsMissing === null) return emptyReport(this.#name, 'unconfirmed');
    // Looked at again, because a column may have come since.
    view = (await this.#view()) ?? view;
    const keyMissing = this.#shape.key.some((i) => !view.columns.includes(i));
    if (keyMissing) return { ...emptyReport(this.#name, 'different'), columnsMissing: this.#names(view.missing), notes: this.#notes };
    const report = await this.#compare(view);
    return columnsMissing.length === 0 ? report : { ...report, state: 'different', columnsMissing };
  }

  /** The replica's table for the shape that the source has now, under the name that the log has. */
  #view(): Promise<ReplicaView | null> {
    const { sink, table } = this.#options;
    return sink.table({ ...this.#shape, schema: table.schema, name: table.name, version: table.version });
  }

  async #sourceRows(): Promise<number> {
    const { source, progress } = this.#options;
    progress('scanning');
    const { counts } = await source.digests(this.#shape, []).buckets(1);
    return rowsIn(counts);
  }

  /** Columns that the replica lacks and rows have values in; null when the replica does not come far enough to tell. */
  async #missingColumns(view: ReplicaView): Promise<readonly string[] | null> {
    const { source } = this.#options;
    if (view.missing.length === 0) return [];
    if (await source.hasValues(this.#shape, view.missing)) {
      if (!(await this.#passed())) return null;
      const missing = (await this.#view())?.missing ?? view.missing;
      if (missing.length > 0 && (await source.hasValues(this.#shape, missing))) return this.#names(missing);
      return [];
    }
    this.#notes.push(`${this.#names(view.missing).join(', ')}: not at the replica yet; no row has a value there`);
    return [];
  }

  #names(columns: readonly number[]): readonly string[] {
    return columns.map((i) => this.#shape.columns[i]?.name ?? '');
  }

  #passed(): Promise<boolean> {
    this.#options.progress('waiting for the replica');
    return this.#options.passed();
  }

  async #compare(view: ReplicaView): Promise<TableReport> {
    const { source, progress } = this.#options;
    const ours = source.digests(this.#shape, view.columns);
    const theirs = view.digests;
    const of = bucketCount(await source.estimate(this.#shape.relid));
    let settled: Settled | null = null;
    let rows = 0;
    let more = false;
    for (let round = 1; round <= scanRounds; round++) {
      const scan = await this.#scan(ours, theirs, of);
      rows = scan.rows;
      if (scan.differing.length === 0) return { ...emptyReport(this.#name, 'equal'), rows, notes: this.#notes };
      progress('reading rows', rows);
      const buckets = bucketsWithin(mostRows, scan.differing, scan.sides);
      const selection = { of, buckets };
      const found = differingRows(...(await Promise.all([ours.rows(selection), theirs.rows(selection)])));
      const suspects = found.slice(0, mostSuspects);
      more = buckets.length < scan.differing.length || suspects.length < found.length;
      settled = await this.#settle(view, ours, suspects);
      const done = settled.different.size > 0 || settled.unconfirmed.length > 0 || settled.changing.length > 0 || settled.stuck.length > 0;
      // All that were looked at are equal by now: the others are, too, or show themselves in another scan.
      if (done || !more) break;
    }
    return this.#report({ settled: settled as Settled, rows, more, view });
  }

  /**
   * Which buckets differ. A replica that is far behind differs in many: it is let catch up, and what differs again is what
   * counts. A row that stays different is in the same buckets each time.
   */
  async #scan(ours: TableDigests, theirs: TableDigests, of: number): Promise<{ differing: readonly number[]; sides: readonly Buckets[]; rows: number }> {
    let differing: readonly number[] | null = null;
    for (let round = 1; ; round++) {
      this.#options.progress('scanning');
      const sides = await Promise.all([ours.buckets(of), theirs.buckets(of)]);
      const now = new Set(differingBuckets(...sides));
      differing = differing === null ? [...now] : differing.filter((bucket) => now.has(bucket));
      const rows = rowsIn(sides[0].counts);
      const many = Math.max(...sides.map(({ counts }) => rowsIn(counts, differing as readonly number[]))) > fewRows;
      if (!many || round === scanRounds || !(await this.#passed())) return { differing, sides, rows };
    }
  }

  #settle(view: ReplicaView, source: SourceDigests, suspects: readonly RowId[]): Promise<Settled> {
    const { history, pause, progress } = this.#options;
    const passed = async (): Promise<boolean> => {
      const there = await this.#passed();
      progress('looking again', suspects.length);
      return there;
    };
    return settle(
      { source, replica: view.digests, history: history(this.#names(view.columns), this.#shape.key.length > 0), passed, pause, rounds: settleRounds },
      suspects,
    );
  }

  #report({ settled, rows, more, view }: { settled: Settled; rows: number; more: boolean; view: ReplicaView }): TableReport {
    const { different, changing, stuck, unconfirmed } = settled;
    const unsettled = changing.length + stuck.length;
    if (stuck.length > 0) this.#notes.push('a transaction that is open all the while has written the table: what it does is not visible yet');
    const state = different.size > 0 ? 'different' : unconfirmed.length > 0 ? 'unconfirmed' : unsettled > 0 || more ? 'unsettled' : 'equal';
    if (more && state === 'unsettled') this.#notes.push('more rows change than could be followed up');
    const differences = [...different].slice(0, shownRows).map(([id, difference]) => this.#difference(view, id, difference));
    return {
      ...emptyReport(this.#name, state),
      rows, differing: different.size, more, differences, unconfirmed: unconfirmed.length, unsettled, notes: this.#notes,
    };
  }

  #difference(view: ReplicaView, id: RowId, { source, replica }: Difference): RowDifference {
    const { key, columns } = this.#shape;
    if (key.length === 0) {
      return { kind: 'count', key: null, columns: [], hash: id, source: Number(source ?? 0), replica: Number(replica ?? 0) };
    }
    const texts = JSON.parse(id) as string[];
    const named = Object.fromEntries(key.map((i, at) => [columns[i]?.name ?? '', texts[at] ?? '']));
    const kind = replica === undefined ? 'missing' : source === undefined ? 'extra' : 'changed';
    const [ours, theirs] = [source?.split(',') ?? [], replica?.split(',') ?? []];
    const changed = kind === 'changed' ? this.#names(view.columns.filter((_, i) => ours[i] !== theirs[i])) : [];
    return { kind, key: named, columns: changed, hash: null, source: null, replica: null };
  }
}

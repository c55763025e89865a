import type { RowId, RowState } from '../../../src/event/digest.ts';
import { rowText } from '../../../src/event/row-text.ts';
import type { TableSchema } from '../../../src/event/table.ts';
import type { HistoryReader } from '../../../src/pipeline/verify/history-reader.ts';
import { Histories } from '../../../src/pipeline/verify/row-history.ts';
import type { SettleParts } from '../../../src/pipeline/verify/settle.ts';
import { shortMd5 } from '../../../src/runtime/md5.ts';
import type { TableOperation } from '../../../src/sink/sink.ts';
import type { WatchedRow } from '../../../src/source/verifier.ts';
import { changeOf, tableOf } from '../../contract/change-samples.ts';

/**
 * A source, its log and one replica in miniature, whose every step is drawn at random between the steps of `settle`: what is
 * committed reaches the WAL first and becomes visible later, as in Postgres; the log follows the WAL, the replica the log.
 */

/** `id, value, large`; `large` is not sent when it did not change, as TOAST is. */
export type Row = readonly [id: string, value: string | null, large: string];

export interface WorldOptions {
  readonly keyed: boolean;
  readonly random: () => number;
  /** Each in turn takes a step of the world: the more, the hotter. */
  readonly heat: number;
  /** How probable it is that a commit waits long before others see it. */
  readonly slowCommits: number;
  /** Ids that the application writes. */
  readonly written: readonly string[];
}

interface Transaction {
  readonly name: string;
  readonly row: Row | null;
  readonly old: Row | null;
  readonly slow: boolean;
}

/** One version of a row at the source. */
interface Version {
  readonly row: Row;
  readonly by: string;
}

const columns = ['id', 'value', 'large'] as const;

export class World {
  readonly #options: WorldOptions;
  readonly #table: TableSchema;
  readonly #visible: Version[] = [];
  /** Began, and holds its locks. Committed ones are in the WAL already and wait to be seen. */
  readonly #running = new Set<Transaction>();
  readonly #waiting = new Set<Transaction>();
  readonly #wal: Transaction[] = [];
  #logged = 0;
  #applied = 0;
  readonly #replica: Row[] = [];
  #names = 0;
  #resting = false;
  /** What happened, so that a test can refuse to be about nothing. */
  readonly counts = { commits: 0, invisibleLooks: 0 };

  constructor(options: WorldOptions, rows: readonly Row[]) {
    this.#options = options;
    this.#table = tableOf([['id', 25], ['value', 25], ['large', 25]], options.keyed ? [0] : []);
    for (const row of rows) this.#visible.push({ row, by: `t${this.#names++}` });
    this.#replica.push(...rows);
  }

  /** Changes the replica by hand. */
  tamper(change: (rows: Row[]) => void): void {
    change(this.#replica);
  }

  parts(rounds: number): SettleParts {
    const turn = async <T>(look: () => T): Promise<T> => {
      this.#steps(this.#options.heat);
      await Promise.resolve();
      return look();
    };
    const history: HistoryReader = {
      mark: () => turn(() => [this.#logged]),
      since: (mark, ids) => turn(() => this.#historiesSince(mark[0] ?? 0, ids)),
    };
    return {
      source: { writers: () => turn(() => this.#writers()), watch: (ids) => turn(() => this.#watch(ids)) },
      replica: { look: (ids) => turn(() => statesOf(this.#replica, ids, this.#options.keyed)) },
      history,
      passed: () => turn(() => this.#catchUp()),
      pause: () => turn(() => undefined),
      rounds,
    };
  }

  /** Lets everything that is under way come to an end, and nothing begin any more. */
  rest(): void {
    this.#resting = true;
    for (const transaction of this.#running) this.#commit(transaction);
    for (const transaction of this.#waiting) this.#show(transaction);
    this.#apply(this.#wal.length);
  }

  #steps(most: number): void {
    const { random } = this.#options;
    if (this.#resting) return;
    for (let left = Math.floor(random() * (most + 1)); left > 0; left--) {
      const drawn = random();
      if (drawn < 0.35) this.#begin();
      else if (drawn < 0.55) this.#some(this.#running, (transaction) => this.#commit(transaction));
      else if (drawn < 0.75) this.#some(this.#waiting, (transaction) => (transaction.slow && random() < 0.9 ? undefined : this.#show(transaction)));
      else if (drawn < 0.9) this.#logged = Math.min(this.#wal.length, this.#logged + Math.ceil(random() * 3));
      else this.#apply(Math.min(this.#logged, this.#applied + Math.ceil(random() * 3)));
    }
  }

  #some(from: ReadonlySet<Transaction>, act: (transaction: Transaction) => void): void {
    const transaction = [...from][Math.floor(this.#options.random() * from.size)];
    if (transaction !== undefined) act(transaction);
  }

  /** A transaction that changes one row, unless somebody else has its lock. */
  #begin(): void {
    const { random, written, keyed, slowCommits } = this.#options;
    const id = written[Math.floor(random() * written.length)];
    if (id === undefined) return;
    const locked = [...this.#running, ...this.#waiting].filter((transaction) => (transaction.row ?? transaction.old)?.[0] === id);
    if (locked.length > 0 && keyed) return;
    const free = this.#visible.filter(({ row }) => row[0] === id && !locked.some((transaction) => transaction.old === row));
    const old = free[0]?.row ?? null;
    const name = `t${this.#names++}`;
    const slow = random() < slowCommits;
    const value = random() < 0.3 ? null : `v${Math.floor(random() * 4)}`;
    // Inserts where nothing is, or a twin without a key; else an update, often of the small column alone, or a delete.
    if (old === null || (!keyed && random() < 0.3)) this.#running.add({ name, slow, old: null, row: [id, value, random() < 0.5 ? 'L0' : 'L1'] });
    else if (random() < 0.4) this.#running.add({ name, slow, old, row: null });
    else this.#running.add({ name, slow, old, row: [id, value, random() < 0.8 ? old[2] : `L${Math.floor(random() * 3)}`] });
  }

  #commit(transaction: Transaction): void {
    this.#running.delete(transaction);
    if (this.#options.random() < 0.15) return;
    this.#wal.push(transaction);
    this.#waiting.add(transaction);
    this.counts.commits++;
  }

  #show(transaction: Transaction): void {
    this.#waiting.delete(transaction);
    if (transaction.old !== null) this.#visible.splice(this.#visible.findIndex(({ row }) => row === transaction.old), 1);
    if (transaction.row !== null) this.#visible.push({ row: transaction.row, by: transaction.name });
  }

  #apply(to: number): void {
    this.#logged = Math.max(this.#logged, to);
    for (; this.#applied < to; this.#applied++) {
      const { old, row } = this.#wal[this.#applied] as Transaction;
      const at = this.#replica.findIndex((each) => (this.#options.keyed ? each[0] === (old ?? row)?.[0] : old !== null && rowText(each) === rowText(old)));
      if (at >= 0) this.#replica.splice(at, 1);
      if (row !== null) this.#replica.push(row);
    }
  }

  /** What was visible to anybody has committed: the replica gets there, and maybe further. */
  #catchUp(): boolean {
    const visible = this.#wal.findLastIndex((transaction) => !this.#waiting.has(transaction)) + 1;
    const further = visible + Math.floor(this.#options.random() * (this.#wal.length - visible + 1));
    this.#apply(Math.max(this.#applied, further));
    return true;
  }

  #writers(): ReadonlySet<string> {
    return new Set([...this.#running, ...this.#waiting].map(({ name }) => name));
  }

  #watch(ids: readonly RowId[]): ReadonlyMap<RowId, WatchedRow> {
    if (this.#wal.slice(0, this.#applied).some((transaction) => this.#waiting.has(transaction))) this.counts.invisibleLooks++;
    const states = statesOf(this.#visible.map(({ row }) => row), ids, this.#options.keyed);
    const touched = new Set([...this.#running, ...this.#waiting].map(({ old }) => old));
    return new Map([...states].map(([id, state]) => {
      const version = this.#options.keyed ? this.#visible.find(({ row }) => idOf(row, true) === id) : undefined;
      return [id, { state, version: version?.by ?? null, quiet: version !== undefined && !touched.has(version.row) }];
    }));
  }

  #historiesSince(from: number, ids: readonly RowId[]): Histories {
    const { keyed } = this.#options;
    const histories = new Histories(ids, { columns, keyed });
    for (const transaction of this.#wal.slice(from, this.#logged)) histories.add(this.#table, this.#operation(transaction));
    return histories;
  }

  #operation({ old, row }: Transaction): TableOperation {
    const { keyed } = this.#options;
    const before = old === null ? {} : keyed ? { old: [old[0], null, null], oldKind: 'key' as const } : { old, oldKind: 'full' as const };
    if (row === null) return changeOf(this.#table, { op: 'd', ...before });
    if (old === null) return changeOf(this.#table, { op: 'c', new: row });
    const sent = row[2] === old[2] ? [row[0], row[1], undefined] : row;
    return changeOf(this.#table, { op: 'u', ...(keyed ? {} : before), new: sent });
  }
}

export function idOf(row: Row, keyed: boolean): RowId {
  return keyed ? JSON.stringify([row[0]]) : shortMd5(rowText(row));
}

function statesOf(rows: readonly Row[], ids: readonly RowId[], keyed: boolean): ReadonlyMap<RowId, RowState> {
  const wanted = new Set(ids);
  const states = new Map<RowId, RowState>();
  for (const row of rows) {
    const id = idOf(row, keyed);
    if (!wanted.has(id)) continue;
    states.set(id, keyed ? row.map((text) => (text === null ? '-' : shortMd5(text))).join(',') : String(Number(states.get(id) ?? 0) + 1));
  }
  return states;
}

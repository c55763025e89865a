import type { SnapshotPart, SnapshotRecord } from './control-records.ts';
import { CopiedFilter } from './copied-filter.ts';
import type { Group } from './group.ts';
import { copyKeyOf } from './log-state.ts';

/** The records of copies on their way into the log: written with their END, and once more when that END is durable. */
export class CopyRecords {
  readonly #copies: Map<string, SnapshotRecord>;
  /** Whose END is in a group that is not durable yet, in order. */
  readonly #unconfirmed: { readonly group: Group; readonly record: SnapshotRecord }[] = [];
  /** Of copies in one piece: what the stream brings of them a second time. */
  readonly copied = new CopiedFilter();
  /** Of the transaction that is being published. */
  #current: SnapshotRecord | null = null;

  constructor(copies: ReadonlyMap<string, SnapshotRecord>) {
    this.#copies = new Map(copies);
    for (const record of copies.values()) this.copied.add(record);
  }

  /** The newest record of each copy that is durable. */
  get copies(): ReadonlyMap<string, SnapshotRecord> {
    return this.#copies;
  }

  /** The END of this transaction will confirm the record. */
  carry(record: SnapshotRecord): void {
    this.#current = record;
  }

  /** What the END that now goes into the group says of a copy. */
  ended(group: Group): SnapshotPart | null {
    const record = this.#current;
    this.#current = null;
    if (record === null) return null;
    this.#unconfirmed.push({ group, record });
    this.copied.add(record);
    // Some rows begin and complete nothing: what readers know of the table stays as it is.
    const some = record.where !== null;
    return { record: record.id, table: record.table, first: record.first && !some, last: record.last && !some, sink: record.sink };
  }

  /** The table's copies for everybody count no longer, nor what of them is still on its way. */
  void(record: SnapshotRecord): void {
    const key = copyKeyOf(record);
    const kept = this.#unconfirmed.filter((each) => copyKeyOf(each.record) !== key);
    this.#unconfirmed.splice(0, this.#unconfirmed.length, ...kept);
    this.#copies.set(key, record);
  }

  /** The records that this group's ENDs have confirmed, to be written again as such. */
  confirmed(group: Group): readonly SnapshotRecord[] {
    const count = this.#unconfirmed.findIndex((each) => each.group !== group);
    const records = this.#unconfirmed.splice(0, count < 0 ? this.#unconfirmed.length : count).map(({ record }) => ({ ...record, confirmed: true }));
    for (const record of records) this.#copies.set(copyKeyOf(record), record);
    return records;
  }
}

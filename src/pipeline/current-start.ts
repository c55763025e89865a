import { randomBytes } from 'node:crypto';
import type { Lsn } from '../event/lsn.ts';
import type { Place, StartRecord } from './control-records.ts';
import { startIdBytes, startIdText } from './record-header.ts';

/** The START under which a publisher publishes now, and when it is due to be renewed (docs/adr/0004-start-is-renewed.md). */
export class CurrentStart {
  #record: StartRecord;
  #idBytes: Uint8Array;
  #offset: number;
  /** Whether an END of this START is durable. */
  #ended = false;
  #due = false;
  #tables: readonly string[];

  /** `offset`: where START stands in the `transaction` topic. */
  constructor(record: StartRecord, offset: number) {
    this.#record = record;
    this.#tables = record.tables;
    this.#idBytes = startIdBytes(record.startId);
    this.#offset = offset;
  }

  get record(): StartRecord {
    return this.#record;
  }

  get idBytes(): Uint8Array {
    return this.#idBytes;
  }

  /** Retention never cuts behind this offset of `transaction`: the last START, and an END that counts behind it. */
  get cornerstone(): number {
    return this.#ended ? this.#offset : 0;
  }

  get isDue(): boolean {
    return this.#due;
  }

  /** Asks for a new START between two transactions, so that the one that stands can go with what is old. */
  request(): void {
    this.#due = true;
  }

  /** More tables are captured than START names: the next one names them. */
  captures(tables: readonly string[]): void {
    this.#tables = tables;
    this.#due = true;
  }

  /** The new START; `continues` is the last END, `offset` a lower bound of where the new one will stand. */
  renew(continues: Place & { readonly endLsn: Lsn }, offset: number): StartRecord {
    this.#due = false;
    this.#ended = false;
    this.#offset = offset;
    this.#record = { ...this.#record, epoch: this.#record.epoch + 1, startId: startIdText(randomBytes(8)), gap: null, continues, tables: this.#tables };
    this.#idBytes = startIdBytes(this.#record.startId);
    return this.#record;
  }

  /** An END of the START with this id is durable. */
  endIsDurable(startId: string): void {
    if (startId === this.#record.startId) this.#ended = true;
  }
}

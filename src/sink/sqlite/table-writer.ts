import type { DatabaseSync } from 'node:sqlite';
import type { RowChange } from '../../event/change.ts';
import { type TableSchema, tableName } from '../../event/table.ts';
import { KIND_TEXT, TupleReader } from '../../event/tuple.ts';
import { TailraceError } from '../../runtime/errors.ts';
import { shortened } from '../../runtime/printable.ts';
import type { TableChanges } from '../sink.ts';
import type { ReplicaTable } from './replica-table.ts';
import { RowImage } from './row-image.ts';
import { resultCode, sqliteError } from './sqlite-error.ts';
import { TableStatements } from './statements.ts';

type Coverage = TableChanges['coverage'];

/**
 * Applies changes to one table, one after the other as they happened: SQLite runs a prepared statement in little more than a
 * microsecond, so there is nothing to gain from folding the changes of a key.
 */
export class TableWriter {
  readonly #source: TableSchema;
  readonly #table: ReplicaTable;
  readonly #statements: TableStatements;
  readonly #old: RowImage;
  readonly #new: RowImage;
  readonly #all: readonly number[];
  #bytes: Buffer = Buffer.alloc(0);
  #view: Uint8Array | undefined;

  constructor(db: DatabaseSync, source: TableSchema, table: ReplicaTable) {
    this.#source = source;
    this.#table = table;
    this.#statements = new TableStatements(db, table);
    this.#old = new RowImage(table);
    this.#new = new RowImage(table);
    this.#all = table.columns.map((_, i) => i);
  }

  /** Returns how many changes found no row, where the coverage says to count them. Throws `sink-data` naming the key. */
  write({ changes, coverage }: Pick<TableChanges, 'changes' | 'coverage'>): number {
    let missing = 0;
    for (const change of changes) {
      if (change.op === 't') {
        this.#statements.truncate.run();
        continue;
      }
      try {
        if (!this.#apply(change)) missing += this.#missed(change, coverage);
      } catch (error) {
        throw this.#explain(error, change);
      }
    }
    return missing;
  }

  /** False when the change found no row to be applied to. */
  #apply(change: RowChange<TableSchema>): boolean {
    const bytes = this.#buffer(change.bytes);
    if (change.newAt >= 0) this.#new.read(bytes, change.newAt);
    if (change.oldAt >= 0) this.#old.read(bytes, change.oldAt);
    switch (change.op) {
      case 'c':
      case 'r':
        if (this.#new.absentCount > 0) throw new RangeError('a new row that lacks a column');
        this.#statements.upsert.run(...this.#new.values);
        return true;
      case 'u':
        if (change.oldKind === 'full') this.#new.fill(this.#old, this.#all);
        return this.#table.key.length > 0 ? this.#updateByKey(change) : this.#updateOne(change);
      case 'd':
        if (this.#table.key.length > 0) return this.#deleteByKey();
        this.#wantWhole(change);
        return this.#statements.removeOne.run(...this.#old.values).changes !== 0;
    }
  }

  #updateByKey(change: RowChange<TableSchema>): boolean {
    const { key } = this.#table;
    const next = this.#new;
    if (change.oldAt >= 0) next.fill(this.#old, key);
    for (const place of key) if (next.absent[place] === 1) throw new RangeError('an update that lacks its key');
    const keyChanged = change.oldAt >= 0 && !next.same(this.#old, key);
    if (next.absentCount > 0) return this.#updateColumns(keyChanged);
    // A whole row needs no row to lie over: it is inserted where it is missing.
    if (!keyChanged || !this.#updateColumns(true)) this.#statements.upsert.run(...next.values);
    return true;
  }

  #updateColumns(keyChanged: boolean): boolean {
    const { key } = this.#table;
    const next = this.#new;
    let places = this.#all.filter((place) => next.absent[place] === 0 && (keyChanged || !key.includes(place)));
    if (places.length === 0) places = [...key];
    const from = keyChanged ? this.#old : next;
    const values = [...places.map((place) => next.values[place] ?? null), ...key.map((place) => from.values[place] ?? null)];
    const statement = this.#statements.update(places);
    try {
      return statement.run(...values).changes !== 0;
    } catch (error) {
      // As an insert that comes again: the newer row takes the place of one that still has its key.
      const taken = resultCode(error) === constraintPrimaryKey || resultCode(error) === constraintRowid;
      if (!keyChanged || !taken) throw error;
      this.#statements.remove.run(...key.map((place) => next.values[place] ?? null));
      return statement.run(...values).changes !== 0;
    }
  }

  #updateOne(change: RowChange<TableSchema>): boolean {
    this.#wantWhole(change);
    if (this.#new.absentCount > 0) throw new RangeError('an update that lacks a column and has no old row');
    return this.#statements.updateOne.run(...this.#new.values, ...this.#old.values).changes !== 0;
  }

  #wantWhole(change: RowChange<TableSchema>): void {
    if (change.oldKind !== 'full') throw new RangeError('a change of a table without a key that does not say the old row');
  }

  #deleteByKey(): boolean {
    const values = this.#table.key.map((place) => this.#old.values[place] ?? null);
    return this.#statements.remove.run(...values).changes !== 0;
  }

  /** 1 where a change without its row is counted; 0 where it is to be expected. */
  #missed(change: RowChange<TableSchema>, coverage: Coverage): number {
    switch (coverage) {
      case 'copying':
        return 0;
      case 'partial':
        return 1;
      case 'complete':
        // A row that is gone already is what a delete by key wants.
        if (change.op === 'd' && this.#table.key.length > 0) return 0;
        throw new TailraceError('sink-data', `${this.#where(change)}: the row is missing at the replica, and the change does not bring it whole`);
    }
  }

  #explain(error: unknown, change: RowChange<TableSchema>): unknown {
    if (error instanceof RangeError) return new TailraceError('sink-data', `${this.#where(change)}: ${error.message}`, { cause: error });
    return sqliteError(error, this.#where(change));
  }

  #where(change: RowChange<TableSchema>): string {
    return `${tableName(this.#source)}${keyText(this.#source, change)}`;
  }

  /** The change's bytes as a Buffer, whose decoders take offsets; many changes share one. */
  #buffer(bytes: Uint8Array): Buffer {
    if (bytes !== this.#view) {
      this.#view = bytes;
      this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    return this.#bytes;
  }
}

const constraintPrimaryKey = 1555;
const constraintRowid = 2579;

/** ` (id)=(77)`, of the row that the change looks for; keys alone are ever told, never other values. */
function keyText(table: TableSchema, change: RowChange<TableSchema>): string {
  if (table.key.length === 0) return '';
  const texts = table.key.map(() => '?');
  const reader = new TupleReader().reset(change.bytes, change.oldAt >= 0 ? change.oldAt : change.newAt);
  while (reader.next()) {
    const place = table.key.indexOf(reader.index);
    if (place < 0 || reader.kind !== KIND_TEXT) continue;
    // The start is enough to know the row by, and a key of a megabyte is no message.
    const part = Buffer.from(change.bytes.subarray(reader.start, Math.min(reader.end, reader.start + 400)));
    texts[place] = shortened(part.toString(), 80);
  }
  return ` (${table.key.map((i) => table.columns[i]?.name).join(', ')})=(${texts.join(', ')})`;
}

import { tableName } from '../event/table.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { SchemaReader } from './schema-reader.ts';

/**
 * The tables that a follower reads by name. One that is not there and never was would be taken for an empty one, without a word and for ever;
 * so it waits for that table. Asked until it was so once: a table that is dropped later has rows all the same.
 */
export class NeededTables {
  readonly #names: readonly string[];
  readonly #schemas: SchemaReader;
  #areThere = false;

  constructor(names: readonly string[], schemas: SchemaReader) {
    this.#names = names;
    this.#schemas = schemas;
  }

  /** `captured`: what STARTs have named; null where none was met, as behind a position. Throws `table-not-captured`. */
  async check(captured: ReadonlySet<string> | null): Promise<void> {
    if (this.#areThere || captured === null) return;
    await this.#schemas.refresh();
    const there = new Set([...captured, ...this.#schemas.byNames().map(tableName)]);
    const missing = this.#names.find((name) => !there.has(name));
    if (missing !== undefined) throw new TailraceError('table-not-captured', `${missing} is read, which is not captured`);
    this.#areThere = true;
  }
}

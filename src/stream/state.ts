import { DatabaseSync, type StatementSync } from 'node:sqlite';

/** What of it a task takes along to wherever it is taken up (`LoggedState`): all that lasts. */
export const lastingTables = ['meta', 'entries', 'counted', 'ordered', 'outbox'];

const ddl = `
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (node INTEGER, key TEXT, value TEXT NOT NULL, PRIMARY KEY (node, key)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counted (node INTEGER, key TEXT, item TEXT, n INTEGER NOT NULL, PRIMARY KEY (node, key, item)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ordered (node INTEGER, key TEXT, ord BLOB, item TEXT, n INTEGER NOT NULL, PRIMARY KEY (node, key, ord, item)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY, node INTEGER NOT NULL, before TEXT, after TEXT) STRICT`;

export interface Counted {
  readonly item: string;
  readonly n: number;
}

export interface Placed extends Counted {
  readonly ord: Uint8Array;
}

/**
 * A stream's state: one SQLite file, so that it is as large as it has to be, survives, and moves with the position in one
 * transaction. Keys and items are texts of `encodeValue`; `node` is the operator's number in the plan.
 */
export class State {
  readonly db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** Asked and written for every event. */
  readonly #entry: StatementSync;
  readonly #set: StatementSync;
  readonly #add: StatementSync;

  /** `isCopy`: what it holds is durable elsewhere, and it is compared with that when it is opened. */
  constructor(path: string, { isCopy = false }: { readonly isCopy?: boolean } = {}) {
    this.db = new DatabaseSync(path);
    // FULL: in WAL mode only that makes a commit survive power loss; NORMAL may lose the last ones, and no more.
    this.db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${isCopy ? 'NORMAL' : 'FULL'}; PRAGMA busy_timeout = 5000`);
    this.db.exec(ddl);
    this.#entry = this.db.prepare('SELECT value FROM entries WHERE node = ? AND key = ?');
    this.#entry.setReturnArrays(true);
    this.#set = this.db.prepare('INSERT INTO entries VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value');
    this.#add = this.db.prepare('INSERT INTO entries VALUES (?, ?, ?) ON CONFLICT DO NOTHING');
  }

  close(): void {
    this.db.close();
  }

  meta(name: string): string | null {
    return (this.#sql('SELECT value FROM meta WHERE name = ?').get(name) as { value: string } | undefined)?.value ?? null;
  }

  setMeta(name: string, value: string): void {
    this.#sql('INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value').run(name, value);
  }

  entry(node: number, key: string): string | null {
    return (this.#entry.get(node, key) as unknown as [string] | undefined)?.[0] ?? null;
  }

  /** Whether it was added: false where there is an entry of the key, which stays. */
  addEntry(node: number, key: string, value: string): boolean {
    return this.#add.run(node, key, value).changes === 1;
  }

  setEntry(node: number, key: string, value: string | null): void {
    if (value === null) this.#sql('DELETE FROM entries WHERE node = ? AND key = ?').run(node, key);
    else this.#set.run(node, key, value);
  }

  /** Up to `limit` entries behind `after`, by key. */
  entriesAfter(node: number, after: string, limit: number): readonly { readonly key: string; readonly value: string }[] {
    return this.#sql('SELECT key, value FROM entries WHERE node = ? AND key > ? ORDER BY key LIMIT ?').all(node, after, limit) as { key: string; value: string }[];
  }

  /** Adds `times` of an item and gives how many there are now; what there is none of takes no room. */
  count(node: number, at: { readonly key: string; readonly item: string }, times: number): number {
    const { n } = this.#sql('INSERT INTO counted VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n RETURNING n').get(node, at.key, at.item, times) as { n: number };
    if (n === 0) this.#sql('DELETE FROM counted WHERE node = ? AND key = ? AND item = ?').run(node, at.key, at.item);
    return n;
  }

  counted(node: number, key: string): readonly Counted[] {
    return this.#sql('SELECT item, n FROM counted WHERE node = ? AND key = ?').all(node, key) as unknown as Counted[];
  }

  /** Up to `limit` items behind the place given, by key and item. */
  countedAfter(node: number, after: { readonly key: string; readonly item: string }, limit: number): readonly (Counted & { readonly key: string })[] {
    return this.#sql('SELECT key, item, n FROM counted WHERE node = ? AND (key, item) > (?, ?) ORDER BY key, item LIMIT ?')
      .all(node, after.key, after.item, limit) as unknown as (Counted & { key: string })[];
  }

  clearCounted(node: number): void {
    this.#sql('DELETE FROM counted WHERE node = ?').run(node);
  }

  order(node: number, at: { readonly key: string; readonly ord: Uint8Array; readonly item: string }, times: number): number {
    const { n } = this.#sql('INSERT INTO ordered VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n RETURNING n').get(node, at.key, at.ord, at.item, times) as { n: number };
    if (n === 0) this.#sql('DELETE FROM ordered WHERE node = ? AND key = ? AND ord = ? AND item = ?').run(node, at.key, at.ord, at.item);
    return n;
  }

  /** The first items of a key in one direction. */
  first(node: number, key: string, of: { readonly direction: 'ascending' | 'descending'; readonly take: number }): readonly Counted[] {
    const direction = of.direction === 'ascending' ? 'ASC' : 'DESC';
    return this.#sql(`SELECT item, n FROM ordered WHERE node = ? AND key = ? ORDER BY ord ${direction}, item LIMIT ?`).all(node, key, of.take) as unknown as Counted[];
  }

  /** Items of a key from one place on, in one direction, one at a time. */
  *walk(node: number, key: string, from: { readonly ord: Uint8Array; readonly direction: 'ascending' | 'descending' }): Iterable<Counted> {
    const [order, compare] = from.direction === 'ascending' ? ['ASC', '>='] : ['DESC', '<='];
    const sql = `SELECT item, n FROM ordered WHERE node = ? AND key = ? AND ord ${compare} ? ORDER BY ord ${order}, item LIMIT 64 OFFSET ?`;
    for (let offset = 0; ; offset += 64) {
      const found = this.#sql(sql).all(node, key, from.ord, offset) as unknown as Counted[];
      yield* found;
      if (found.length < 64) return;
    }
  }

  /** Items of a key from one place up to another, both within, one at a time and in order. */
  *between(node: number, key: string, from: Uint8Array, to: Uint8Array): Iterable<Placed> {
    let after: Pick<Placed, 'ord' | 'item'> = { ord: from, item: '' };
    for (;;) {
      const found = this.#sql('SELECT ord, item, n FROM ordered WHERE node = ? AND key = ? AND (ord, item) > (?, ?) AND ord <= ? ORDER BY ord, item LIMIT 256')
        .all(node, key, after.ord, after.item, to) as unknown as Placed[];
      yield* found;
      if (found.length < 256) return;
      after = found.at(-1) as Placed;
    }
  }

  /** The items of a key up to a place, oldest first. */
  upTo(node: number, key: string, ord: Uint8Array, limit: number): readonly Placed[] {
    return this.#sql('SELECT ord, item, n FROM ordered WHERE node = ? AND key = ? AND ord <= ? ORDER BY ord, item LIMIT ?')
      .all(node, key, ord, limit) as unknown as Placed[];
  }

  dropOrdered(node: number, key: string): void {
    this.#sql('DELETE FROM ordered WHERE node = ? AND key = ?').run(node, key);
  }

  /** Takes the items of one place away. */
  dropAt(node: number, key: string, ord: Uint8Array): void {
    this.#sql('DELETE FROM ordered WHERE node = ? AND key = ? AND ord = ?').run(node, key, ord);
  }

  /** What is to be published with this transaction. */
  post(node: number, before: string | null, after: string | null): void {
    this.#sql('INSERT INTO outbox (node, before, after) VALUES (?, ?, ?)').run(node, before, after);
  }

  posted(after: number, limit: number): readonly { readonly seq: number; readonly node: number; readonly before: string | null; readonly after: string | null }[] {
    return this.#sql('SELECT seq, node, before, after FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?').all(after, limit) as never;
  }

  clearOutbox(): void {
    this.#sql('DELETE FROM outbox').run();
  }

  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) this.#statements.set(text, (statement = this.db.prepare(text)));
    return statement;
  }
}

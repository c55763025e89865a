import { setImmediate as turn } from 'node:timers/promises';
import type { SourceItem } from '../../src/event/change.ts';
import type { Lsn } from '../../src/event/lsn.ts';
import type { TableShape } from '../../src/event/table.ts';
import { overlay, tupleOf, tupleTexts } from '../../src/event/tuple.ts';
import type { CatalogReader, KnownTable } from '../../src/source/catalog.ts';
import { TailraceError } from '../../src/runtime/errors.ts';
import { watermarkPrefix, type Chunk, type ChunkRequest, type RowBlock, type SnapshotReader, type Source, type SourceCheck, type SourceHealth, type SourceServer, type SourceSession, type Visibility, type WholeTable } from '../../src/source/source.ts';

/** One change as a test writes it: it gets its ordinal when its transaction is committed. */
export type Written = (ordinal: number) => Exclude<SourceItem, { readonly op: 'begin' | 'commit' | 'keepalive' }>;

type Texts = readonly (string | null | undefined)[];

interface WalTransaction {
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  readonly items: readonly SourceItem[];
}

export interface CommitOptions {
  /** The commit record follows directly upon the one before: its LSN is that one's end. */
  readonly adjacent?: boolean;
  /** The commit is in the WAL, and not yet visible to new snapshots, until `reveal`. */
  readonly hidden?: boolean;
  /** The table's change was never sent: made before the table entered the publication, or before the slot. */
  readonly unsent?: boolean;
  readonly xid?: number;
  /** Microseconds since 1970; later than that of the commit before unless told. */
  readonly commitTime?: bigint;
}

/** Where in a chunk the test may step in: behind the low watermark, behind the reading of the rows, behind the high watermark. */
export type ChunkPhase = 'low' | 'read' | 'high';

/**
 * A small Postgres whose every move the test decides: a WAL of transactions, a slot, rows with their visibility, and faults.
 * It stands for interleavings that a real server cannot be made to show on demand. What it streams from a position, what a
 * chunk sees and what an acknowledgement does are as Postgres does them.
 */
export class ScriptedSource implements Source {
  server: SourceServer;
  tables: TableShape[];
  readonly wal: WalTransaction[] = [];
  readonly #hidden = new Set<number>();
  readonly #unsent = new Set<WalTransaction>();
  #lsn: Lsn = 0x1000n;
  #xid = 700;

  /** Every position that a session was given, in order. */
  readonly acknowledged: Lsn[] = [];
  onAcknowledge: (position: Lsn) => void = () => {};
  readonly sessions: ScriptedSession[] = [];
  readonly chunks: ChunkRequest[] = [];
  /** Items a batch at most. */
  pieces = Number.POSITIVE_INFINITY;
  /** Transactions a batch at most, of those that are there. */
  together = 1;
  /** Items that are still delivered before the connection is lost; null: it lasts. */
  lostAfter: number | null = null;
  /** Transactions are delivered only up to this many of the WAL. */
  deliverUpTo = Number.POSITIVE_INFINITY;

  /** Rows that a chunk has at most, whatever is asked for. */
  chunkRows = Number.POSITIVE_INFINITY;

  /** Just before a batch of a transaction is handed out. */
  onDeliver: (items: readonly SourceItem[]) => void | Promise<void> = () => {};
  onChunk: (phase: ChunkPhase, request: ChunkRequest) => void | Promise<void> = () => {};
  bend: (chunk: Chunk, request: ChunkRequest) => Chunk = (chunk) => chunk;
  onWhole: (phase: 'low' | 'taken' | 'block') => void | Promise<void> = () => {};
  health: () => SourceHealth = () => {
    throw new TailraceError('source-unreachable', 'scripted');
  };
  slotHealth = (): Promise<SourceHealth> => Promise.resolve(this.health());
  /** Called when a copy asks how large its table is. */
  onEstimate: (table: TableShape) => void | Promise<void> = () => {};
  onEntered: (table: TableShape, onWait: (session: string) => void) => Promise<void> = async () => {};

  constructor(tables: readonly TableShape[]) {
    this.tables = [...tables];
    this.server = {
      systemIdentifier: '7412345678901234567', timeline: 1, timelineSwitch: undefined, slot: 'tailrace_shop',
      confirmedFlush: this.#lsn, walFlushed: this.#lsn, slotCreated: true, database: 'shop',
    };
  }

  /** The end of the WAL. */
  get lsn(): Lsn {
    return this.#lsn;
  }

  check(): Promise<SourceCheck> {
    return Promise.resolve({ findings: [], tables: [] });
  }

  async connect({ signal }: { readonly signal: AbortSignal }): Promise<SourceSession> {
    await turn();
    signal.throwIfAborted();
    this.server = { ...this.server, walFlushed: this.#lsn };
    const session = new ScriptedSession(this);
    this.sessions.push(session);
    return session;
  }

  teardown(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  openVerifier(): Promise<never> {
    return Promise.reject(new Error('nobody verifies here'));
  }

  /** Commits a transaction: it stands in the WAL, and is streamed. */
  commit(changes: readonly Written[], options: CommitOptions = {}): WalTransaction {
    const commitLsn = options.adjacent === true ? this.#lsn : this.#lsn + 0x40n;
    const endLsn = commitLsn + 0x30n;
    const xid = options.xid ?? this.#xid++;
    const time = { commitLsn, commitTime: options.commitTime ?? 1_769_860_800_000_000n + commitLsn };
    const items: SourceItem[] = changes.map((change, ordinal) => change(ordinal));
    const transaction = { xid, commitLsn, endLsn, items: [{ op: 'begin', ...time, xid } as const, ...items, { op: 'commit', ...time, endLsn } as const] };
    this.wal.push(transaction);
    this.#lsn = endLsn;
    if (options.hidden === true) this.#hidden.add(xid);
    if (options.unsent === true) this.#unsent.add(transaction);
    this.#wake();
    return transaction;
  }

  /** The transaction becomes visible to new snapshots. */
  reveal(transaction: WalTransaction): void {
    this.#hidden.delete(transaction.xid);
  }

  /** Says to whoever is connected that everything up to here was sent; WAL of others lies in between. */
  keepalive(walEnd: Lsn = (this.#lsn += 0x100n)): Lsn {
    for (const session of this.sessions) session.say({ op: 'keepalive', walEnd });
    this.#wake();
    return walEnd;
  }

  /** The connection is gone, behind what was delivered so far. */
  lose(): void {
    this.lostAfter = 0;
    this.#wake();
  }

  deliver(upTo = Number.POSITIVE_INFINITY): void {
    this.deliverUpTo = upTo;
    this.#wake();
  }

  streams(transaction: WalTransaction): boolean {
    return !this.#unsent.has(transaction);
  }

  /** The rows that a new snapshot sees, by key, or numbered in a table without one. */
  rows(relid: number): readonly Texts[] {
    const rows = new Map<string, Texts>();
    let count = 0;
    for (const { xid, items } of this.wal) {
      if (this.#hidden.has(xid)) continue;
      for (const item of items) count = applyItem(rows, item, relid, count);
    }
    const keyed = this.tables.find((table) => table.relid === relid);
    const all = [...rows.values()];
    return keyed === undefined || keyed.key.length === 0 ? all : all.toSorted((a, b) => compareKeys(keyOf(keyed, a), keyOf(keyed, b)));
  }

  visibility(): Visibility {
    const running = [...this.#hidden].map(BigInt).toSorted((a, b) => Number(a - b));
    const xmax = BigInt(this.#xid);
    return { xmin: running[0] ?? xmax, xmax, running };
  }

  shape(relid: number): TableShape {
    const found = this.tables.find((table) => table.relid === relid);
    if (found === undefined) throw new Error(`no table ${relid}`);
    return found;
  }

  #wake(): void {
    for (const session of this.sessions) session.wake();
  }
}

/** A catalog in which nothing ever changes. */
export function stillCatalog(): CatalogReader {
  return {
    changed: async (_tables, { signal, settled }) => {
      settled();
      // A stop may have come in the turn of a nudge.
      signal.throwIfAborted();
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }));
    },
    nudge: () => {},
    look: () => Promise.reject(new Error('nothing has changed')),
    accept: () => {},
    find: (_state, partition) => partition,
  };
}

/** A catalog in which nothing changes, but tables come that nobody has looked at, and go. */
function growingCatalog(source: ScriptedSource): CatalogReader {
  const atFirst = new Set(source.tables.map(({ relid }) => relid));
  const still = stillCatalog();
  let nudged = Promise.withResolvers<void>();
  const unseen = (tables: readonly KnownTable[]): readonly KnownTable[] => tables.filter(({ shape, state }) => state === null && !atFirst.has(shape.relid));
  const gone = (tables: readonly KnownTable[]): readonly number[] => tables.map(({ shape }) => shape.relid).filter((relid) => !source.tables.some((table) => table.relid === relid));
  return {
    ...still,
    changed: async (tables, options) => {
      while (unseen(tables()).length === 0 && gone(tables()).length === 0) {
        await Promise.race([still.changed(tables, options), nudged.promise]);
        nudged = Promise.withResolvers();
      }
    },
    nudge: () => nudged.resolve(),
    look: async (content, tables) => {
      source.commit([message(watermarkPrefix, content)]);
      return { visibility: source.visibility(), tables: unseen(tables).map(({ shape }) => ({ shape, state: {}, settled: [], doubt: null })), gone: gone(tables) };
    },
  };
}

export class ScriptedSession implements SourceSession {
  readonly #source: ScriptedSource;
  readonly server: SourceServer;
  tables: readonly TableShape[];
  readonly leftOut = [];
  readonly snapshots: SnapshotReader;
  readonly catalog: CatalogReader;
  readonly acknowledged: Lsn[] = [];
  readonly #spoken: { readonly behind: number; readonly item: SourceItem }[] = [];
  #state: 'open' | 'stopped' | 'closed' = 'open';
  #wake: () => void = () => {};

  constructor(source: ScriptedSource) {
    this.#source = source;
    this.server = source.server;
    this.tables = [...source.tables];
    this.snapshots = new ScriptedSnapshots(source);
    this.catalog = growingCatalog(source);
  }

  get isClosed(): boolean {
    return this.#state === 'closed';
  }

  wake(): void {
    this.#wake();
  }

  say(item: SourceItem): void {
    this.#spoken.push({ behind: this.#source.wal.length, item });
  }

  async *batches(): AsyncGenerator<readonly SourceItem[]> {
    const source = this.#source;
    // As Postgres: transactions whose commit record begins at or behind the slot's position.
    for (let next = 0; ; ) {
      if (this.#state !== 'open') return;
      if (source.lostAfter === 0) {
        source.lostAfter = null;
        throw new TailraceError('source-unreachable', 'scripted: the connection is lost');
      }
      const [spoken] = this.#spoken;
      if (spoken !== undefined && spoken.behind <= next) {
        this.#spoken.shift();
        yield [spoken.item];
        continue;
      }
      const transaction = next < source.deliverUpTo ? source.wal[next] : undefined;
      if (transaction === undefined) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      const batch = source.wal.slice(next, Math.min(next + source.together, source.deliverUpTo, spoken?.behind ?? source.wal.length));
      next += batch.length;
      const sent = batch.filter((each) => each.commitLsn >= this.server.confirmedFlush && source.streams(each));
      if (sent.length > 0) yield* this.#inPieces(sent.flatMap(({ items }) => items));
    }
  }

  async *#inPieces(items: readonly SourceItem[]): AsyncGenerator<readonly SourceItem[]> {
    const source = this.#source;
    for (let at = 0; at < items.length; ) {
      const size = Math.min(source.pieces, source.lostAfter ?? Number.POSITIVE_INFINITY, items.length - at);
      if (size === 0) return;
      if (source.lostAfter !== null) source.lostAfter -= size;
      await turn();
      await source.onDeliver(items.slice(at, at + size));
      if (this.#state === 'closed') return;
      yield items.slice(at, at + size);
      at += size;
    }
  }

  acknowledge(position: Lsn): void {
    // There is nobody left to hear it.
    if (this.#state === 'closed') return;
    this.acknowledged.push(position);
    this.#source.acknowledged.push(position);
    this.#source.onAcknowledge(position);
    if (position > this.#source.server.confirmedFlush) this.#source.server = { ...this.#source.server, confirmedFlush: position, slotCreated: false };
  }

  discover(): Promise<readonly TableShape[]> {
    const tables = this.#source.tables.filter((table) => !this.tables.includes(table));
    this.tables = [...this.tables.filter((before) => !tables.some((table) => table.name === before.name)), ...tables];
    return Promise.resolve(tables);
  }

  async health(): Promise<SourceHealth> {
    await turn();
    return this.#source.health();
  }

  stop(): void {
    if (this.#state === 'open') this.#state = 'stopped';
    this.#wake();
  }

  async close(): Promise<void> {
    await turn();
    this.#state = 'closed';
    this.#wake();
  }
}

class ScriptedSnapshots implements SnapshotReader {
  readonly #source: ScriptedSource;

  constructor(source: ScriptedSource) {
    this.#source = source;
  }

  entered(table: TableShape, { onWait }: { signal: AbortSignal; onWait: (session: string) => void }): Promise<void> {
    return this.#source.onEntered(table, onWait);
  }

  async watermark(content: string): Promise<{ readonly lsn: Lsn }> {
    await turn();
    this.#source.commit([message(watermarkPrefix, content)]);
    await this.#source.onWhole('low');
    return { lsn: this.#source.lsn };
  }

  async chunk(request: ChunkRequest): Promise<Chunk | null> {
    const source = this.#source;
    await turn();
    source.chunks.push(request);
    source.commit([message(watermarkPrefix, request.low)]);
    await source.onChunk('low', request);
    if (!source.tables.some(({ relid }) => relid === request.table.relid)) return null;
    const shape = source.shape(request.table.relid);
    const texts = source.rows(shape.relid).filter((row) => {
      const key = keyOf(shape, row);
      // A condition is a text that the second column has.
      if (request.where != null && row[1] !== request.where) return false;
      if (request.keys !== null) return request.keys.some((wanted) => compareKeys(wanted, key) === 0);
      return (request.after === null || compareKeys(key, request.after) > 0) && (request.until == null || compareKeys(key, request.until) <= 0);
    });
    const most = Math.min(request.maxRows, source.chunkRows);
    const cut = request.keys === null ? texts.slice(0, most) : texts;
    const visibility = source.visibility();
    await source.onChunk('read', request);
    const stable = shape === source.shape(request.table.relid);
    source.commit([message(watermarkPrefix, request.high)]);
    await source.onChunk('high', request);
    return source.bend({ rows: within(request.memory, blockOf(cut)), visibility, stable, partitions: [], shape, last: request.keys !== null || texts.length < most }, request);
  }

  async whole(table: TableShape): Promise<WholeTable | null> {
    const source = this.#source;
    await turn();
    const rows = source.rows(table.relid);
    const visibility = source.visibility();
    await source.onWhole('taken');
    const lsn = source.lsn;
    return {
      visibility, lsn, shape: source.shape(table.relid),
      partitions: [],
      isStable: () => Promise.resolve(true),
      blocks: async function* () {
        await turn();
        for (let i = 0; i < rows.length; i += 2) {
          yield blockOf(rows.slice(i, i + 2));
          await source.onWhole('block');
        }
      },
      close: async () => {},
    };
  }

  checkWhere(): Promise<void> {
    return Promise.resolve();
  }

  boundaries(table: TableShape, parts: number): Promise<readonly (readonly string[])[]> {
    const keys = this.#source.rows(table.relid).map((row) => keyOf(table, row));
    if (keys.length < parts) return Promise.resolve([]);
    return Promise.resolve(Array.from({ length: parts - 1 }, (_, i) => keys[Math.floor(((i + 1) * keys.length) / parts)] as string[]));
  }

  async estimate(table: TableShape): Promise<undefined> {
    await this.#source.onEstimate(table);
  }
}

export function insert(table: TableShape, row: Texts): Written {
  return change(table, { op: 'c', row });
}

/** The key did not change; `undefined` is unchanged TOAST. `old` is the whole old row, of a table with identity full. */
export function update(table: TableShape, row: Texts, old?: Texts): Written {
  return change(table, { op: 'u', row, old, oldKind: 'full' });
}

/** The key changed: of the old row only the key is sent. */
export function rekey(table: TableShape, old: Texts, row: Texts): Written {
  return change(table, { op: 'u', row, old: keyOnly(table, old), oldKind: 'key' });
}

export function remove(table: TableShape, old: Texts): Written {
  const whole = table.key.length === 0;
  return change(table, { op: 'd', old: whole ? old : keyOnly(table, old), oldKind: whole ? 'full' : 'key' });
}

export function truncate(...tables: readonly TableShape[]): Written {
  return (ordinal) => ({ op: 't', tables, ordinal, cascade: false, restartIdentity: false });
}

export function message(prefix: string, content: string): Written {
  return (ordinal) => ({ op: 'm', prefix, content: Buffer.from(content), ordinal });
}

function change(
  table: TableShape,
  spec: { readonly op: 'c' | 'u' | 'd'; readonly row?: Texts; readonly old?: Texts | undefined; readonly oldKind?: 'key' | 'full' },
): Written {
  const { op, row, old, oldKind } = spec;
  const letter = Buffer.from(oldKind === 'full' ? 'O' : 'K');
  const before = old === undefined ? [] : [letter, tupleOf(old)];
  const after = row === undefined ? [] : old === undefined ? [tupleOf(row)] : [Buffer.from('N'), tupleOf(row)];
  const bytes = Buffer.concat([...before, ...after]);
  const oldAt = old === undefined ? -1 : 1;
  const newAt = row === undefined ? -1 : bytes.length - (after.at(-1)?.length ?? 0);
  return (ordinal) => ({ op, table, ordinal, bytes, oldKind: old === undefined ? 'none' : (oldKind ?? 'none'), oldAt, newAt, end: bytes.length });
}

function keyOnly(table: TableShape, row: Texts): Texts {
  return row.map((text, i) => (table.key.includes(i) ? text : null));
}

function keyOf(table: TableShape, row: Texts): string[] {
  return table.key.map((index) => row[index] as string);
}

/** Numbers by value, everything else by code unit: as an index on integers and one with collation "C" would. */
function compareKeys(a: readonly string[], b: readonly string[]): number {
  for (const [i, text] of a.entries()) {
    const other = b[i] ?? '';
    if (text === other) continue;
    const numeric = /^-?\d+$/.test(text) && /^-?\d+$/.test(other);
    return (numeric ? Number(text) < Number(other) : text < other) ? -1 : 1;
  }
  return 0;
}

/** What a change does to the rows of one table, with rows that lack columns laid over what was there. */
function applyItem(rows: Map<string, Texts>, item: SourceItem, relid: number, count: number): number {
  if (item.op === 't') {
    if (item.tables.some((table) => table.relid === relid)) rows.clear();
    return count;
  }
  if (!('table' in item) || item.op === 'partition' || item.table.relid !== relid) return count;
  const texts = (at: number): Texts | null => (at < 0 ? null : tupleTexts(item.bytes, at));
  const [old, next] = [texts(item.oldAt), texts(item.newAt)];
  if (item.table.key.length === 0) return applyKeyless(rows, old, next, count);
  const fromKey = JSON.stringify(keyOf(item.table, old ?? next ?? []));
  const under = rows.get(fromKey);
  if (old !== null || item.op === 'd') rows.delete(fromKey);
  if (next === null) return count;
  const over = tupleOf(next);
  const laid = tupleTexts(under === undefined ? over : overlay(tupleOf(under), 0, over, 0), 0);
  // A row has no absent columns at its own server; where the key is out of line and unchanged it is in the old image.
  const whole = laid.map((text, i) => text ?? (text === undefined ? (old?.[i] ?? null) : null));
  rows.set(JSON.stringify(keyOf(item.table, whole)), whole);
  return count;
}

function applyKeyless(rows: Map<string, Texts>, old: Texts | null, next: Texts | null, count: number): number {
  if (old !== null) {
    const found = [...rows].find(([, row]) => JSON.stringify(row) === JSON.stringify(old));
    if (found !== undefined) rows.delete(found[0]);
  }
  if (next !== null) rows.set(String(count), next);
  return count + 1;
}

/** The rows lie where the caller lets them, over those of the chunk before. */
function within(memory: ChunkRequest['memory'], block: RowBlock): RowBlock {
  if (memory === undefined) return block;
  if (memory.bytes.length < block.length) memory.bytes = new Uint8Array(2 * block.length);
  memory.bytes.set(block.bytes);
  return { ...block, bytes: memory.bytes };
}

function blockOf(rows: readonly Texts[]): RowBlock {
  const tuples = rows.map((row) => tupleOf(row));
  let at = 0;
  const starts = Uint32Array.from(tuples, (tuple) => {
    const start = at;
    at += tuple.length;
    return start;
  });
  return { bytes: Buffer.concat(tuples), starts, count: rows.length, length: at };
}

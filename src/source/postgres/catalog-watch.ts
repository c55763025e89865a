import { setTimeout as delay } from 'node:timers/promises';
import type { TableState } from '../../event/table.ts';
import type { PgConnection, Query } from '../../runtime/postgres/connection.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import { costOf, restAfter } from '../../runtime/rest.ts';
import type { CatalogLook, CatalogReader, Doubt, KnownTable, TableLook } from '../catalog.ts';
import { readCatalogSignature } from './catalog-signature.ts';
import { sourceError } from './errors.ts';
import { hasRow, hasRowFromBefore, wasMadeThere } from './row-age.ts';
import type { ShapeCache } from './shape-cache.ts';
import { readDigests, readStreamTables } from './stream-catalog.ts';
import { shapeOf } from './stream-shape.ts';
import { doubtOf, readState, rewritten, stateOf, suspectsOf, type Change } from './table-state.ts';
import { readVisibility } from './transactions.ts';
import { emitWatermark } from './watermark.ts';

export interface CatalogWatchOptions {
  readonly version: number;
  readonly publication: string;
  readonly shapes: ShapeCache;
  /** A session that waits for no lock for long: while somebody alters a table nobody is to queue behind us. */
  readonly open: () => Promise<PgConnection>;
}

/** Between two questions, even when there is something new to be seen. */
const shortestMs = 200;
const LOCK_NOT_AVAILABLE = '55P03';
/** undefined_table, insufficient_privilege */
const UNREADABLE: ReadonlySet<string> = new Set(['42P01', '42501', LOCK_NOT_AVAILABLE]);

/** What a look has found of a table, before it is judged. */
type Found = Change['now'] & Pick<TableLook, 'settled'>;

/** The stream tells partitions by their oids alone, copies with their places. */
const oidOf = (partition: string): string => partition.replace(/:.*/, '');
const isPlaced = (partition: string): boolean => partition.includes(':');

/** Asks the catalog beside the stream, on a connection of its own. */
export class CatalogWatch implements CatalogReader {
  readonly #options: CatalogWatchOptions;
  #connection: Promise<PgConnection> | null = null;
  #nudged: () => void = () => {};
  #askedAt = 0;
  #costMs = 0;
  /** By relid, the digest that was found last and the snapshot's xmin then: files were the same up to there. */
  readonly #seen = new Map<number, { readonly digest: string; readonly xmin: bigint }>();

  /** The signature under which nothing differed from what was known. */
  #still: { readonly signature: string; readonly known: string } | null = null;

  constructor(options: CatalogWatchOptions) {
    this.#options = options;
  }

  async changed(tables: () => readonly KnownTable[], { signal, settled }: { readonly signal: AbortSignal; readonly settled: () => void }): Promise<void> {
    for (;;) {
      await this.#rest(signal);
      if (await this.#isChanged(tables())) return;
      settled();
    }
  }

  nudge(): void {
    this.#nudged();
  }

  async look(content: string, tables: readonly KnownTable[]): Promise<CatalogLook> {
    return this.#ask(async (query) => {
      const relids = tables.map((table) => table.shape.relid);
      await query('BEGIN');
      const before = await readStreamTables(query, relids, this.#options);
      await emitWatermark(query, content);
      await query('COMMIT');
      await query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      const visibility = await readVisibility(query);
      const after = await readStreamTables(query, relids, this.#options);
      await query('COMMIT');
      const looks: TableLook[] = [];
      for (const known of tables) {
        const table = after.find((found) => found.relid === known.shape.relid);
        const same = before.some((found) => found.relid === table?.relid && found.digest === table.digest);
        if (table === undefined || !same || (readState(known.state)?.digest === table.digest && known.unsettled.length === 0)) continue;
        const look = await this.#judge(query, known, { settled: known.unsettled, shape: this.#options.shapes.match(shapeOf(table)), state: stateOf(table, visibility) });
        if (look !== null) looks.push(look);
      }
      const there = new Set([...before, ...after].map(({ relid }) => relid));
      return { visibility, tables: looks, gone: relids.filter((relid) => !there.has(relid)) };
    });
  }

  find(state: TableState, partition: string): string | null {
    const place = readState(state)?.links?.[oidOf(partition)];
    if (place === undefined) return null;
    const found = `${oidOf(partition)}:${place}`;
    return isPlaced(partition) && partition !== found ? null : found;
  }

  accept(tables: readonly TableLook[]): void {
    for (const { shape, state } of tables) this.#options.shapes.accept(shape, state);
  }

  async close(): Promise<void> {
    await (await this.#connection?.catch(() => undefined))?.close();
  }

  /** Ends its session without waiting for what it is doing. */
  destroy(): void {
    void this.#connection?.then((connection) => connection.destroy(), () => undefined);
  }

  /** Null when the rows cannot be asked now. */
  async #judge(query: Query, known: KnownTable, now: Found): Promise<TableLook | null> {
    const state = readState(known.state);
    const moved = await this.#haveMoved(query, now);
    if (moved !== null) return { ...now, doubt: moved };
    if (state === null) return { ...now, doubt: known.uncertain ? { reason: 'nothing is known of it from before', surplus: true } : null };
    const change: Change = { before: { shape: known.shape, state }, now, uncertain: known.uncertain, truncated: known.truncated };
    const doubt = doubtOf(change);
    if (doubt !== null) return { ...now, doubt };
    try {
      return { ...now, doubt: await this.#askRows(query, change) };
    } catch (error) {
      if (sqlstateOf(error) === LOCK_NOT_AVAILABLE) return null;
      // What cannot be read cannot be copied either, which is said there.
      if (UNREADABLE.has(sqlstateOf(error) ?? '')) return { ...now, doubt: rewritten(change) };
      throw error;
    }
  }

  /** What the stream has brought of a partition it has brought from the place where that is now, unless it may have had others before. */
  async #haveMoved(query: Query, { shape, state, settled }: Found): Promise<Doubt | null> {
    const streamed = settled.filter((partition) => !isPlaced(partition) && state.files[partition] !== undefined);
    for (const oid of streamed) if (!(await wasMadeThere(query, oid, shape.relid))) return { reason: 'a partition brought rows that may have gone or changed, without an event, before it was attached where it is', surplus: true };
    return null;
  }

  async #askRows(query: Query, change: Change): Promise<Doubt | null> {
    const { replaced, joined } = suspectsOf(change);
    const { relid } = change.now.shape;
    const seen = this.#seen.get(relid);
    const xmin = seen?.digest === change.before.state.digest ? seen.xmin : BigInt(change.before.state.xmin);
    for (const oid of replaced) if (!(await hasRowFromBefore(query, oid, xmin))) return rewritten(change);
    for (const oid of joined) if (!(await wasMadeThere(query, oid, relid)) && (await hasRow(query, oid))) return { reason: 'a partition was attached, and may have had rows in it', surplus: false };
    return null;
  }

  async #isChanged(tables: readonly KnownTable[]): Promise<boolean> {
    return this.#ask(async (query) => {
      // Neither connecting nor waiting for one's turn is work of the server's.
      const asked = performance.now();
      const changed = await this.#differs(query, tables);
      this.#askedAt = performance.now();
      this.#costMs = costOf(this.#askedAt - asked, this.#costMs);
      return changed;
    });
  }

  async #differs(query: Query, tables: readonly KnownTable[]): Promise<boolean> {
    if (tables.some(({ unsettled }) => unsettled.length > 0)) return true;
    const { xmin } = await readVisibility(query);
    const relids = tables.map((table) => table.shape.relid);
    const known = tables.map(({ shape, state }) => `${shape.relid} ${readState(state)?.digest}`).join();
    // First: what changes between the two questions makes it another one.
    const signature = await readCatalogSignature(query, relids, this.#options);
    if (signature !== this.#still?.signature || known !== this.#still.known) {
      const digests = await readDigests(query, relids, this.#options);
      if (tables.some(({ shape, state }) => digests.get(shape.relid) !== readState(state)?.digest || !digests.has(shape.relid))) return true;
      this.#still = { signature, known };
    }
    for (const { shape, state } of tables) this.#seen.set(shape.relid, { digest: readState(state)?.digest ?? '', xmin });
    return false;
  }

  async #rest(signal: AbortSignal): Promise<void> {
    const wait = this.#askedAt === 0 ? 0 : restAfter(this.#costMs) - (performance.now() - this.#askedAt);
    const nudged = new Promise<void>((resolve) => (this.#nudged = resolve));
    if (wait > shortestMs) await Promise.race([delay(wait, undefined, { signal }), nudged]);
    const short = shortestMs - (performance.now() - this.#askedAt);
    if (this.#askedAt !== 0 && short > 0) await delay(short, undefined, { signal });
    signal.throwIfAborted();
  }

  async #ask<T>(work: (query: Query) => Promise<T>): Promise<T> {
    try {
      this.#connection ??= this.#options.open();
      const connection = await this.#connection;
      return await connection.exclusively((query) => work(query).catch(async (error: unknown) => {
        await query('ROLLBACK').catch(() => undefined);
        throw error;
      }));
    } catch (error) {
      throw sourceError(error, 'the catalog could not be asked what has become of the tables');
    }
  }
}

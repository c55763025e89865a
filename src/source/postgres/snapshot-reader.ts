import { setTimeout as delay } from 'node:timers/promises';
import { lsn } from '../../event/lsn.ts';
import { tableName, type TableShape } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { PgConnection, Query } from '../../runtime/postgres/connection.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import type { Chunk, ChunkRequest, RowBlock, SnapshotReader, WatermarkWritten, WholeTable } from '../source.ts';
import { readTablesByOid, shapeOfTable, type CatalogTable } from './catalog.ts';
import { CopyOut, submit } from './copy-out.ts';
import { CopyTextReader } from './copy-text.ts';
import { isDroppedMeanwhile, sourceError } from './errors.ts';
import { among, orderBy, readKeyColumns, type KeyColumn } from './key-range.ts';
import type { ShapeCache } from './shape-cache.ts';
import { SnapshotConnections, type SnapshotConnectionsOptions } from './snapshot-connections.ts';
import { haveJoined, readPartitions, type Partitions } from './partitions.ts';
import { fingerprint, readSample, select, within } from './snapshot-sql.ts';
import { readDigests } from './stream-catalog.ts';
import { readVisibility, stillRunning } from './transactions.ts';
import { emitWatermark } from './watermark.ts';

export interface SnapshotReaderOptions extends SnapshotConnectionsOptions {
  readonly publication: string;
  readonly version: number;
  readonly shapes: ShapeCache;
  readonly control: PgConnection;
  /** What ran when the publication had become as it has to be, and may have changed rows unseen before. */
  readonly running: readonly bigint[];
}

const enteredPollMs = 200;
const wholeBlockBytes = 1 << 20;
/** Beyond that a catalog is broken. */
const mostAttempts = 10;

/** undefined_table, undefined_column, undefined_object (a type), undefined_function (an operator). */
const changedMeanwhile: ReadonlySet<string> = new Set(['42P01', '42703', '42704', '42883']);

/** Reads rows beside the stream, on a connection of its own (PROTOCOL, Snapshots). */
export class PostgresSnapshotReader implements SnapshotReader {
  readonly #options: SnapshotReaderOptions;
  /** Of tables that have come later: what ran when they entered. */
  readonly #running = new Map<number, readonly bigint[]>();
  readonly #connections: SnapshotConnections;

  constructor(options: SnapshotReaderOptions) {
    this.#options = options;
    this.#connections = new SnapshotConnections(options);
  }

  /** These tables have entered the publication while these transactions ran. */
  entering(tables: readonly TableShape[], running: readonly bigint[]): void {
    for (const table of tables) this.#running.set(table.relid, running);
  }

  async entered(table: TableShape, { signal, onWait }: { signal: AbortSignal; onWait: (session: string) => void }): Promise<void> {
    const { control } = this.#options;
    const running = this.#running.get(table.relid) ?? this.#options.running;
    for (;;) {
      signal.throwIfAborted();
      const session = await this.#named(`the transactions of ${tableName(table)} could not be looked at`, () =>
        control.exclusively((query) => stillRunning(query, running)),
      );
      if (session === null) return;
      onWait(session);
      await delay(enteredPollMs, undefined, { signal });
    }
  }

  async watermark(content: string): Promise<WatermarkWritten> {
    return this.#named('the watermark could not be written', () =>
      this.#connections.with(async (_connection, query) => {
        await emitWatermark(query, content);
        const written = await query<{ lsn: string }>('SELECT pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text AS lsn');
        return { lsn: lsn(written[0]?.lsn ?? '') };
      }),
    );
  }

  async chunk(request: ChunkRequest): Promise<Chunk | null> {
    return this.#read(`a chunk of ${tableName(request.table)} could not be read`, () =>
      this.#connections.with(async (connection, query) => {
        const giveUp = (): void => connection.destroy();
        request.signal.addEventListener('abort', giveUp, { once: true });
        try {
          return await this.#readChunk(connection, query, request);
        } finally {
          request.signal.removeEventListener('abort', giveUp);
        }
      }),
      request.signal);
  }

  async checkWhere(table: TableShape, where: string): Promise<void> {
    return this.#named(`${tableName(table)} could not be looked at`, () =>
      this.#connections.with(async (_connection, query) => {
        await query('BEGIN READ ONLY');
        const state = await this.#state(query, table);
        if (state === null) throw new TailraceError('usage', `${tableName(table)} is not there any more`);
        // With parameters, so that it can be no more than one statement.
        await query(`EXPLAIN (COSTS off) ${select(state, this.#options.shapes.match(shapeOfTable(state)), null, where)} LIMIT $1`, [0]).catch((error: unknown) => {
          throw new TailraceError('usage', `--where is no condition for ${tableName(table)}: ${error instanceof Error ? error.message : String(error)}`, { remedy: 'Write what could stand behind WHERE in a SELECT of this table.', cause: error });
        });
        await query('ROLLBACK');
      }),
    );
  }

  async boundaries(table: TableShape, parts: number): Promise<readonly (readonly string[])[]> {
    return this.#read(`${tableName(table)} could not be sampled`, () =>
      this.#connections.with(async (_connection, query) => {
        await query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
        const state = await this.#state(query, table);
        const sample = state === null ? [] : await readSample(query, state, await readKeyColumns(query, table));
        await query('ROLLBACK');
        const cuts = Array.from({ length: parts - 1 }, (_, i) => sample[Math.floor(((i + 1) * sample.length) / parts)]);
        return cuts.filter((key, i): key is readonly string[] => key !== undefined && key !== cuts[i - 1]);
      }),
    );
  }

  async whole(table: TableShape, signal: AbortSignal): Promise<WholeTable | null> {
    return this.#read(`${tableName(table)} could not be read`, async () => {
      const connection = await this.#connections.open();
      signal.addEventListener('abort', () => connection.destroy(), { once: true });
      const whole = await this.#openWhole(connection, table).catch((error: unknown) => {
        this.#connections.release(connection);
        throw error;
      });
      if (whole === null) this.#connections.release(connection);
      return whole;
    }, signal);
  }

  async #openWhole(connection: PgConnection, table: TableShape): Promise<WholeTable | null> {
    const query: Query = (text, params) => connection.query(text, params);
    await query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const visibility = await readVisibility(query);
    const state = await this.#state(query, table);
    if (state === null) return null;
    const [wal] = await query<{ lsn: string }>('SELECT pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text AS lsn');
    const shape = this.#options.shapes.match(shapeOfTable(state));
    const partitions = await readPartitions(query, state);
    const digest = await this.#digest(query, table);
    let changed = false;
    return {
      visibility, shape,
      lsn: lsn(wal?.lsn ?? ''),
      blocks: () => this.#blocks(connection, { text: `COPY (${select(state, shape)}) TO STDOUT`, shape, onChanged: () => (changed = true) }),
      partitions: partitions.attached,
      // While the reading transaction is open, which lets nobody alter the table by now.
      isStable: async () => !changed && digest === (await this.#options.control.exclusively((now) => this.#digest(now, table))) && !(await this.#haveJoined(state, partitions)),
      close: async () => this.#connections.release(connection),
    };
  }

  async estimate(table: TableShape): Promise<number | undefined> {
    const rows = await this.#read('the size of a table could not be looked up', () =>
      this.#options.control.query<{ rows: string | null }>(
        `SELECT pg_catalog.sum(c.reltuples)::pg_catalog.int8::pg_catalog.text AS rows FROM pg_catalog.pg_class c
         WHERE c.reltuples >= 0 AND c.relkind = 'r' AND (c.oid = $1 OR c.oid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree($1) t WHERE t.isleaf))`,
        [table.relid],
      ),
    );
    return rows[0]?.rows == null ? undefined : Number(rows[0].rows);
  }

  destroy(): void {
    this.#connections.destroy();
  }

  /** The catalog's state stands with the low watermark, in the chunk's own snapshot, and with the high one. Null when the table is gone. */
  async #readChunk(connection: PgConnection, query: Query, request: ChunkRequest): Promise<Chunk | null> {
    // The state first: it may have to wait for a lock, and a transaction with an id should not wait. A change in between shows
    // as a difference to the chunk's own.
    await query('BEGIN');
    const low = await this.#state(query, request.table);
    if (low === null) return rolledBack(query);
    await emitWatermark(query, request.low);
    await query('COMMIT');
    await query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const visibility = await readVisibility(query);
    const state = await this.#state(query, request.table);
    if (state === null) return rolledBack(query);
    const partitions = await readPartitions(query, state);
    const shape = this.#options.shapes.match(shapeOfTable(state));
    const key = await readKeyColumns(query, shape);
    // Without its key a table is not read by chunks: whoever asked finds that in the shape.
    const read = key.length === 0 ? { rows: new CopyTextReader(0).take(), cut: false, changed: false } : await this.#copy(connection, { request, state, shape, key, partitions });
    await query('ROLLBACK');
    // Here the watermark first: a change of the table that the stream brings before it must be seen.
    await query('BEGIN');
    await emitWatermark(query, request.high);
    const high = await this.#state(query, request.table);
    await query('COMMIT');
    return {
      rows: read.rows, visibility, shape, partitions: partitions.attached,
      stable: !read.changed && high !== null && fingerprint(low) === fingerprint(state) && fingerprint(state) === fingerprint(high),
      last: request.keys !== null || (!read.cut && !read.changed && read.rows.count < request.maxRows),
    };
  }

  async #copy(
    connection: PgConnection,
    { request, state, shape, key, partitions }: { request: ChunkRequest; state: CatalogTable; shape: TableShape; key: readonly KeyColumn[]; partitions: Partitions },
  ): Promise<{ readonly rows: RowBlock; readonly cut: boolean; readonly changed: boolean }> {
    const range = request.keys !== null ? among(key, request.keys) : within(key, request);
    const limit = request.keys === null ? ` LIMIT ${request.maxRows}` : '';
    const maxBytes = request.keys === null ? request.maxBytes : Infinity;
    const text = `COPY (${select(state, shape, range, request.where)} ${orderBy(key)}${limit}) TO STDOUT`;
    // What is still to come is read away; the server need not make all of it.
    let cancelled: Promise<unknown> = Promise.resolve();
    // Asked once, and before the cancelling, which gives up the locks.
    let joined: Promise<boolean> | undefined;
    const ask = (): Promise<boolean> => (joined ??= this.#haveJoined(state, partitions));
    const onFull = (): void => {
      cancelled = ask().then(() => this.#options.control.query('SELECT pg_catalog.pg_cancel_backend($1)', [connection.pid])).catch(() => undefined);
    };
    const memory = request.memory ?? { bytes: new Uint8Array(0) };
    const read = async (rows: RowBlock): Promise<{ readonly rows: RowBlock; readonly cut: boolean; readonly changed: boolean }> => {
      // What a huge row has made of it is not kept.
      if (rows.bytes.length <= 2 * request.maxBytes) memory.bytes = rows.bytes;
      return { rows, cut: copy.isCut, changed: await ask() };
    };
    const copy = submit(connection.client, new CopyOut(text, { columns: shape.columns.length, maxBytes, onFull, bytes: memory.bytes }));
    try {
      return await read(await copy.all());
    } catch (error) {
      // Our own cancelling is no error; and a table that was renamed or altered since its state was read is read again.
      if (copy.isCut && sqlstateOf(error) === '57014') return await read(copy.taken());
      if (!isOther(error)) throw error;
      return { rows: new CopyTextReader(0).take(), cut: false, changed: true };
    } finally {
      // It must not come late and hit another statement.
      await cancelled;
    }
  }

  async *#blocks(connection: PgConnection, { text, shape, onChanged }: { text: string; shape: TableShape; onChanged: () => void }): AsyncGenerator<RowBlock> {
    try {
      yield* submit(connection.client, new CopyOut(text, { columns: shape.columns.length, blockBytes: wholeBlockBytes })).blocks();
    } catch (error) {
      if (!isOther(error)) throw sourceError(error, `${tableName(shape)} could not be read`);
      onChanged();
    }
  }

  /**
   * All that the catalog says of a table; asking waits for no lock. A query is planned by the catalog of now, whatever the snapshot that it reads
   * in: columns whose names were swapped between the two have their values swapped, another table is read that has the name by then, and one
   * that was written anew is empty.
   */
  async #digest(query: Query, { relid }: TableShape): Promise<string | undefined> {
    return (await readDigests(query, [relid], this.#options)).get(relid);
  }

  /**
   * Whether rows may be of a partition that was not there in the snapshot that they were read in: the server plans a query by the partitions
   * of now. To be asked while the reading transaction is open, which keeps those that it has read from being detached unseen.
   */
  async #haveJoined(state: CatalogTable, partitions: Partitions): Promise<boolean> {
    return state.kind === 'p' && haveJoined(partitions, await this.#options.control.exclusively((query) => readPartitions(query, state)));
  }

  /** Null when it is not there any more. */
  async #state(query: Query, table: TableShape): Promise<CatalogTable | null> {
    const { version, publication } = this.#options;
    const [state] = await readTablesByOid(query, [table.relid], { version, publication });
    return state ?? null;
  }

  /** Again where something is dropped in the middle of a question: the table, which the next one finds gone, or a partition or type of its. */
  async #read<T>(doing: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        if (attempt === mostAttempts || !isDroppedMeanwhile(error)) throw sourceError(error, doing);
      }
    }
  }

  async #named<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw sourceError(error, doing);
    }
  }
}

/** Whether a query failed because the table has become another one, or is gone, since its state was read. */
function isOther(error: unknown): boolean {
  return changedMeanwhile.has(sqlstateOf(error) ?? '') || isDroppedMeanwhile(error);
}

async function rolledBack(query: Query): Promise<null> {
  await query('ROLLBACK');
  return null;
}

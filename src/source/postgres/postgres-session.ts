import type { SourceItem } from '../../event/change.ts';
import type { Lsn } from '../../event/lsn.ts';
import { tableName, type TableShape } from '../../event/table.ts';
import type { Finding } from '../../runtime/finding.ts';
import type { PgConnection } from '../../runtime/postgres/connection.ts';
import type { CatalogReader, KnownTable } from '../catalog.ts';
import type { SnapshotReader, SourceHealth, SourceServer, SourceSession } from '../source.ts';
import type { CatalogWatch } from './catalog-watch.ts';
import type { ShapeCache } from './shape-cache.ts';
import { healthOf, readSlot } from './slot.ts';
import { sourceError } from './errors.ts';
import type { PostgresSnapshotReader } from './snapshot-reader.ts';
import type { TableWatch } from './table-watch.ts';
import type { TakenSlot } from './take-slot.ts';

export interface SessionParts {
  readonly server: SourceServer;
  readonly tables: readonly TableShape[];
  readonly control: PgConnection;
  readonly taken: TakenSlot;
  readonly shapes: ShapeCache;
  readonly snapshots: PostgresSnapshotReader;
  readonly watch: TableWatch;
  readonly catalog: CatalogWatch;
  /** Ends what still waits for a connection of this session. */
  readonly over: AbortController;
}

/** From a stop on, how long a question that is under way may still be answered. */
const answerDeadlineMs = 2000;

/** The slot, taken: a replication connection beside an ordinary one, and one that watches the catalog, and others for snapshots while one is made. */
export class PostgresSession implements SourceSession {
  readonly #parts: SessionParts;
  #tables: readonly TableShape[];
  #patience: NodeJS.Timeout | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#tables = parts.tables;
  }

  get server(): SourceServer {
    return this.#parts.server;
  }

  get tables(): readonly TableShape[] {
    return this.#tables;
  }

  get leftOut(): readonly Finding[] {
    return this.#parts.watch.leftOut;
  }

  get snapshots(): SnapshotReader {
    return this.#parts.snapshots;
  }

  get catalog(): CatalogReader {
    return this.#parts.catalog;
  }

  batches(known: readonly KnownTable[] = []): AsyncIterable<readonly SourceItem[]> {
    const { taken, shapes } = this.#parts;
    for (const { shape, state } of known) shapes.accept(shape, state);
    return taken.stream.batches((relation, streamed) => shapes.describe(relation, streamed));
  }

  acknowledge(position: Lsn): void {
    this.#parts.taken.stream.acknowledge(position);
  }

  async health(): Promise<SourceHealth> {
    const { control, server } = this.#parts;
    const slot = await readSlot((text, params) => control.query(text, params), server.slot).catch((error: unknown) => {
      throw sourceError(error, 'the slot could not be looked at');
    });
    return slot === null ? { slot: server.slot, walHeldBytes: 0, safeWalSize: null, walStatus: 'lost', slotActive: false, restartLsn: null, confirmedFlush: null } : healthOf(slot);
  }

  async discover(): Promise<readonly TableShape[]> {
    const { watch, snapshots } = this.#parts;
    const { tables, running } = await watch.look();
    if (tables.length === 0) return tables;
    snapshots.entering(tables, running);
    // One that was dropped and made again is another table.
    const names = new Set(tables.map(tableName));
    this.#tables = [...this.#tables.filter((table) => !names.has(tableName(table))), ...tables];
    return tables;
  }

  /** What was read may still ask for a table's shape, so the other sessions are left alone at first; but nobody waits for a server that is silent. */
  stop(): void {
    this.#parts.taken.stream.stop();
    this.#patience ??= setTimeout(() => this.#giveUp(), answerDeadlineMs);
  }

  async close(): Promise<void> {
    const { taken, control, snapshots, catalog, over } = this.#parts;
    clearTimeout(this.#patience);
    over.abort();
    snapshots.destroy();
    await taken.stream.close();
    await Promise.all([taken.dispose(), control.close(), catalog.close()]);
  }

  #giveUp(): void {
    const { control, snapshots, catalog, watch, over } = this.#parts;
    over.abort();
    snapshots.destroy();
    catalog.destroy();
    watch.destroy();
    control.destroy();
  }
}

import type { SourceItem } from '../../event/change.ts';
import type { Lsn } from '../../event/lsn.ts';
import type { TableShape } from '../../event/table.ts';
import type { Finding } from '../../runtime/finding.ts';
import type { PgConnection } from '../../runtime/postgres/connection.ts';
import type { SnapshotReader, SourceHealth, SourceServer, SourceSession } from '../source.ts';
import type { ShapeCache } from './shape-cache.ts';
import { lossOf, readSlot } from './slot.ts';
import { sourceError } from './errors.ts';
import type { PostgresSnapshotReader } from './snapshot-reader.ts';
import type { TakenSlot } from './take-slot.ts';

export interface SessionParts {
  readonly server: SourceServer;
  readonly tables: readonly TableShape[];
  readonly leftOut: readonly Finding[];
  readonly control: PgConnection;
  readonly taken: TakenSlot;
  readonly shapes: ShapeCache;
  readonly snapshots: PostgresSnapshotReader;
}

/** The slot, taken: a replication connection beside an ordinary one, and a third for snapshots while one is made. */
export class PostgresSession implements SourceSession {
  readonly #parts: SessionParts;

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  get server(): SourceServer {
    return this.#parts.server;
  }

  get tables(): readonly TableShape[] {
    return this.#parts.tables;
  }

  get leftOut(): readonly Finding[] {
    return this.#parts.leftOut;
  }

  get snapshots(): SnapshotReader {
    return this.#parts.snapshots;
  }

  batches(): AsyncIterable<readonly SourceItem[]> {
    const { taken, shapes } = this.#parts;
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
    return {
      walHeldBytes: slot?.walHeld ?? 0,
      safeWalSize: slot?.safeWalSize ?? null,
      walStatus: slot === null ? 'lost' : lossOf(slot) === null ? (slot.walStatus ?? 'reserved') : 'lost',
      slotActive: slot?.activePid != null,
      restartLsn: slot?.restartLsn ?? null,
      confirmedFlush: slot?.confirmedFlush ?? null,
    };
  }

  stop(): void {
    this.#parts.taken.stream.stop();
  }

  async close(): Promise<void> {
    const { taken, control, snapshots } = this.#parts;
    snapshots.destroy();
    await taken.stream.close();
    await Promise.all([taken.dispose(), control.close()]);
  }
}

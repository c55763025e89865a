import type { ConnectionTarget } from '../../runtime/postgres/connection-url.ts';
import { PgConnection, type Query } from '../../runtime/postgres/connection.ts';
import { guestSettings } from './session-manners.ts';

export interface SnapshotConnectionsOptions {
  readonly target: ConnectionTarget;
  readonly applicationName: string;
  readonly onLost: (error: unknown) => void;
  /** The session is over: whoever waits for one that is being opened gets none. */
  readonly signal: AbortSignal;
}

/** A guest gives back the connections that it does not need. */
const idleMs = 5000;

/** The connections that rows are read on, beside the stream: as many as there are readers at a time. */
export class SnapshotConnections {
  readonly #options: SnapshotConnectionsOptions;
  readonly #all = new Set<PgConnection>();
  /** Open and free; those that nobody has wanted for a while are closed. */
  #free: PgConnection[] = [];
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(options: SnapshotConnectionsOptions) {
    this.#options = options;
  }

  /** Runs `work` on a connection of its own. What it may have begun must not swallow what comes next. */
  async with<T>(work: (connection: PgConnection, query: Query) => Promise<T>): Promise<T> {
    clearTimeout(this.#idleTimer);
    const connection = this.#free.pop() ?? (await this.open());
    try {
      return await connection.exclusively((query) => work(connection, query).catch(async (error: unknown) => {
        await query('ROLLBACK').catch(() => undefined);
        throw error;
      }));
    } finally {
      this.#free.push(connection);
      clearTimeout(this.#idleTimer);
      this.#idleTimer = setTimeout(() => this.#closeFree(), idleMs).unref();
    }
  }

  /** One that is not shared: whoever opened it releases it. */
  async open(): Promise<PgConnection> {
    const { target, applicationName, onLost, signal } = this.#options;
    const connection = await PgConnection.open(target, { applicationName, settings: guestSettings, prepares: true, onLost, signal });
    if (signal.aborted) connection.destroy();
    this.#all.add(connection);
    return connection;
  }

  release(connection: PgConnection): void {
    if (this.#all.delete(connection)) connection.destroy();
  }

  destroy(): void {
    clearTimeout(this.#idleTimer);
    for (const connection of this.#all) connection.destroy();
    this.#all.clear();
  }

  #closeFree(): void {
    for (const connection of this.#free) {
      this.#all.delete(connection);
      void connection.close();
    }
    this.#free = [];
  }
}

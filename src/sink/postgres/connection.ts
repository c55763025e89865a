import type { Socket } from 'node:net';
import type { ConnectionTarget } from '../../runtime/postgres/connection-url.ts';
import { PgConnection } from '../../runtime/postgres/connection.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import type { Query } from './catalog.ts';
import { sinkError } from './errors.ts';
import type { Sent } from './sender.ts';
import { watchForStalls } from './stall-watch.ts';
import { Wire } from './wire.ts';

export interface ReplicaOptions {
  readonly target: ConnectionTarget;
  readonly pipeline: string;
  readonly sink: string;
  readonly lockTimeoutMs: number;
  /** An answer that has not moved for so long is looked after; 15 s unless told. */
  readonly stallMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A worker that froze inside a transaction holds locks at the replica for so long at most. */
const idleInTransactionMs = 120_000;

const goodbyeMs = 2000;

/** A session at the replica, set up for applying, and the wire over it. */
export class ReplicaConnection {
  readonly wire: Wire<Sent>;
  /** Whether triggers and foreign keys of the replica stay quiet: `session_replication_role = replica`. */
  readonly quiet: boolean;
  readonly #connection: PgConnection;
  readonly #state: { lost: boolean };
  readonly #watch: { stop(): void };
  #asking = 0;

  private constructor(connection: PgConnection, options: ReplicaOptions, more: { quiet: boolean; state: { lost: boolean } }) {
    this.#connection = connection;
    this.#state = more.state;
    this.quiet = more.quiet;
    this.wire = new Wire(connection.client);
    const { stream } = (connection.client as unknown as { readonly connection: { readonly stream: Socket } }).connection;
    this.#watch = watchForStalls(options.target, options.stallMs ?? 15_000, {
      progress: () => (this.wire.busy || this.#asking > 0 ? stream.bytesRead + stream.bytesWritten : null),
      pid: connection.pid,
      onDead: () => this.destroy(),
    });
  }

  /** Throws `sink-unreachable` or `sink-refused`. */
  static async open(options: ReplicaOptions): Promise<ReplicaConnection> {
    const state = { lost: false };
    const settings = {
      lock_timeout: String(options.lockTimeoutMs),
      idle_in_transaction_session_timeout: String(idleInTransactionMs),
      // A worker's machine that vanished is noticed by the server in a minute, not in two hours.
      tcp_keepalives_idle: '30',
      tcp_keepalives_interval: '10',
      tcp_keepalives_count: '3',
      // Compiling a statement that runs for a millisecond is never worth it.
      jit: 'off',
    };
    try {
      const connection = await PgConnection.open(options.target, {
        applicationName: `tailrace/${options.pipeline}/${options.sink}`,
        settings,
        signal: options.signal,
        onLost: () => (state.lost = true),
      });
      const quiet = await setUp(connection);
      return new ReplicaConnection(connection, options, { quiet, state });
    } catch (error) {
      options.signal?.throwIfAborted();
      throw sinkError(error, 'connecting to the replica');
    }
  }

  get lost(): boolean {
    return this.#state.lost || this.wire.lost;
  }

  readonly query: Query = async (text, params) => {
    this.#asking++;
    try {
      return (await this.#connection.query(text, params)) as never[];
    } catch (error) {
      throw sinkError(error, 'asking the replica');
    } finally {
      this.#asking--;
    }
  };

  async close(): Promise<void> {
    this.#watch.stop();
    // A goodbye that nobody hears must not hold the shutdown up.
    const timer = setTimeout(() => this.#connection.destroy(), goodbyeMs);
    await this.#connection.close();
    clearTimeout(timer);
  }

  destroy(): void {
    this.#watch.stop();
    this.#state.lost = true;
    this.#connection.destroy();
  }
}

async function setUp(connection: PgConnection): Promise<boolean> {
  try {
    // A commit that a crash can take back would take the position back with it, after it was reported. What is stricter stays.
    await connection.query("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')");
    return await silenceTriggers(connection);
  } catch (error) {
    await connection.close();
    throw error;
  }
}

async function silenceTriggers(connection: PgConnection): Promise<boolean> {
  try {
    await connection.query('SET session_replication_role = replica');
    return true;
  } catch (error) {
    // Superusers may, and since PostgreSQL 15 whoever was granted SET on the parameter. Most tables need it not.
    if (sqlstateOf(error) === '42501') return false;
    throw error;
  }
}

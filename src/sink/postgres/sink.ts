import type { TableSchema } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Finding } from '../../runtime/finding.ts';
import type { Logger } from '../../runtime/logger.ts';
import { connectionTarget } from '../../runtime/postgres/connection-target.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import type { DdlPolicy, Sink } from '../sink.ts';
import type { QueryResult, SinkQuery } from '../query.ts';
import type { SinkVerifier } from '../verifier.ts';
import { checkReplica } from './check.ts';
import type { PostgresSinkConfig } from './config.ts';
import { ReplicaConnection } from './connection.ts';
import { endHolder, forget, lockedPosition, makeOwnTables, makePosition, ownsTables, ownTablesExist, readBlocked, type SinkName } from './own-tables.ts';
import { queryPostgres } from './query.ts';
import { PostgresSinkSession, type Opened } from './session.ts';
import { openPostgresSinkVerifier } from './verifier.ts';

export interface PostgresSinkContext extends SinkName {
  readonly logger: Logger;
  readonly ddl: DdlPolicy;
  /** How long a lock at the replica is waited for; 10 s unless told. */
  readonly lockTimeoutMs?: number;
  /** How long an answer may stand still before its session is looked after; 15 s unless told. */
  readonly stallMs?: number;
}

const lockTimeoutMs = 10_000;
const LOCK_NOT_AVAILABLE = '55P03';

/** Replays into a Postgres: see session.ts for the transactions, targets.ts for the tables, own-tables.ts for what is kept there. */
export class PostgresSink implements Sink {
  readonly staysOpen = true;
  readonly #config: PostgresSinkConfig;
  readonly #context: PostgresSinkContext;

  constructor(config: PostgresSinkConfig, context: PostgresSinkContext) {
    this.#config = config;
    this.#context = context;
  }

  async check(tables: readonly TableSchema[]): Promise<readonly Finding[]> {
    let connection: ReplicaConnection;
    try {
      connection = await this.#connect(undefined);
    } catch (error) {
      if (!(error instanceof TailraceError)) throw error;
      return [{ severity: 'error', check: error.code, message: error.message, remedy: error.remedy }];
    }
    try {
      return await checkReplica({ connection, config: this.#config, owner: this.#context, tables });
    } finally {
      await connection.close();
    }
  }

  async open({ signal }: { readonly signal: AbortSignal }): Promise<PostgresSinkSession> {
    const { pipeline, sink, logger, ddl } = this.#context;
    const connect = (): Promise<Opened> => this.#openConnection(signal);
    return new PostgresSinkSession(await connect(), { config: this.#config, owner: { pipeline, sink }, logger, ddl, connect });
  }

  async forget(): Promise<void> {
    const connection = await this.#connect(undefined);
    try {
      if (await ownTablesExist(connection.query)) await forget(connection.query, this.#context);
    } finally {
      await connection.close();
    }
  }

  openVerifier(): Promise<SinkVerifier> {
    const { pipeline, sink } = this.#context;
    return openPostgresSinkVerifier({ target: connectionTarget(this.#config), config: this.#config, owner: { pipeline, sink } });
  }

  query(request: SinkQuery): Promise<QueryResult> {
    const { pipeline, sink } = this.#context;
    return queryPostgres({ target: connectionTarget(this.#config), schema: this.#config.schema ?? 'public', owner: { pipeline, sink } }, request);
  }

  async #openConnection(signal: AbortSignal): Promise<Opened> {
    const connection = await this.#connect(signal);
    try {
      await makeOwnTables(connection.query);
      await makePosition(connection.query, this.#context);
      const position = await this.#readPosition(connection);
      // To begin anew over rows that are there would keep those that the source has deleted since.
      if (position === null && (await ownsTables(connection.query, this.#context))) {
        throw new TailraceError('sink-lost', "the sink's tables are at the replica, but its position is gone", {
          remedy: 'Restore the row in tailrace.position from a copy, or empty the tables, run tailrace sinks forget and let the sink be filled anew.',
        });
      }
      return { connection, position, blocked: await readBlocked(connection.query, this.#context) };
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** The position, once its row is free: a worker that is gone or frozen and still holds it is ended. */
  async #readPosition(connection: ReplicaConnection): ReturnType<typeof lockedPosition> {
    try {
      return await lockedPosition(connection.query, this.#context);
    } catch (error) {
      if (!(error instanceof TailraceError) || sqlstateOf(error.cause) !== LOCK_NOT_AVAILABLE) throw error;
      const pids = await endHolder(connection.query, this.#context);
      if (pids.length === 0) throw error;
      this.#context.logger.warn({ pids }, "another worker held this sink's position for too long; its sessions at the replica were ended");
      return lockedPosition(connection.query, this.#context);
    }
  }

  #connect(signal: AbortSignal | undefined): Promise<ReplicaConnection> {
    const { pipeline, sink } = this.#context;
    return ReplicaConnection.open({
      target: connectionTarget(this.#config), pipeline, sink, lockTimeoutMs: this.#context.lockTimeoutMs ?? lockTimeoutMs, stallMs: this.#context.stallMs, signal,
    });
  }
}

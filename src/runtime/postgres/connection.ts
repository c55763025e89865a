import pg from 'pg';
import { asConnectionError, codedError, connectPostgres, type ConnectOptions } from './client.ts';
import type { ConnectionTarget } from './connection-url.ts';
import { failureKind, sqlstateOf } from './sqlstate.ts';

const closeDeadlineMs = 2000;
/** Statements that a session keeps prepared, at most: those that it asks first are those that it asks again. */
const mostPrepared = 16;

export interface SessionOptions extends ConnectOptions {
  /** Called once, when the session ends without `close`: 57P01 is heard here even when no statement runs. */
  readonly onLost?: ((error: unknown) => void) | undefined;
  /** Statements with parameters are kept prepared, for a session that asks the same again and again. */
  readonly prepares?: boolean;
}

/**
 * One ordinary session. Statements wait for each other, so that any part of a program may ask at any time; `exclusively` keeps
 * the session for a transaction or a COPY.
 */
export class PgConnection {
  readonly client: pg.Client;
  readonly #onLost: (error: unknown) => void;
  /** Names by text; null where none is kept. */
  readonly #prepared: Map<string, string> | null;
  #tail: Promise<unknown> = Promise.resolve();
  #lost = false;
  #closing = false;

  private constructor(client: pg.Client, { onLost, prepares }: { readonly onLost: (error: unknown) => void; readonly prepares: boolean }) {
    this.client = client;
    this.#onLost = onLost;
    this.#prepared = prepares ? new Map() : null;
    client.on('error', (error) => this.#lose(error));
    client.on('end', () => this.#lose(codedError('ECONNRESET', 'the server closed the connection')));
  }

  static async open(target: ConnectionTarget, options: SessionOptions): Promise<PgConnection> {
    let opened = false;
    const connection = await connectPostgres(target, options, async (config) => {
      // It listens before it connects: a server that stops says so in the same breath as it lets us in, and pg would say that to nobody.
      const made = new PgConnection(new pg.Client(config), { onLost: (error) => opened && options.onLost?.(error), prepares: options.prepares === true });
      await made.client.connect();
      // New in PostgreSQL 17, and unknown settings in the startup packet are fatal before.
      await made.query("SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'");
      // So that a statement of ours that waits does not outlive us. Not every platform has it.
      await made.query("SELECT pg_catalog.set_config('client_connection_check_interval', '2s', false)").catch(() => undefined);
      return made;
    });
    opened = true;
    return connection;
  }

  /** The backend's process id. */
  get pid(): number {
    return (this.client as unknown as { readonly processID: number }).processID;
  }

  async query<Row extends pg.QueryResultRow = pg.QueryResultRow>(text: string, params?: readonly unknown[]): Promise<Row[]> {
    return this.exclusively(async (query) => query<Row>(text, params));
  }

  /** One statement with all that the server says of it: its columns, how many rows it made. */
  async result(statement: pg.QueryConfig): Promise<pg.QueryResult>;
  async result(statement: pg.QueryArrayConfig): Promise<pg.QueryArrayResult<(string | null)[]>>;
  async result(statement: pg.QueryConfig | pg.QueryArrayConfig): Promise<unknown> {
    return this.exclusively(() => this.#named(this.client.query(statement)));
  }

  /** Runs `work` with the session to itself; `work` asks by the function that it is given, never by `this.query`. */
  async exclusively<T>(work: (query: Query) => Promise<T>): Promise<T> {
    const turn = this.#tail.then(() => work((text, params) => this.#ask(text, params)));
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  /** Takes leave of the server, and does not wait for one that does not answer. */
  async close(): Promise<void> {
    this.#closing = true;
    const patience = setTimeout(() => this.destroy(), closeDeadlineMs);
    if (!this.#lost) await this.client.end().catch(() => undefined);
    clearTimeout(patience);
    this.destroy();
  }

  /** Ends the session without waiting for what it is doing. */
  destroy(): void {
    this.#closing = true;
    (this.client as unknown as { readonly connection: pg.Connection }).connection.stream.destroy();
  }

  /** Gives the session up as lost. */
  fail(error: unknown): void {
    this.#lose(error);
    this.destroy();
  }

  async #ask<Row extends pg.QueryResultRow>(text: string, params?: readonly unknown[]): Promise<Row[]> {
    const name = params === undefined ? undefined : this.#nameOf(text);
    const { rows } = await this.#named(this.client.query<Row>({ text, ...(name === undefined ? {} : { name }), ...(params === undefined ? {} : { values: [...params] }) }));
    return rows;
  }

  async #named<Result>(asked: Promise<Result>): Promise<Result> {
    try {
      return await asked;
    } catch (error) {
      const named = this.#lost || this.#closing ? asConnectionError(error) : error;
      // Class 53 (too many of something) ends a statement, not the session.
      if (failureKind(named) === 'unreachable' && sqlstateOf(named)?.startsWith('53') !== true) this.#lose(named);
      throw named;
    }
  }

  #nameOf(text: string): string | undefined {
    const prepared = this.#prepared;
    if (prepared !== null && prepared.size < mostPrepared && !prepared.has(text)) prepared.set(text, `tailrace_${prepared.size}`);
    return prepared?.get(text);
  }

  #lose(error: unknown): void {
    if (this.#lost) return;
    this.#lost = true;
    if (!this.#closing) this.#onLost(asConnectionError(error));
  }
}

export type Query = <Row extends pg.QueryResultRow = pg.QueryResultRow>(text: string, params?: readonly unknown[]) => Promise<Row[]>;

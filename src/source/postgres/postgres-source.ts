import { lsn } from '../../event/lsn.ts';
import { matchesText } from '../../event/table-pattern.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/logger.ts';
import { connectionTarget } from '../../runtime/postgres/connection-target.ts';
import { describeTarget, type ConnectionTarget } from '../../runtime/postgres/connection-url.ts';
import { PgConnection, type Query } from '../../runtime/postgres/connection.ts';
import { quoteIdentifier } from '../../runtime/postgres/quote.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import { watermarkPrefix, type Source, type SourceCheck, type SourceHealth, type SourceServer, type SourceSession } from '../source.ts';
import type { SourceVerifier } from '../verifier.ts';
import { readTablesByOid, shapeOfTable } from './catalog.ts';
import { CatalogWatch } from './catalog-watch.ts';
import { runChecks } from './checks/run.ts';
import type { PostgresSourceConfig } from './config.ts';
import { sourceNames, type SourceNames } from './names.ts';
import { sourceError } from './errors.ts';
import { PostgresSession } from './postgres-session.ts';
import { preparePublication, prepareSlot, refuseUnlessReady, survey, type Survey } from './prepare.ts';
import { publicationExists } from './publication.ts';
import type { ReplicationStreamOptions } from './replication-stream.ts';
import { ShapeCache } from './shape-cache.ts';
import { healthOf, readSlot, slotInUse } from './slot.ts';
import { askingSettings, guestSettings } from './session-manners.ts';
import { PostgresSnapshotReader } from './snapshot-reader.ts';
import { TableWatch } from './table-watch.ts';
import { takeSlot, type TakenSlot } from './take-slot.ts';
import { readRunning } from './transactions.ts';
import { openPostgresSourceVerifier } from './verifier.ts';

export interface PostgresSourceContext {
  readonly pipeline: string;
  readonly logger: Logger;
  /** Chunks that wait to be pulled, in bytes; 8 MiB unless told. */
  readonly maxQueueBytes?: number;
}

/** How long a server may be silent when its own `wal_sender_timeout` is off. */
const defaultSilenceMs = 60_000;
const longestStatusIntervalMs = 10_000;

/** Postgres by logical replication with pgoutput (PROTOCOL, Acknowledging and START). */
export class PostgresSource implements Source {
  readonly #config: PostgresSourceConfig;
  readonly #context: PostgresSourceContext;
  readonly #names: SourceNames;
  readonly #target: ConnectionTarget;

  constructor(config: PostgresSourceConfig, context: PostgresSourceContext) {
    this.#config = config;
    this.#context = context;
    this.#names = sourceNames(config, context.pipeline);
    this.#target = connectionTarget(config);
  }

  async check(): Promise<SourceCheck> {
    let control: PgConnection;
    try {
      control = await PgConnection.open(this.#target, { applicationName: this.#names.applicationName });
    } catch (error) {
      const { message, remedy } = this.#cannotConnect(error);
      return { findings: [{ severity: 'error', check: 'connection', message, remedy }], tables: [] };
    }
    try {
      const found = await control.exclusively((query) => survey(query, this.#config, this.#names));
      return { findings: runChecks(found), tables: found.selection.captured.map(shapeOfTable) };
    } catch (error) {
      throw sourceError(error, 'the source cannot be checked');
    } finally {
      await control.close();
    }
  }

  async connect({ signal }: { readonly signal: AbortSignal }): Promise<SourceSession> {
    let taken: TakenSlot | null = null;
    let lost: unknown = null;
    const control = await PgConnection.open(this.#target, {
      applicationName: this.#names.applicationName,
      settings: askingSettings,
      prepares: true,
      signal,
      // 57P01 is heard here, also when nothing else is said: the walsender must not keep the server from stopping.
      onLost: (error) => {
        lost = error;
        taken?.stream.fail(error);
      },
    }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw this.#cannotConnect(error);
    });
    const giveUp = (): void => control.destroy();
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      const { found, slotCreated } = await this.#prepare(control);
      taken = await this.#take(control, found, signal);
      if (lost !== null) throw lost as Error;
      return await this.#session({ control, taken, found, slotCreated });
    } catch (error) {
      taken?.stream.fail(error);
      await taken?.dispose();
      control.destroy();
      signal.throwIfAborted();
      throw sourceError(error, `the source ${describeTarget(this.#target)} cannot be read`);
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  async slotHealth({ signal }: { readonly signal: AbortSignal }): Promise<SourceHealth | null> {
    const control = await PgConnection.open(this.#target, { applicationName: this.#names.applicationName, settings: guestSettings, signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw this.#cannotConnect(error);
    });
    const giveUp = (): void => control.destroy();
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      const slot = await control.exclusively((query) => readSlot(query, this.#names.slot));
      return slot === null ? null : healthOf(slot);
    } catch (error) {
      signal.throwIfAborted();
      throw sourceError(error, 'the slot could not be looked at');
    } finally {
      signal.removeEventListener('abort', giveUp);
      await control.close();
    }
  }

  async teardown(): Promise<readonly string[]> {
    const control = await PgConnection.open(this.#target, { applicationName: this.#names.applicationName }).catch((error: unknown) => {
      throw this.#cannotConnect(error);
    });
    try {
      return await control.exclusively((query) => this.#dropOwn(query));
    } catch (error) {
      throw sourceError(error, 'the slot and the publication cannot be dropped');
    } finally {
      await control.close();
    }
  }

  openVerifier(): Promise<SourceVerifier> {
    const { applicationName, publication } = this.#names;
    return openPostgresSourceVerifier({ target: this.#target, applicationName, publication });
  }

  /** The publication first, then the slot: a slot reads a publication as it was at each place in the WAL. */
  async #prepare(control: PgConnection): Promise<{ found: Survey; slotCreated: boolean }> {
    const { logger } = this.#context;
    return control.exclusively(async (query) => {
      const found = await survey(query, this.#config, this.#names);
      refuseUnlessReady(found);
      await preparePublication(query, found, logger);
      return { found, slotCreated: await prepareSlot(query, found, logger) };
    });
  }

  async #take(control: PgConnection, found: Survey, signal: AbortSignal): Promise<TakenSlot> {
    const { slot, publication, applicationName } = this.#names;
    const timeouts = streamTimeouts(found.facts.walSenderTimeoutMs);
    const { messages, origin, logical_decoding_work_mem: memory } = this.#config;
    const options = {
      ...timeouts, maxQueueBytes: this.#context.maxQueueBytes ?? 4 << 20, slot, publication, origin,
      wantsMessage: (prefix: string) => prefix === watermarkPrefix || messages.some((pattern) => matchesText(pattern, prefix)),
      onFailed: () => control.destroy(),
    };
    try {
      return await takeSlot(this.#target, { applicationName, signal, settings: memory === undefined ? {} : { logical_decoding_work_mem: memory } }, options);
    } catch (error) {
      if (sqlstateOf(error) === '55006') throw await control.exclusively((query) => slotInUse(query, slot));
      throw error;
    }
  }

  async #session(parts: { readonly control: PgConnection; readonly taken: TakenSlot; readonly found: Survey; readonly slotCreated: boolean }): Promise<SourceSession> {
    const { control, taken, found, slotCreated } = parts;
    const { facts, selection } = found;
    const options = { filter: this.#config.tables, leftOut: selection.leftOut, version: facts.version, publication: this.#names.publication };
    const shapes = new ShapeCache(control, options);
    const relids = selection.captured.map((table) => table.relid);
    const { publication } = this.#names;
    const tables = await control.exclusively((query) => readTablesByOid(query, relids, { version: facts.version, publication }));
    const server = await control.exclusively((query) => this.#server(query, { taken, facts, slotCreated }));
    const over = new AbortController();
    const snapshots = new PostgresSnapshotReader({
      signal: over.signal, target: this.#target, applicationName: this.#names.applicationName, publication, version: facts.version, shapes, control,
      running: await control.exclusively(readRunning),
      onLost: (error) => taken.stream.fail(error),
    });
    const open = (): Promise<PgConnection> => PgConnection.open(this.#target, { applicationName: this.#names.applicationName, settings: guestSettings, signal: over.signal });
    const watch = new TableWatch({
      config: this.#config, names: this.#names, control, open, shapes, logger: this.#context.logger, captured: selection.captured,
      leftOut: selection.findings.filter(({ severity }) => severity !== 'note'),
    });
    const catalog = new CatalogWatch({
      version: facts.version, publication, shapes,
      open: () => this.#openWatch((error) => taken.stream.fail(error), over.signal),
    });
    return new PostgresSession({
      server, control, taken, shapes, snapshots, watch, catalog, over,
      tables: tables.map((table) => shapes.match(shapeOfTable(table))),
    });
  }

  #openWatch(onLost: (error: unknown) => void, signal: AbortSignal): Promise<PgConnection> {
    return PgConnection.open(this.#target, { applicationName: this.#names.applicationName, settings: { ...askingSettings, lock_timeout: '1s' }, prepares: true, onLost, signal });
  }

  /**
   * Read once the slot is ours: before, another reader could still have moved it, and changes that only he has seen would be
   * missing without a trace.
   */
  async #server(query: Query, { taken, facts, slotCreated }: { taken: TakenSlot; facts: Survey['facts']; slotCreated: boolean }): Promise<SourceServer> {
    const { slot } = this.#names;
    const state = await readSlot(query, slot);
    const [wal] = await query<{ flushed: string }>('SELECT pg_catalog.pg_current_wal_flush_lsn()::pg_catalog.text AS flushed');
    if (state?.confirmedFlush == null || wal === undefined) throw new TailraceError('slot-lost', `the replication slot ${slot} has no position`);
    const { systemIdentifier, timeline, timelineSwitch } = taken;
    return {
      systemIdentifier, timeline, timelineSwitch, slot, slotCreated,
      confirmedFlush: state.confirmedFlush,
      walFlushed: lsn(wal.flushed),
      database: facts.database,
    };
  }

  async #dropOwn(query: Query): Promise<readonly string[]> {
    const { slot, publication, ownSlot, ownPublication } = this.#names;
    const dropped: string[] = [];
    const state = ownSlot ? await readSlot(query, slot) : null;
    if (state !== null) {
      if (state.activePid !== null) throw await slotInUse(query, slot);
      await query('SELECT pg_catalog.pg_drop_replication_slot($1)', [slot]);
      dropped.push(`replication slot ${slot}`);
    }
    if (ownPublication && (await publicationExists(query, publication))) {
      await query(`DROP PUBLICATION ${quoteIdentifier(publication)}`);
      dropped.push(`publication ${publication}`);
    }
    return dropped;
  }

  #cannotConnect(error: unknown): TailraceError {
    return sourceError(error, `connecting to the source ${describeTarget(this.#target)}`);
  }
}

/** A status update well inside the server's patience, and the same patience with the server. */
export function streamTimeouts(walSenderTimeoutMs: number): Pick<ReplicationStreamOptions, 'statusIntervalMs' | 'silenceMs'> {
  if (walSenderTimeoutMs <= 0) return { statusIntervalMs: longestStatusIntervalMs, silenceMs: defaultSilenceMs };
  return { statusIntervalMs: Math.max(50, Math.min(longestStatusIntervalMs, walSenderTimeoutMs / 3)), silenceMs: walSenderTimeoutMs };
}

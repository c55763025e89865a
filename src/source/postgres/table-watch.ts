import { tableName, type TableShape } from '../../event/table.ts';
import { TailraceError } from '../../runtime/errors.ts';
import type { Finding } from '../../runtime/finding.ts';
import type { Logger } from '../../runtime/logger.ts';
import type { PgConnection, Query } from '../../runtime/postgres/connection.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import { ofUsers, readTablesByOid, shapeOfTable, type CatalogTable } from './catalog.ts';
import type { PostgresSourceConfig } from './config.ts';
import type { SourceNames } from './names.ts';
import { isDroppedMeanwhile, sourceError } from './errors.ts';
import { preparePublication, renamedOrGone, survey, type Survey } from './prepare.ts';
import type { ShapeCache } from './shape-cache.ts';
import { readRunning } from './transactions.ts';

export interface TableWatchOptions {
  readonly config: PostgresSourceConfig;
  readonly names: SourceNames;
  readonly control: PgConnection;
  /** A session for work that may take a while: the stream's look-ups do not wait for it. */
  readonly open: () => Promise<PgConnection>;
  readonly shapes: ShapeCache;
  readonly logger: Logger;
  /** The tables that were captured and those that were left out when the slot was taken. */
  readonly captured: readonly CatalogTable[];
  readonly leftOut: readonly Finding[];
}

/** Tables that have come, and who may have changed them unseen before they entered the publication. */
export interface NewTables {
  readonly tables: readonly TableShape[];
  readonly running: readonly bigint[];
}

const nothingNew: NewTables = { tables: [], running: [] };
/** Adding a table to a publication takes a lock that vacuum and CREATE INDEX hold; nobody is to queue behind us for long. */
const lockTimeout = '1s';
const LOCK_NOT_AVAILABLE = '55P03';

/** Notices tables that match the configuration and were not there when the slot was taken, and takes them in. */
export class TableWatch {
  readonly #options: TableWatchOptions;
  /** By relid, the name when the tables were last looked through. */
  readonly #known: Map<number, string>;
  /** By relid, the names of captured tables that were dropped since. */
  readonly #dropped = new Map<number, string>();
  #leftOut: readonly Finding[];
  /** Of the catalog when it was last looked through. */
  #signature: string | null = null;
  #waits = false;
  #connection: PgConnection | null = null;

  constructor(options: TableWatchOptions) {
    this.#options = options;
    this.#known = new Map(options.captured.map((table) => [table.relid, tableName(table)]));
    this.#leftOut = options.leftOut;
  }

  get leftOut(): readonly Finding[] {
    return this.#leftOut;
  }

  /** Ends its session, if there is one, without waiting for what it is doing. */
  destroy(): void {
    this.#connection?.destroy();
  }

  /** A cheap question; only where its answer has changed the catalog is looked through as for a new connection. */
  async look(): Promise<NewTables> {
    const { control, names, open } = this.#options;
    try {
      const signature = await control.exclusively((query) => readSignature(query, names.publication));
      if (signature === this.#signature) return nothingNew;
      const connection = (this.#connection = await open());
      try {
        const found = await connection.exclusively((query) => this.#takeIn(query));
        this.#signature = signature;
        this.#waits = false;
        return found;
      } finally {
        this.#connection = null;
        await connection.close();
      }
    } catch (error) {
      const cause = error instanceof TailraceError ? error.cause : error;
      // The next look sees the catalog without it; the stream need not end for tables that come and go.
      if (isDroppedMeanwhile(cause) || renamedOrGone.has(sqlstateOf(cause) ?? '')) return nothingNew;
      if (sqlstateOf(cause) !== LOCK_NOT_AVAILABLE) throw sourceError(error, 'new tables could not be looked for');
      if (!this.#waits) this.#options.logger.info('a new table is locked by somebody; it is taken in afterwards');
      this.#waits = true;
      return nothingNew;
    }
  }

  async #takeIn(query: Query): Promise<NewTables> {
    const { config, names, shapes, logger } = this.#options;
    const found = await survey(query, config, names);
    this.#refuseLost(found);
    this.#noteDropped(found.tables);
    this.#leftOut = [...found.selection.findings.filter(({ severity }) => severity !== 'note'), ...this.#droppedFindings(found.tables)];
    const added = found.selection.captured.filter((table) => !this.#known.has(table.relid));
    if (added.length === 0) return nothingNew;
    await query(`SET lock_timeout = '${lockTimeout}'`);
    await preparePublication(query, found, logger);
    const running = await readRunning(query);
    shapes.leaveOut(found.selection.leftOut);
    const states = await readTablesByOid(query, added.map((table) => table.relid), { version: found.facts.version, publication: names.publication });
    for (const table of states) this.#known.set(table.relid, tableName(table));
    if (states.length > 0) logger.info({ tables: states.map(tableName) }, 'new tables are captured');
    return { tables: states.map((table) => shapes.match(shapeOfTable(table))), running };
  }

  #noteDropped(tables: readonly CatalogTable[]): void {
    const there = new Map(tables.map((table) => [table.relid, tableName(table)]));
    for (const [relid, name] of this.#known) {
      const now = there.get(relid);
      if (now !== undefined) this.#known.set(relid, now);
      else {
        this.#known.delete(relid);
        this.#dropped.set(relid, name);
      }
    }
  }

  /** One that was made again under its name is nobody's concern. */
  #droppedFindings(tables: readonly CatalogTable[]): readonly Finding[] {
    const names = new Set(tables.map(tableName));
    return [...this.#dropped.values()].filter((name) => !names.has(name)).map((name) => ({
      severity: 'warning', check: 'table-dropped', message: `${name} was dropped at the source: replicas keep it as it was last, and it can be dropped there too`, remedy: `DROP TABLE ${name} at the replicas, if nobody needs it there.`,
    }));
  }

  /** What a captured table has lost (its key, its place in the publication) concerns everything that is known of it. */
  #refuseLost({ tables, selection }: Survey): void {
    const captured = new Set(selection.captured.map((table) => table.relid));
    const lost = tables.find((table) => this.#known.has(table.relid) && !captured.has(table.relid));
    if (lost === undefined) return;
    throw new TailraceError('source-unreachable', `${tableName(lost)} cannot be captured any more as it is now; the slot is taken anew without it`);
  }
}

/** Differs when a table has come, gone, or changed in what decides whether it is captured. */
async function readSignature(query: Query, publication: string): Promise<string> {
  const [row] = await query<{ signature: string }>(
    `SELECT pg_catalog.count(*) || ' ' || COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', n.nspname, c.relname, c.relkind, c.relpersistence, c.relreplident, c.relispartition,
         (SELECT pg_catalog.string_agg(i.indexrelid::pg_catalog.text || i.indisprimary || i.indisreplident || i.indisvalid || i.indimmediate, ',' ORDER BY i.indexrelid) FROM pg_catalog.pg_index i
          WHERE i.indrelid = c.oid AND (i.indisprimary OR i.indisreplident))), c.oid::pg_catalog.int8)), 0)
       || ' ' || (SELECT COALESCE(pg_catalog.sum(r.prrelid::pg_catalog.int8 + r.oid::pg_catalog.int8), 0) FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid WHERE p.pubname = $1)
       AS signature
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND ${ofUsers}`,
    [publication],
  );
  return row?.signature ?? '';
}

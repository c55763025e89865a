import { lsn, type Lsn } from '../../event/lsn.ts';
import type { TableShape } from '../../event/table.ts';
import { describeTarget, type ConnectionTarget } from '../../runtime/postgres/connection-url.ts';
import type { PgConnection, Query } from '../../runtime/postgres/connection.ts';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../../runtime/postgres/quote.ts';
import { openReadOnlySession } from '../../runtime/postgres/read-only-session.ts';
import { sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import { PostgresTableDigests, type DigestedTable } from '../../runtime/postgres/table-digests.ts';
import { verifyPrefix, type SourceDigests, type SourceVerifier } from '../verifier.ts';
import { readTablesByOid, shapeOfTable, type CatalogOptions, type CatalogTable } from './catalog.ts';
import { sourceError } from './errors.ts';

interface Options {
  readonly target: ConnectionTarget;
  readonly applicationName: string;
  readonly publication: string;
}

/** Throws `source-unreachable` or `source-refused`. */
export async function openPostgresSourceVerifier({ target, applicationName, publication }: Options): Promise<SourceVerifier> {
  let connection: PgConnection | undefined;
  try {
    connection = await openReadOnlySession(target, `${applicationName}/verify`);
    const [facts] = await connection.query<ServerFacts>(
      `SELECT current_setting('server_version_num')::int4 AS version, current_setting('server_encoding') AS encoding,
         EXISTS (SELECT FROM pg_publication WHERE pubname = $1) AS published`,
      [publication],
    );
    const { version, encoding, published } = facts as ServerFacts;
    const catalog = published ? { version, publication } : { version };
    const systemIdentifier = await readSystemIdentifier(connection);
    return new PostgresSourceVerifier({ connection, catalog, utf8: encoding === 'UTF8', systemIdentifier });
  } catch (error) {
    await connection?.close();
    throw sourceError(error, `connecting to the source ${describeTarget(target)}`);
  }
}

interface ServerFacts {
  readonly version: number;
  readonly encoding: string;
  readonly published: boolean;
}

async function readSystemIdentifier(connection: PgConnection): Promise<string | null> {
  try {
    const [row] = await connection.query<{ id: string }>('SELECT system_identifier::text AS id FROM pg_control_system()');
    return row?.id ?? null;
  } catch (error) {
    // A right that somebody took away: then it is not compared.
    if (sqlstateOf(error) === '42501') return null;
    throw error;
  }
}

interface Parts {
  readonly connection: PgConnection;
  readonly catalog: CatalogOptions;
  readonly utf8: boolean;
  readonly systemIdentifier: string | null;
}

interface KnownTable {
  readonly table: CatalogTable;
  /** The equality of each column of a unique index. */
  readonly equals: ReadonlyMap<string, string>;
}

class PostgresSourceVerifier implements SourceVerifier {
  readonly systemIdentifier: string | null;
  readonly #connection: PgConnection;
  readonly #parts: Parts;
  readonly #known = new Map<TableShape, KnownTable>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#connection = parts.connection;
    this.systemIdentifier = parts.systemIdentifier;
  }

  async shape(relid: number): Promise<TableShape | null> {
    const [table] = await readTablesByOid(this.#query, [relid], this.#parts.catalog);
    if (table === undefined) return null;
    const shape = shapeOfTable(table);
    const rows = await this.#query<{ name: string; equals: string }>(equalsQuery, [relid]);
    this.#known.set(shape, { table, equals: new Map(rows.map((row) => [row.name, row.equals])) });
    return shape;
  }

  async exists(relid: number): Promise<boolean> {
    return (await this.#query('SELECT FROM pg_catalog.pg_class WHERE oid = $1', [relid])).length > 0;
  }

  async estimate(relid: number): Promise<number | undefined> {
    const [row] = await this.#query<{ rows: number | null }>(estimateQuery, [relid]);
    return row?.rows ?? undefined;
  }

  digests(shape: TableShape, columns: readonly number[]): SourceDigests {
    const { equals } = this.#tableOf(shape);
    const key = shape.key.map((i) => {
      const { name, type } = shape.columns[i] as TableShape['columns'][number];
      return { name, type, equals: equals.get(name) ?? 'OPERATOR(pg_catalog.=)' };
    });
    const digested: DigestedTable = { ...this.#rowsOf(shape), columns: columns.map((i) => shape.columns[i]?.name as string), key, utf8: this.#parts.utf8 };
    return sourceDigests(this.#query, digested, shape.relid);
  }

  async hasValues(shape: TableShape, columns: readonly number[]): Promise<boolean> {
    const { from, filter } = this.#rowsOf(shape);
    const some = columns.map((i) => `t.${quoteIdentifier(shape.columns[i]?.name as string)} IS DISTINCT FROM NULL`).join(' OR ');
    const [row] = await this.#query<{ found: boolean }>(`SELECT EXISTS (SELECT FROM ${from} AS t WHERE (${some})${filter === null ? '' : ` AND (${filter})`}) AS found`);
    return row?.found === true;
  }

  async marker(): Promise<Lsn> {
    const at = await this.#attempt(() =>
      this.#connection.exclusively(async (query) => {
        const [row] = await query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
        await query(`BEGIN READ WRITE; SELECT pg_logical_emit_message(true, ${quoteLiteral(verifyPrefix)}, ''); COMMIT`);
        return row?.lsn;
      }),
    );
    return lsn(at ?? '');
  }

  async isRead(slot: string): Promise<boolean> {
    const rows = await this.#query('SELECT FROM pg_replication_slots WHERE slot_name = $1 AND active', [slot]);
    return rows.length > 0;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  #tableOf(shape: TableShape): KnownTable {
    const known = this.#known.get(shape);
    if (known === undefined) throw new RangeError('a shape that this verifier did not give');
    return known;
  }

  /** Which rows the publication sends: those of a partitioned table are its partitions', children by inheritance have their own. */
  #rowsOf(shape: TableShape): { readonly from: string; readonly filter: string | null } {
    const { table } = this.#tableOf(shape);
    return { from: `${table.kind === 'p' ? '' : 'ONLY '}${quoteQualified(table.schema, table.name)}`, filter: table.filter };
  }

  readonly #query: Query = (text, params) => this.#attempt(() => this.#connection.query(text, params));

  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw sourceError(error, 'the source cannot be read');
    }
  }
}

function sourceDigests(query: Query, table: DigestedTable, relid: number): SourceDigests {
  const digests = new PostgresTableDigests(query, table);
  return {
    buckets: (of) => digests.buckets(of),
    rows: (selection) => digests.rows(selection),
    look: (ids) => digests.look(ids),
    watch: (ids) => digests.watch(ids),
    writers: async () => new Set((await query<{ transaction: string }>(writersQuery, [relid])).map((row) => row.transaction)),
  };
}

const equalsQuery = `
SELECT a.attname AS name, min(format('OPERATOR(%I.%s)', s.nspname, o.oprname)) AS equals
FROM pg_index i CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) n
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[n]
JOIN pg_opclass p ON p.oid = i.indclass[n]
JOIN pg_amop m ON m.amopfamily = p.opcfamily AND m.amoplefttype = p.opcintype AND m.amoprighttype = p.opcintype AND m.amopstrategy = 3
JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace s ON s.oid = o.oprnamespace
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid GROUP BY 1`;

/** A table and its partitions at any depth. */
const family = 'SELECT $1::oid AS oid UNION SELECT relid::oid FROM pg_partition_tree($1::oid)';

// A table that was never analyzed has no count: its size stands for it.
const estimateQuery = `
SELECT sum(CASE WHEN c.reltuples >= 0 THEN c.reltuples ELSE pg_relation_size(c.oid) / 100.0 END)::float8 AS rows
FROM pg_class c WHERE c.oid IN (${family}) AND c.relkind = 'r'`;

const writersQuery = `
SELECT DISTINCT virtualtransaction AS transaction FROM pg_locks
WHERE locktype = 'relation' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND relation IN (${family}) AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`;

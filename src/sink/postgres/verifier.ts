import { tableName, type TableSchema } from '../../event/table.ts';
import type { ConnectionTarget } from '../../runtime/postgres/connection-url.ts';
import type { PgConnection } from '../../runtime/postgres/connection.ts';
import { quoteQualified } from '../../runtime/postgres/quote.ts';
import { openReadOnlySession } from '../../runtime/postgres/read-only-session.ts';
import { PostgresTableDigests } from '../../runtime/postgres/table-digests.ts';
import type { BlockedKey } from '../sink.ts';
import type { ReplicaView, SinkVerifier } from '../verifier.ts';
import { readTable, type Query, type ReplicaColumn } from './catalog.ts';
import { sinkError } from './errors.ts';
import { keyIndex } from './fit.ts';
import { ownTablesExist, readBlocked, type SinkName } from './own-tables.ts';
import { leftOutColumns, targetName, type NamingConfig } from './target-name.ts';

interface Options {
  readonly target: ConnectionTarget;
  readonly config: NamingConfig;
  readonly owner: SinkName;
}

/** A read-only session beside the worker's. Throws `sink-unreachable` or `sink-refused`. */
export async function openPostgresSinkVerifier({ target, config, owner }: Options): Promise<SinkVerifier> {
  let connection: PgConnection;
  try {
    // The worker's name is not used: sessions of that name are what a successor ends.
    connection = await openReadOnlySession(target, `tailrace/${owner.pipeline}/${owner.sink}/verify`);
  } catch (error) {
    throw sinkError(error, 'connecting to the replica');
  }
  const query: Query = async (text, params) => {
    try {
      return (await connection.query(text, params)) as never[];
    } catch (error) {
      throw sinkError(error, 'reading the replica');
    }
  };
  return new PostgresSinkVerifier({ connection, query, config, owner });
}

interface Parts {
  readonly connection: PgConnection;
  readonly query: Query;
  readonly config: NamingConfig;
  readonly owner: SinkName;
}

class PostgresSinkVerifier implements SinkVerifier {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async blocked(): Promise<readonly BlockedKey[]> {
    const { query, owner } = this.#parts;
    return (await ownTablesExist(query)) ? readBlocked(query, owner) : [];
  }

  async table(table: TableSchema): Promise<ReplicaView | null> {
    const { query, config } = this.#parts;
    const name = targetName(config, table);
    const leftOut = leftOutColumns(config, table);
    const found = await readTable(query, name);
    if (found === undefined) return null;
    const held = (i: number): ReplicaColumn | undefined => found.columns.find((column) => column.name === table.columns[i]?.name);
    const wanted = table.columns.map((_, i) => i).filter((i) => leftOut?.[i] !== 1);
    const columns = wanted.filter((i) => held(i) !== undefined);
    const index = keyIndex(table.key.map((i) => table.columns[i]?.name as string), found);
    const key = table.key.flatMap((i) => {
      const column = held(i);
      if (column === undefined) return [];
      const equals = index?.equals[index.columns.indexOf(column.name)] ?? 'OPERATOR(pg_catalog.=)';
      return [{ name: column.name, type: column.type, equals }];
    });
    const digests = new PostgresTableDigests(query, {
      from: `ONLY ${quoteQualified(name.schema, name.name)}`,
      filter: null,
      columns: columns.map((i) => table.columns[i]?.name as string),
      key: key.length === table.key.length ? key : [],
      // A replica in another encoding is refused by the sink's check.
      utf8: true,
    });
    return { name: tableName(name), columns, missing: wanted.filter((i) => held(i) === undefined), digests };
  }

  close(): Promise<void> {
    return this.#parts.connection.close();
  }
}

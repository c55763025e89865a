import type pg from 'pg';
import { TailraceError } from '../../runtime/errors.ts';
import type { ConnectionTarget } from '../../runtime/postgres/connection-url.ts';
import { PgConnection } from '../../runtime/postgres/connection.ts';
import { quoteIdentifier, quoteLiteral } from '../../runtime/postgres/quote.ts';
import { failureKind, sqlstateOf } from '../../runtime/postgres/sqlstate.ts';
import type { QueryResult, SinkQuery } from '../query.ts';
import type { Query } from './catalog.ts';
import { sinkError } from './errors.ts';
import { ownTablesExist, readPosition, type SinkName } from './own-tables.ts';

interface Options {
  readonly target: ConnectionTarget;
  /** Where names without one are looked for, and where a result becomes a table. */
  readonly schema: string;
  readonly owner: SinkName;
}

const page = 1000;
/** On a table that a job made: nothing else is replaced by its next run. */
const madeByUs = 'the result of a Tailrace job';

/** Values as the server writes them. */
const asText = { getTypeParser: () => (text: unknown) => text } as unknown as pg.CustomTypesConfig;

/** Runs a job's query in one REPEATABLE READ snapshot, whose position is read first. */
export async function queryPostgres(options: Options, request: SinkQuery): Promise<QueryResult> {
  const { target, owner, schema } = options;
  let connection: PgConnection;
  try {
    const settings = { statement_timeout: String(request.timeoutMs), lock_timeout: '10s', search_path: `${quoteIdentifier(schema)}, public` };
    connection = await PgConnection.open(target, { applicationName: `tailrace/${owner.pipeline}/${owner.sink}/job`, settings });
  } catch (error) {
    throw sinkError(error, 'connecting to the replica');
  }
  try {
    await connection.query(`BEGIN ISOLATION LEVEL REPEATABLE READ${request.into === null ? ' READ ONLY' : ''}`);
    const position = await readPosition(queryOf(connection), owner);
    const result = request.into === null ? await rowsOf(connection, request) : await tableOf(connection, { ...options, request, into: request.into });
    await connection.query('COMMIT');
    return { position, ...result };
  } catch (error) {
    throw jobError(error);
  } finally {
    await connection.close();
  }
}

function queryOf(connection: PgConnection): Query {
  return (text, params) => connection.query<never>(text, params);
}

/** By a cursor, so that a result which is too large is found out about before it is here. */
async function rowsOf(connection: PgConnection, { sql, maxBytes }: SinkQuery): Promise<Omit<QueryResult, 'position'>> {
  await connection.query(`DECLARE tailrace_job NO SCROLL CURSOR FOR ${sql}`);
  const rows: (string | null)[][] = [];
  let columns: readonly string[] = [];
  let bytes = 0;
  for (;;) {
    const fetched = await connection.result({ text: `FETCH ${page} FROM tailrace_job`, rowMode: 'array', types: asText });
    columns = fetched.fields.map((field) => field.name);
    for (const row of fetched.rows) bytes += row.reduce((sum, value) => sum + (value?.length ?? 0), 0);
    if (bytes > maxBytes) throw new TailraceError('job-query', `the result is larger than ${maxBytes} bytes`);
    for (const row of fetched.rows) rows.push(row);
    if (fetched.rows.length < page) return { columns, rows, count: rows.length };
  }
}

async function tableOf(connection: PgConnection, { schema, owner, request, into }: Options & { readonly request: SinkQuery; readonly into: string }): Promise<Omit<QueryResult, 'position'>> {
  const name = `${quoteIdentifier(schema)}.${quoteIdentifier(into)}`;
  const [found] = await connection.query<{ comment: string | null }>('SELECT obj_description(to_regclass($1), \'pg_class\') AS comment WHERE to_regclass($1) IS NOT NULL', [name]);
  if (found !== undefined && found.comment !== madeByUs) {
    throw new TailraceError('job-query', `the table ${schema}.${into} is there already, and is no job's result`, { remedy: 'Give the result another name, or drop the table.' });
  }
  const query = queryOf(connection);
  if ((await ownTablesExist(query)) && (await query('SELECT FROM tailrace.tables WHERE target_schema = $1 AND target_name = $2', [schema, into])).length > 0) {
    throw new TailraceError('job-query', `the table ${schema}.${into} is a replica of the sink ${owner.sink}`, { remedy: 'Give the result another name.' });
  }
  await connection.query(`DROP TABLE IF EXISTS ${name}`);
  const made = await connection.result({ text: `CREATE TABLE ${name} AS ${request.sql}` });
  await connection.query(`COMMENT ON TABLE ${name} IS ${quoteLiteral(madeByUs)}`);
  return { columns: [], rows: [], count: made.rowCount ?? 0 };
}

/** What is about the query is the job's matter; whatever else is wrong is the replica's. The server's text may hold values of the query alone. */
function jobError(error: unknown): Error {
  if (error instanceof TailraceError) return error;
  const state = sqlstateOf(error);
  if (state === '57014') return new TailraceError('job-query', 'the query took longer than its timeout');
  if (failureKind(error) !== 'other') return sinkError(error, 'asking the replica');
  return new TailraceError('job-query', `the replica refuses the query: ${error instanceof Error ? error.message : String(error)} (SQLSTATE ${state ?? 'unknown'})`, { cause: error });
}

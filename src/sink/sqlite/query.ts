import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { TailraceError } from '../../runtime/errors.ts';
import type { QueryResult, SinkQuery } from '../query.ts';
import { hasBookkeeping, readOwner, readPosition } from './bookkeeping.ts';
import { exists } from './database-file.ts';
import { quote } from './quote.ts';
import { resultCode, sqliteError } from './sqlite-error.ts';

interface Options {
  readonly path: string;
  readonly busyTimeout: number;
  /** `pipeline.sink`. */
  readonly sink: string;
}

/** Tables that jobs made: nothing else is replaced by their next run. */
const results = 'CREATE TABLE IF NOT EXISTS _tailrace_results (name TEXT PRIMARY KEY COLLATE NOCASE) STRICT, WITHOUT ROWID';

/**
 * Runs a job's query in one transaction of the file. SQLite answers within this thread: the time that a query takes is looked at
 * between its rows.
 */
export function querySqlite({ path, busyTimeout, sink }: Options, request: SinkQuery): QueryResult {
  if (!exists(path)) throw new TailraceError('sink-unreachable', `${path} is not there yet`);
  const { into } = request;
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { readOnly: into === null, timeout: busyTimeout });
    db.exec(into === null ? 'BEGIN' : 'BEGIN IMMEDIATE');
    const position = hasBookkeeping(db) ? readPosition(db, sink) : null;
    const result = into === null ? rowsOf(db, request) : tableOf(db, request.sql, into);
    db.exec('COMMIT');
    return { position, ...result };
  } catch (error) {
    throw jobError(error, path);
  } finally {
    db?.close();
  }
}

function rowsOf(db: DatabaseSync, { sql, timeoutMs, maxBytes }: SinkQuery): Omit<QueryResult, 'position'> {
  const statement = db.prepare(sql);
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  const columns = statement.columns().map(({ name }) => name);
  const deadline = performance.now() + timeoutMs;
  const rows: (string | null)[][] = [];
  let bytes = 0;
  for (const row of statement.iterate() as Iterable<unknown> as Iterable<readonly SQLOutputValue[]>) {
    const texts = row.map(text);
    bytes += texts.reduce((sum, value) => sum + (value?.length ?? 0), 0);
    if (bytes > maxBytes) throw new TailraceError('job-query', `the result is larger than ${maxBytes} bytes`);
    if (performance.now() > deadline) throw new TailraceError('job-query', 'the query took longer than its timeout');
    rows.push(texts);
  }
  return { columns, rows, count: rows.length };
}

function tableOf(db: DatabaseSync, sql: string, into: string): Omit<QueryResult, 'position'> {
  db.exec(results);
  const there = db.prepare('SELECT 1 FROM sqlite_schema WHERE name = ? COLLATE NOCASE').get(into) !== undefined;
  const ours = db.prepare('SELECT 1 FROM _tailrace_results WHERE name = ?').get(into) !== undefined;
  if ((there && !ours) || (hasBookkeeping(db) && readOwner(db, into) !== undefined)) {
    throw new TailraceError('job-query', `the table ${into} is there already, and is no job's result`, { remedy: 'Give the result another name, or drop the table.' });
  }
  db.exec(`DROP TABLE IF EXISTS ${quote(into)}`);
  db.exec(`CREATE TABLE ${quote(into)} AS ${sql}`);
  db.prepare('INSERT INTO _tailrace_results VALUES (?) ON CONFLICT DO NOTHING').run(into);
  const { n } = db.prepare(`SELECT count(*) AS n FROM ${quote(into)}`).get() as { n: number };
  return { columns: [], rows: [], count: n };
}

function text(value: SQLOutputValue): string | null {
  if (value === null) return null;
  return value instanceof Uint8Array ? `\\x${Buffer.from(value).toString('hex')}` : String(value);
}

function jobError(error: unknown, path: string): unknown {
  if (error instanceof TailraceError) return error;
  const ours = sqliteError(error, path);
  const code = resultCode(error);
  // SQLITE_READONLY, and none of its extended codes, which are about the file: the query would change it.
  if (code === 8) return new TailraceError('job-query', 'the replica refuses the query: it writes, and a job reads', { remedy: 'Let the query be one SELECT; its result becomes a table with into: { type: table }.', cause: error });
  // SQLITE_ERROR: the statement itself.
  if (code === 1) return new TailraceError('job-query', `the replica refuses the query: ${(error as Error).message}`, { cause: error });
  return ours;
}

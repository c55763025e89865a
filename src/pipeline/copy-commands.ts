import { randomUUID } from 'node:crypto';
import { matchesPattern } from '../event/table-pattern.ts';
import { tableName, type TableShape } from '../event/table.ts';
import { TailraceError } from '../runtime/errors.ts';
import { encodeControl } from './control-json.ts';
import type { CopyOrderRecord } from './control-records.ts';
import type { Publisher } from './publisher.ts';
import { topicNames } from './topics.ts';

export interface CopyCommand {
  readonly action: 'copy' | 'pause' | 'resume' | 'stop';
  /** `schema.table`, with wildcards; null for all. */
  readonly tables: string | null;
  readonly where: string | null;
}

/**
 * Does what `tailrace snapshot` asks of a pipeline that runs: what is ordered stands in the log before it is answered, so that it
 * outlives the daemon. Returns the tables that it concerns.
 */
export async function commandCopies(publisher: Publisher, pipeline: string, command: CopyCommand): Promise<readonly string[]> {
  const { session } = publisher;
  const tables = await concerned(publisher, pipeline, command);
  // Some rows are given up without a word about the table.
  const whole = new Set(session?.progress.filter(({ state, where }) => where === null && state !== 'done' && state !== 'stopped').map(({ table }) => table));
  const everything = command.tables === null && command.action !== 'stop' && command.action !== 'copy';
  const orders = (everything ? [null] : tables).map((table): CopyOrderRecord => ({
    type: 'copy-order', id: randomUUID(), table, where: command.where,
    action: command.action === 'stop' && table !== null && !whole.has(table) ? 'stop-rows' : command.action,
  }));
  await publisher.append(topicNames(pipeline).schema, orders.map(encodeControl));
  // Where the connection is lost meanwhile, the next one finds them in the log.
  for (const order of orders) session?.requests.order(order);
  return tables;
}

async function concerned(publisher: Publisher, pipeline: string, { action, tables: pattern, where }: CopyCommand): Promise<readonly string[]> {
  const { session } = publisher;
  if (session === null) throw new TailraceError('command-refused', `the pipeline ${pipeline} is not connected to its source now`);
  if (action === 'copy') {
    const tables = session.tables.filter((table) => pattern !== null && matchesPattern(pattern, table));
    if (tables.length === 0) throw new TailraceError('command-refused', `the pipeline ${pipeline} captures no table ${pattern ?? ''}`, { remedy: 'tailrace status names the tables that are left out, and why.' });
    if (where !== null) for (const table of tables) await checkWhere(session.source.snapshots, table, where);
    return tables.map(tableName);
  }
  if (action === 'resume' && pattern !== null && session.requests.orders.allPaused) {
    throw new TailraceError('command-refused', 'all copies are paused, those of single tables among them', { remedy: 'tailrace snapshot --resume without a table goes on with all of them.' });
  }
  // What is paused may be resumed long before anything of it is under way.
  const known = new Set([...session.progress.filter(({ state }) => state !== 'done' && state !== 'stopped').map(({ table }) => table), ...(action === 'stop' ? [] : session.tables.map(tableName))]);
  const named = [...known].filter((table) => pattern === null || matchesPattern(pattern, split(table)));
  if (named.length === 0) throw new TailraceError('command-refused', `no table${pattern === null ? '' : ` ${pattern}`} is being copied`);
  return named;
}

async function checkWhere(reader: { checkWhere(table: TableShape, where: string): Promise<void> }, table: TableShape, where: string): Promise<void> {
  if (table.key.length === 0) {
    throw new TailraceError('command-refused', `${tableName(table)} has no key: rows that a replica has already would be there twice`, { remedy: 'Copy the whole table.' });
  }
  await reader.checkWhere(table, where);
}

/** Schemas with a dot in their name are rare, and a pattern that means them can be written in quotes. */
function split(name: string): { readonly schema: string; readonly name: string } {
  const dot = name.indexOf('.');
  return { schema: name.slice(0, dot), name: name.slice(dot + 1) };
}

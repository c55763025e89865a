import type { PipelineConfig } from '../../src/config/pipeline-schema.ts';
import { EventView, type RecordView, type RowView } from '../../src/app/event-view.ts';
import { withLogReader } from '../../src/app/topics.ts';
import type { LogReader } from '../../src/log/log.ts';
import type { TestDatabase } from './postgres.ts';

/**
 * The oracle D of the fault catalogue: the server's own `test_decoding` reads the same WAL through a slot of its own and says
 * what happened; the log must say the same, table by table and in the same order.
 */
export interface DecodedChange {
  readonly op: 'c' | 'u' | 'd' | 't';
  readonly old: DecodedRow | null;
  readonly new: DecodedRow | null;
}

/** Texts by column; undefined stands for unchanged TOAST. NULLs are left out, because test_decoding leaves them out of old rows. */
type DecodedRow = ReadonlyMap<string, string | undefined>;

/** Changes by `schema.table`, in commit order. */
export type DecodedChanges = ReadonlyMap<string, readonly DecodedChange[]>;

export async function openDecodingSlot(database: TestDatabase, slot: string): Promise<void> {
  await database.sql(`SELECT pg_create_logical_replication_slot($1, 'test_decoding')`, [slot]);
}

export async function decodedByServer(database: TestDatabase, slot: string): Promise<DecodedChanges> {
  const lines = await database.sql<{ data: string }>(`SELECT data FROM pg_logical_slot_get_changes($1, NULL, NULL, 'skip-empty-xacts', '1', 'include-xids', '0')`, [slot]);
  const found = new Map<string, DecodedChange[]>();
  for (const { data } of lines) {
    const match = /^table (.*?): (INSERT|UPDATE|DELETE|TRUNCATE): /.exec(data);
    if (match === null) continue;
    const change = parseChange(match[2] as string, data.slice(match[0].length));
    for (const table of (match[1] as string).split(', ')) put(found, table.replaceAll('"', ''), change);
  }
  return found;
}

export async function decodedByLog(config: PipelineConfig): Promise<DecodedChanges> {
  return withLogReader(config, async (reader) => {
    const found = new Map<string, DecodedChange[]>();
    const view = await EventView.of(reader, config.name);
    const own = ['transaction', 'schema', 'sink.', 'dead-letter.'].map((name) => `${config.name}.${name}`);
    const copies = await copiesOf(reader, `${config.name}.transaction`, view);
    for (const { topic } of await reader.topics()) {
      if (own.some((name) => topic.startsWith(name))) continue;
      for await (const record of recordsOf(reader, topic, view)) {
        const change = copies.has(record.commit_lsn ?? '') ? null : changeOf(record);
        if (change !== null) put(found, record.table as string, change);
      }
    }
    return found;
  });
}

/** What differs, in words; null when nothing does. A column that the log's rows never have is not compared. */
export function difference(server: readonly DecodedChange[], log: readonly DecodedChange[]): string | null {
  for (let i = 0; i < Math.max(server.length, log.length); i++) {
    const [theirs, ours] = [server[i], log[i]];
    if (theirs === undefined || ours === undefined || theirs.op !== ours.op) return `change ${i}: ${shown(theirs)} at the server, ${shown(ours)} in the log`;
    const same = sameRow(theirs.old, ours.old, null) && sameRow(theirs.new, ours.new, theirs.old);
    if (!same) return `change ${i}: ${shown(theirs)} at the server, ${shown(ours)} in the log`;
  }
  return null;
}

/** Unchanged TOAST may be filled in from the whole old row (`old`), and from nowhere else. */
function sameRow(theirs: DecodedRow | null, ours: DecodedRow | null, old: DecodedRow | null): boolean {
  if (theirs === null || ours === null) return theirs === ours;
  for (const [column, value] of ours) {
    if (theirs.get(column) === value && theirs.has(column)) continue;
    if (!(theirs.has(column) && theirs.get(column) === undefined && old?.get(column) === value)) return false;
  }
  return true;
}

function shown(change: DecodedChange | undefined): string {
  if (change === undefined) return 'nothing';
  const row = (values: DecodedRow | null): string => (values === null ? '' : JSON.stringify([...values].map(([name, value]) => `${name}=${value === undefined ? '~' : value.slice(0, 40)}`)));
  return `${change.op} ${row(change.old)} ${row(change.new)}`;
}

function put(into: Map<string, DecodedChange[]>, table: string, change: DecodedChange): void {
  const changes = into.get(table);
  if (changes === undefined) into.set(table, [change]);
  else changes.push(change);
}

function parseChange(kind: string, text: string): DecodedChange {
  if (kind === 'TRUNCATE') return { op: 't', old: null, new: null };
  if (kind === 'INSERT') return { op: 'c', old: null, new: parseRow(text) };
  if (kind === 'DELETE') return { op: 'd', old: parseRow(text), new: null };
  const split = /^old-key:(.*) new-tuple:(.*)$/s.exec(text);
  return split === null ? { op: 'u', old: null, new: parseRow(text) } : { op: 'u', old: parseRow(split[1] as string), new: parseRow(split[2] as string) };
}

/** `id[integer]:1 name[text]:'a ''b''' big[text]:unchanged-toast-datum` */
function parseRow(text: string): DecodedRow {
  const row = new Map<string, string | undefined>();
  const token = / ?("(?:[^"]|"")*"|[^[\s]+)\[((?:[^[\]]|\[\])*)\]:(B?'(?:[^']|'')*'|\S+)\s?/gy;
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [, name, type, value] = match as unknown as [string, string, string, string];
    const column = name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
    if (value === 'unchanged-toast-datum') row.set(column, undefined);
    else if (value === 'null') continue;
    else if (type === 'boolean') row.set(column, value === 'true' ? 't' : 'f');
    else row.set(column, /^B?'/.test(value) ? value.slice(value.indexOf("'") + 1, -1).replaceAll("''", "'") : value);
  }
  return row;
}

function changeOf({ op, half, before, after, absent }: RecordView): DecodedChange | null {
  if (half === 'old' || (op !== 'c' && op !== 'u' && op !== 'd' && op !== 't')) return null;
  return { op, old: before == null ? null : rowOf(before, []), new: after == null ? null : rowOf(after, absent ?? []) };
}

function rowOf(row: RowView, absent: readonly string[]): DecodedRow {
  const values = new Map<string, string | undefined>();
  for (const [column, value] of Object.entries(row)) if (value !== null) values.set(column, value);
  for (const column of absent) values.set(column, undefined);
  return values;
}

/** Commit LSNs of the transactions that carry a copy's rows: what is in them is Tailrace's own, a truncate too. */
async function copiesOf(reader: LogReader, topic: string, view: EventView): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for await (const { value } of recordsOf(reader, topic, view)) {
    const record = value as { readonly type: string; readonly commitLsn: string; readonly snapshot: unknown };
    if (record.type === 'end' && record.snapshot !== null) found.add(record.commitLsn);
  }
  return found;
}

async function* recordsOf(reader: LogReader, topic: string, view: EventView): AsyncGenerator<RecordView> {
  const { start, end } = await reader.range(topic, 0);
  for (let offset = start; offset < end; ) {
    const cursor = await reader.fetch(topic, 0, offset, 1 << 20);
    while (cursor.next()) if (cursor.offset >= offset) yield await view.view(topic, 0, cursor);
    offset = cursor.nextOffset;
  }
}

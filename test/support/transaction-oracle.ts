import { consume } from '../../src/app/consume.ts';
import type { RecordView } from '../../src/app/event-view.ts';
import { requirePipelines } from '../../src/config/load.ts';
import { pinnedSettings } from '../../src/runtime/postgres/session-settings.ts';
import type { TestDatabase } from './postgres.ts';

/** The records of a topic from an offset on, which a daemon may be writing. */
export async function logRecords(file: string, topic: string, from = 0): Promise<RecordView[]> {
  const found: RecordView[] = [];
  const configs = requirePipelines([file], process.env).map(({ config }) => config);
  const until = { max: Infinity, until: Infinity, follow: false, signal: new AbortController().signal };
  await consume(configs, { topic, partition: undefined, from: { offset: from }, ...until, onRecord: (record) => found.push(record) });
  return found;
}

interface LoggedEnd {
  readonly type: string;
  readonly startId: string;
  readonly epoch: number;
  readonly commitLsn: string;
  readonly parts: readonly { readonly topic: string; readonly count: number; readonly first: number; readonly last: number }[];
  readonly snapshot: unknown;
}

/**
 * The log's transactions as a program would read them that knows nothing of the pipeline's own readers: END by END, and what each
 * names, in ordinal order. Rows of copies are left out.
 */
export class LogTransactions {
  readonly #file: string;
  readonly #pipeline: string;
  #offset = 0;

  constructor(file: string, pipeline: string) {
    this.#file = file;
    this.#pipeline = pipeline;
  }

  /** Those that came since the last time. */
  async next(): Promise<RecordView[][]> {
    const records = await logRecords(this.#file, `${this.#pipeline}.transaction`, this.#offset);
    this.#offset = (records.at(-1)?.offset ?? this.#offset - 1) + 1;
    const ends = records.map(({ value }) => value as LoggedEnd).filter(({ type, parts }) => type === 'end' && parts.length > 0);
    const topics = new Map<string, RecordView[]>();
    for (const { topic, first } of ends.flatMap(({ parts }) => parts)) if (!topics.has(topic)) topics.set(topic, await logRecords(this.#file, topic, first));
    return ends.filter(({ snapshot }) => snapshot === null).map((end) => eventsOf(end, topics));
  }
}

function eventsOf(end: LoggedEnd, topics: ReadonlyMap<string, readonly RecordView[]>): RecordView[] {
  const events = end.parts.flatMap(({ topic, count, first, last }) => {
    const all = (topics.get(topic) ?? []).filter(({ offset, epoch, commit_lsn: lsn }) => offset >= first && offset <= last && epoch === end.epoch && lsn === end.commitLsn);
    if (all.length !== count) throw new Error(`END of ${end.commitLsn} counts ${count} events in ${topic}, which holds ${all.length}`);
    return all.filter(({ half }) => half !== 'old');
  });
  return events.toSorted((a, b) => (a.ordinal ?? 0) - (b.ordinal ?? 0));
}

interface OracleTable {
  readonly quoted: string;
  readonly columns: readonly { readonly name: string; readonly quoted: string; readonly type: string }[];
}

/**
 * A second opinion on what was changed: a slot with `test_decoding`, which the server itself writes out as text. What the log
 * holds is written in the same words and compared line by line, in commit order.
 */
export class DecodingOracle {
  readonly #database: TestDatabase;
  readonly #slot: string;

  private constructor(database: TestDatabase, slot: string) {
    this.#database = database;
    this.#slot = slot;
  }

  /** From now on. The slot goes with the database. */
  static async create(database: TestDatabase): Promise<DecodingOracle> {
    const slot = `oracle_${database.name}`;
    await database.sql(`SELECT pg_create_logical_replication_slot($1, 'test_decoding')`, [slot]);
    return new DecodingOracle(database, slot);
  }

  /** What was committed since the last time, a list of lines a transaction; transactions in which nothing is `wanted` are left out. */
  async transactions(wanted: (line: string) => boolean): Promise<string[][]> {
    const pinned = Object.entries(pinnedSettings).map(([name, value]) => `SET ${name} = '${value}'`).join('; ');
    const rows = await this.#database.sql<{ data: string }>(
      `${pinned}; SELECT data FROM pg_logical_slot_get_changes('${this.#slot}', NULL, NULL, 'skip-empty-xacts', '1')`,
    );
    const transactions: string[][] = [];
    for (const { data } of rows) {
      if (data.startsWith('BEGIN')) transactions.push([]);
      else if (!data.startsWith('COMMIT') && wanted(data)) transactions.at(-1)?.push(data);
    }
    return transactions.filter((lines) => lines.length > 0);
  }

  /** The log's transactions in the words of `test_decoding`. */
  async words(transactions: readonly (readonly RecordView[])[]): Promise<string[][]> {
    const tables = await this.#tables();
    return transactions.map((events) => events.map((event) => line(event, tables)));
  }

  async #tables(): Promise<ReadonlyMap<string, OracleTable>> {
    const rows = await this.#database.sql<{ table: string; quoted: string; columns: OracleTable['columns'] }>(
      `SET search_path = pg_catalog;
       SELECT n.nspname || '.' || c.relname AS "table", format('%I.%I', n.nspname, c.relname) AS quoted,
         json_agg(json_build_object('name', a.attname, 'quoted', quote_ident(a.attname), 'type', format_type(a.atttypid, NULL)) ORDER BY a.attnum) AS columns
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
       WHERE c.relkind = 'r' AND n.nspname !~ '^pg_|^information_schema$' AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1, 2`,
    );
    return new Map(rows.map(({ table, ...rest }) => [table, rest]));
  }
}

/** As `pg_decode_change` of contrib/test_decoding writes it. */
function line(event: RecordView, tables: ReadonlyMap<string, OracleTable>): string {
  const { op, before, after } = event;
  if (op === 'm') return `message: transactional: 1 prefix: ${event.prefix}, sz: ${Buffer.byteLength(String(event.content))} content:${String(event.content)}`;
  const table = tables.get(event.table ?? '');
  if (table === undefined) throw new Error(`no table ${event.table}`);
  const image = (row: Readonly<Record<string, string | null>> | null | undefined, old: boolean): string =>
    table.columns.map(({ name, quoted, type }) => {
      if (old && row?.[name] == null) return '';
      return ` ${quoted}[${type}]:${literal(row?.[name], type)}`;
    }).join('');
  const what = { c: ' INSERT:', u: ' UPDATE:', d: ' DELETE:' }[op ?? ''];
  if (what === undefined) return `table ${table.quoted}: ${op}`;
  if (op === 'd') return `table ${table.quoted}:${what}${image(before, true)}`;
  return `table ${table.quoted}:${what}${before == null ? '' : ` old-key:${image(before, true)} new-tuple:`}${image(after, false)}`;
}

const bare: ReadonlySet<string> = new Set(['smallint', 'integer', 'bigint', 'oid', 'real', 'double precision', 'numeric']);

function literal(text: string | null | undefined, type: string): string {
  if (text === undefined) return 'unchanged-toast-datum';
  if (text === null) return 'null';
  if (bare.has(type)) return text;
  if (type === 'bit' || type === 'bit varying') return `B'${text}'`;
  if (type === 'boolean') return text === 't' ? 'true' : 'false';
  return `'${text.replaceAll("'", "''")}'`;
}

import pg from 'pg';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/cli/demo/embedded-postgres.ts';
import type { Progress } from './workloads.ts';

/** A server as one would run it: durable, with room for a backlog. */
export function benchServer(settings: Readonly<Record<string, string>> = {}): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({
    settings: {
      fsync: 'on', synchronous_commit: 'on', shared_buffers: '512MB', autovacuum: 'off', max_wal_size: '16GB', checkpoint_timeout: '1h',
      max_replication_slots: '60', max_wal_senders: '60', ...settings,
    },
  });
}

/**
 * Asks a replica how far it is. Only the first and the last row are looked for again and again: the largest id is behind all
 * that is not committed yet, and to ask for it is no small work for the server that is being measured.
 */
export class Probe {
  readonly #client: pg.Client;
  readonly #progress: Progress;
  #first = 0;

  private constructor(client: pg.Client, progress: Progress) {
    this.#client = client;
    this.#progress = progress;
  }

  static async open(url: string, progress: Progress): Promise<Probe> {
    const client = new pg.Client(url);
    client.on('error', () => {});
    await client.connect();
    return new Probe(client, progress);
  }

  /** The number of operations that are visible: 0, those that were when the first one was seen, or `total`. */
  async seen(total: number): Promise<number> {
    const { table, each, atOnce } = this.#progress;
    try {
      if (this.#first === 0 && atOnce !== true) this.#first = each * Number((await this.#client.query<{ id: string }>(`SELECT coalesce(max(id), 0) AS id FROM ${table}`)).rows[0]?.id);
      if (this.#first === 0 && atOnce !== true) return 0;
      const { rows } = await this.#client.query({ name: 'last', text: `SELECT 1 FROM ${table} WHERE id = $1`, values: [Math.floor(total / each)] });
      return rows.length > 0 ? total : this.#first;
    } catch {
      // The table is not there yet.
      return 0;
    }
  }

  close(): Promise<void> {
    return this.#client.end();
  }
}

/** Throws unless every row of these tables is in both databases. */
export async function assertEqual(a: { server: EmbeddedPostgres; database: string }, b: { server: EmbeddedPostgres; database: string }, tables: readonly string[]): Promise<void> {
  for (const table of tables) {
    const [one, two] = await Promise.all([a, b].map(({ server, database }) => digest(server, database, table)));
    if (one !== two) throw new Error(`${table} differs: ${one} at ${a.database}, ${two} at ${b.database}`);
  }
}

async function digest(server: EmbeddedPostgres, database: string, table: string): Promise<string> {
  const [row] = await server.sql<{ digest: string }>(
    `SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS digest FROM ${table} t`, [], database);
  return row?.digest ?? '';
}

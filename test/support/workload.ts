import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** A small seeded generator (mulberry32): the seed of a failed run gives the same decisions again. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** The tables of the ledger: a history, accounts whose sum never changes, rows without a key, and values out of line. */
export const ledgerSchema = `
  CREATE TABLE ledger (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, w int NOT NULL, s int NOT NULL, crc text NOT NULL);
  CREATE TABLE acct (id int PRIMARY KEY, bal bigint NOT NULL);
  CREATE TABLE nopk (w int, s int);
  ALTER TABLE nopk REPLICA IDENTITY FULL;
  CREATE TABLE wide (id int PRIMARY KEY, small int NOT NULL, big text NOT NULL);
  ALTER TABLE wide ALTER COLUMN big SET STORAGE EXTERNAL;
  INSERT INTO acct SELECT n, 1000 FROM generate_series(1, 50) n;
  INSERT INTO wide SELECT n, 0, repeat(md5(n::text), 100) FROM generate_series(1, 100) n;
  INSERT INTO nopk SELECT n % 5, n % 3 FROM generate_series(1, 200) n;
  INSERT INTO ledger (w, s, crc) SELECT 0, n, md5(n::text) FROM generate_series(1, 2000) n;
`;

export const ledgerTables = ['ledger', 'acct', 'nopk', 'wide'] as const;

/**
 * Sessions of random transactions on the ledger: transfers, rollbacks, savepoints, key changes, unchanged TOAST, equal rows.
 * What was committed is counted, so that a test can refuse to be about nothing.
 */
export class Ledger {
  readonly #pool: pg.Pool;
  readonly #sessions: Promise<void>[] = [];
  readonly #restMs: number;
  #stopping = false;
  committed = 0;

  /**
   * `restMs`: what each session does nothing for between two transactions. Without it they take both cores of a small machine, and
   * leave a daemon little to start with: for tests that are of load, and not of what comes out. Less of it for those that wait for many.
   */
  constructor(url: string, seed: number, sessions = 4, restMs = 15) {
    this.#restMs = restMs;
    this.#pool = new pg.Pool({ connectionString: url, max: sessions });
    this.#pool.on('error', () => undefined);
    for (let w = 1; w <= sessions; w++) this.#sessions.push(this.#session(w, seeded(seed * 1000 + w)));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#sessions);
    await this.#pool.end();
  }

  async #session(w: number, random: () => number): Promise<void> {
    for (let s = 1; !this.#stopping; s++) {
      const client = await this.#pool.connect();
      let fate = 'commit';
      try {
        await client.query('BEGIN');
        await client.query('INSERT INTO ledger (w, s, crc) VALUES ($1, $2, md5($3))', [w, s, `${w}/${s}`]);
        const steps = 1 + Math.floor(random() * 4);
        for (let i = 0; i < steps; i++) await step(client, w, random);
        fate = random() < 0.1 ? 'ROLLBACK' : 'COMMIT';
        await client.query(fate);
        if (fate === 'COMMIT') this.committed++;
      } catch (error) {
        await client.query('ROLLBACK').catch(() => undefined);
        const code = (error as { code?: string }).code ?? '';
        // Deadlocks and taken keys are refusals that a workload like this one meets; everything else is a fault of the test.
        if (!['40P01', '23505', '40001'].includes(code)) throw error;
      } finally {
        client.release();
      }
      if (this.#restMs > 0) await delay(this.#restMs);
    }
  }
}

async function step(client: pg.PoolClient, w: number, random: () => number): Promise<void> {
  const any = (below: number): number => 1 + Math.floor(random() * below);
  switch (any(8)) {
    case 1: case 2: {
      const amount = any(20);
      const [from, to] = [any(50), any(50)].sort((a, b) => a - b);
      await client.query('UPDATE acct SET bal = bal - $1 WHERE id = $2', [amount, from]);
      await client.query('UPDATE acct SET bal = bal + $1 WHERE id = $2', [amount, to]);
      break;
    }
    case 3:
      await client.query('INSERT INTO nopk SELECT $1, $2 FROM generate_series(1, 2)', [w, any(3)]);
      break;
    case 4:
      await client.query('DELETE FROM nopk WHERE ctid = (SELECT ctid FROM nopk LIMIT 1 FOR UPDATE SKIP LOCKED)');
      break;
    case 5:
      await client.query('UPDATE wide SET small = small + 1 WHERE id = $1', [any(100)]);
      break;
    case 6:
      // A key change whose large value Postgres does not send again.
      await client.query('UPDATE wide SET id = $1 WHERE id = $2', [any(400), any(400)]);
      break;
    case 7:
      await client.query('SAVEPOINT a');
      await client.query('INSERT INTO ledger (w, s, crc) VALUES ($1, -1, $2)', [w, 'gone']);
      await client.query('ROLLBACK TO a');
      break;
    default:
      await client.query('UPDATE wide SET big = $1 WHERE id = $2', [`${any(1000)}`.repeat(600), any(100)]);
  }
}

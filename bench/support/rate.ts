import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import pg from 'pg';

/** A steady load of small transactions, and when each of them was committed and then seen elsewhere. */
export interface Load {
  /** The source. */
  readonly url: string;
  /** The replica that is looked at, every millisecond. */
  readonly replica: string;
  readonly rowsPerSecond: number;
  readonly rowsPerTransaction: number;
  readonly seconds: number;
  /** The first seconds are not counted: connections, code that is not compiled yet. */
  readonly warmUp: number;
}

export interface Latencies {
  /** Milliseconds from the answer to COMMIT to the first look that showed the row; in no order. */
  readonly milliseconds: number[];
  /** Rows a second that were made, which may be fewer than wanted. */
  readonly made: number;
}

/** Connections that commit: a commit waits for the disk, and others must go on meanwhile. */
const connections = 8;
const insert = `INSERT INTO rows SELECT n, n % 1000, n * 1.01, 'status ' || n % 7, repeat(md5(n::text), 3), n / 7.0, n % 2 = 0, now() FROM generate_series($1::bigint, $2::bigint) n`;

/** Runs the load. `measured` is called when the warm-up is over and when the load is. */
export async function runLoad(load: Load, measured: (moment: 'begin' | 'end') => void): Promise<Latencies> {
  const { rowsPerTransaction: step } = load;
  const total = Math.ceil((load.rowsPerSecond / step) * (load.seconds + load.warmUp)) + 1;
  const committed = new Float64Array(total);
  const seen = new Float64Array(new SharedArrayBuffer(total * 8));
  const watcher = new Worker(new URL('./rate-watcher.ts', import.meta.url), { workerData: { url: load.replica, seen, step } });
  const clients = await Promise.all(Array.from({ length: connections }, () => connect(load.url)));
  const idle = [...clients];
  const began = performance.now();
  let next = 0;
  let first = -1;
  while (performance.now() - began < (load.seconds + load.warmUp) * 1000) {
    const due = Math.min(total, Math.floor(((performance.now() - began) / 1000) * (load.rowsPerSecond / step)));
    if (first < 0 && performance.now() - began > load.warmUp * 1000) {
      first = next;
      measured('begin');
    }
    while (next < due && idle.length > 0) {
      const transaction = next++;
      const client = idle.pop() as pg.Client;
      void client.query({ name: 'insert', text: insert, values: [transaction * step + 1, transaction * step + step] }).then(() => {
        committed[transaction] = performance.timeOrigin + performance.now();
        idle.push(client);
      });
    }
    await delay(1);
  }
  measured('end');
  const made = ((next - first) * step) / load.seconds;
  // What is missing after this time counts as never.
  for (let tries = 3000; tries > 0 && (idle.length < connections || seen.subarray(0, next).includes(0)); tries--) await delay(10);
  await Promise.all(clients.map((client) => client.end()));
  watcher.postMessage('stop');
  const milliseconds: number[] = [];
  for (let i = first; i < next; i++) milliseconds.push(seen[i] === 0 ? Infinity : Math.max(0, (seen[i] as number) - (committed[i] as number)));
  return { milliseconds, made };
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  await client.connect();
  return client;
}

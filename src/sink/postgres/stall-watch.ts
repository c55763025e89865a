import type { ConnectionTarget } from '../../runtime/postgres/connection-url.ts';
import { PgConnection } from '../../runtime/postgres/connection.ts';

export interface Watched {
  /** Bytes that went over the wire so far, while an answer is waited for; null when none is. */
  progress(): number | null;
  readonly pid: number;
  /** Called once, when the answer will not come. */
  onDead(): void;
}

/**
 * Notices a replica whose answers are lost on the way: a router that drops packets, a failover that takes the address along
 * without a word. TCP finds that out after a quarter of an hour. A long statement or a lock looks the same from here, so
 * when nothing has moved between two looks, the server is asked over a connection of its own whether that session is at work.
 */
export function watchForStalls(target: ConnectionTarget, intervalMs: number, watched: Watched): { stop(): void } {
  let before: number | null = null;
  let asking = false;
  const look = async (): Promise<void> => {
    const now = watched.progress();
    const still = now !== null && now === before;
    before = now;
    if (!still || asking) return;
    asking = true;
    const atWork = await isAtWork(target, watched.pid);
    asking = false;
    if (!atWork && watched.progress() === now) watched.onDead();
  };
  const timer = setInterval(() => void look(), intervalMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

const probeMs = 10_000;

/** Whether the session is busy with something other than waiting for us; false as well when the server does not answer. */
async function isAtWork(target: ConnectionTarget, pid: number): Promise<boolean> {
  try {
    const probe = await PgConnection.open(target, { applicationName: 'tailrace/probe', timeoutMs: probeMs });
    // The probe's own answer can be lost on the same way.
    const timer = setTimeout(() => probe.destroy(), probeMs);
    try {
      const rows = await probe.query("SELECT FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'", [pid]);
      return rows.length > 0;
    } finally {
      await probe.close();
      clearTimeout(timer);
    }
  } catch {
    return false;
  }
}

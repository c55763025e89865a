import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Ends a server when this process dies, however it dies (kill -9 runs no handler): a shell waits on a pipe that only we
 * hold, and then stops the server and removes its directory. Returns what calls the watch off.
 */
export function stopWithParent(pid: number, directory: string, signal: 'QUIT' | 'KILL' = 'QUIT'): () => void {
  const script = 'trap "" INT TERM HUP; read -r word && exit 0; kill -"$3" "$1"; sleep 1; rm -rf -- "$2"';
  const watch = spawn('/bin/sh', ['-c', script, 'sh', String(pid), directory, signal], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watch.on('error', () => {});
  watch.stdin.on('error', () => {});
  // Neither the watch nor its pipe may keep this process alive.
  watch.unref();
  const stdin = watch.stdin as typeof watch.stdin & { unref?: () => void };
  stdin.unref?.();
  return () => stdin.end('over\n');
}

/**
 * SIGKILL to a process and its children at once; resolves when all are gone. The children of a dead postmaster would
 * go by themselves, but a busy one takes its time, and until then the cluster refuses to start.
 */
export async function killTree(pid: number): Promise<void> {
  // Stopped first, so that it makes no more children while we look.
  signal(pid, 'SIGSTOP');
  const tree = [pid, ...childrenOf(pid)];
  for (const one of tree) signal(one, 'SIGKILL');
  const ours = tree.slice(1);
  while (ours.some(isAlive)) await delay(5);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // In a container whose first process reaps nothing, the dead stay as zombies.
  return parentAndState(pid)?.state !== 'Z';
}

function childrenOf(parent: number): number[] {
  if (process.platform !== 'linux') {
    return spawnSync('pgrep', ['-P', String(parent)], { encoding: 'utf8' })
      .stdout.split('\n')
      .filter(Boolean)
      .map(Number);
  }
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return all.filter((pid) => parentAndState(pid)?.parent === parent);
}

/** From /proc/<pid>/stat: `pid (name) state parent …`; the name may hold anything, so we look behind its last bracket. */
function parentAndState(pid: number): { parent: number; state: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(parent), state };
  } catch {
    return undefined;
  }
}

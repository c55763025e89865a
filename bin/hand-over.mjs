import { spawn } from 'node:child_process';

// In a terminal Ctrl-C and a hang-up reach the child by themselves, as it is in the same process group: passed on as well
// they would count as a second, impatient signal.
const fromTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;

/**
 * Runs the same command under another Node, as if it were this process: same stdin, stdout and stderr, signals passed on,
 * exit code or signal mirrored. The IPC channel carries nothing: it closes when this process dies, even by kill -9, and
 * `endWithParent` in the child sees that.
 */
export function handOver(node, args) {
  const child = spawn(node, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const passOn = (signal) => {
    if (signal === 'SIGTERM' || !fromTerminal) child.kill(signal);
  };
  for (const signal of signals) process.on(signal, passOn);
  child.on('error', (error) => {
    process.stderr.write(`tailrace: ${node} could not be started: ${error.message}\n`);
    process.exit(3);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const name of signals) process.off(name, passOn);
    process.kill(process.pid, signal);
  });
}

/**
 * In the child: whoever kills what he started must have killed the daemon. By SIGKILL, since that is how the parent went
 * (it ends in no other way while we live), and so a test that kills a daemon means the same under every Node.
 */
export function endWithParent() {
  if (process.channel === undefined) return;
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
  // The channel alone must not keep a finished command alive.
  process.channel.unref();
}

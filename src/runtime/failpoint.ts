import { readFileSync } from 'node:fs';
import { constants } from 'node:os';

/**
 * Named places where a test lets the process die, throw or stop: `TAILRACE_FAILPOINT=name:action[:nth]`. The nth time
 * (the first by default) that the place is reached, `kill9` ends the process as `kill -9` would, `throw` raises an error
 * with code EIO, as a failing disk would, and `pause` stops the whole process until SIGCONT. Refused unless NODE_ENV is
 * `test`, so that no environment variable can hurt a real daemon.
 */
type FailAction = 'kill9' | 'throw' | 'pause';

interface Armed {
  readonly name: string;
  readonly action: FailAction;
  remaining: number;
}

let armed = parse(process.env['TAILRACE_FAILPOINT']);

/** Costs one comparison when nothing is armed. */
export function failpoint(name: string): void {
  if (armed !== undefined) reach(name, armed);
}

/** For tests within the process: as the environment variable; undefined disarms. */
export function armFailpoint(spec: string | undefined): void {
  armed = parse(spec);
}

function parse(spec: string | undefined): Armed | undefined {
  if (spec === undefined || spec === '') return undefined;
  if (process.env['NODE_ENV'] !== 'test') throw new Error('TAILRACE_FAILPOINT is for tests: it needs NODE_ENV=test');
  const match = /^([^:]+):(kill9|throw|pause)(?::([1-9]\d*))?$/.exec(spec);
  if (match?.[1] === undefined) throw new Error(`TAILRACE_FAILPOINT is not name:kill9|throw|pause[:nth]: ${spec}`);
  return { name: match[1], action: match[2] as FailAction, remaining: Number(match[3] ?? 1) };
}

function reach(name: string, point: Armed): void {
  if (point.name !== name || --point.remaining !== 0) return;
  switch (point.action) {
    case 'kill9':
      process.kill(process.pid, 'SIGKILL');
      break;
    case 'pause':
      pause();
      break;
    case 'throw':
      throw Object.assign(new Error(`failpoint ${name}`), { code: 'EIO' });
  }
}

/** The signal is the main thread's to take, which may be late on a busy machine: until then the thread that sent it would go on. */
function pause(): void {
  process.kill(process.pid, 'SIGSTOP');
  while (process.platform === 'linux' && isPending(constants.signals.SIGSTOP));
}

/** Whether the signal waits for a thread of the process to take it. */
function isPending(signal: number): boolean {
  const [, mask = '0'] = /^ShdPnd:\s+(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

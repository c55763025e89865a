import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log/log.ts';
import { supervise } from '../pipeline/supervision.ts';
import type { Logger } from '../runtime/logger.ts';
import { tasksOf } from './spread-streams.ts';
import type { ToSpreadThread } from './thread-messages.ts';

export interface MembershipOptions {
  readonly log: () => Promise<Log>;
  readonly stream: { readonly name: string; readonly shards: number };
  /** To the thread that does the tasks. */
  readonly post: (message: ToSpreadThread) => void;
  readonly logger: Logger;
}

/** What is under way longer than this is left behind; nothing durable is lost. */
const longestEnd = 10_000;

/**
 * This process among the workers of a stream. It is a member of their group in the main thread, which nothing holds up: a step of a task that
 * takes long must not cost it the task.
 */
export class SpreadMembership {
  readonly #options: MembershipOptions;
  readonly #stop = new AbortController();
  /** Tasks at work, each with who waits for its end. */
  readonly #ends = new Map<string, () => void>();
  #sharing: Promise<unknown> | null = null;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** The thread is ready for tasks. */
  join(): void {
    const { log, stream, logger } = this.#options;
    this.#sharing ??= supervise({
      run: async (signal, healthy) => {
        healthy();
        return (await log()).share(`stream.${stream.name}`, tasksOf(stream), (task, until) => this.#do(task, until), signal);
      },
      onHealth: (_, error) => { if (error !== null) logger.warn({ err: error, stream: stream.name }, 'the workers of the stream cannot be joined now; it is tried again'); },
    }, this.#stop.signal);
  }

  /** A task has ended in the thread. */
  ended(task: string): void {
    this.#ends.get(task)?.();
    this.#ends.delete(task);
  }

  /** The thread is gone, and every task with it. */
  gone(): void {
    for (const task of this.#ends.keys()) this.ended(task);
  }

  /** Gives up all tasks; resolves when others can have them. */
  async leave(): Promise<void> {
    this.#stop.abort(new Error('stopped'));
    await Promise.race([this.#sharing, delay(longestEnd, undefined, { ref: false })]);
  }

  #do(task: string, until: AbortSignal): Promise<void> {
    const { post } = this.#options;
    const ended = new Promise<void>((resolve) => this.#ends.set(task, resolve));
    post({ kind: 'task-begin', task });
    until.addEventListener('abort', () => post({ kind: 'task-end', task }), { once: true });
    return ended;
  }
}

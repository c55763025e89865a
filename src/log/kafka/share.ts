import { TailraceError } from '../../runtime/errors.ts';
import type { Log } from '../log.ts';
import type { Cluster } from './cluster.ts';
import { GroupMember } from './member.ts';
import type { Joined } from './protocol/group-apis.ts';

export interface ShareOptions {
  readonly group: string;
  readonly tasks: readonly string[];
  readonly run: Parameters<Log['share']>[2];
}

interface Running {
  readonly stop: AbortController;
  /** It may be another's by now, and is claimed no longer. */
  isLost: boolean;
}

/**
 * Tasks that are shared out among the members of a group. Each says which ones it is at; one of them deals out the rest, so that all have about
 * as many. What somebody has too many of it gives up first, and joins again when that has ended: no task is dealt to two.
 */
export class GroupShare {
  readonly #options: ShareOptions;
  readonly #running = new Map<string, Running>();
  readonly #ended = Promise.withResolvers<void>();
  readonly #member: GroupMember;
  #works: Promise<void>[] = [];

  private constructor(cluster: Cluster, options: ShareOptions) {
    this.#options = options;
    this.#member = new GroupMember(cluster, options.group, {
      metadata: () => encode(this.#held()),
      deal: (members) => dealOut(options.tasks, members),
      dealt: (assignment) => this.#dealt(decode(assignment)),
      holds: () => this.#held().length > 0,
      lost: (why) => this.#lost(why),
      failed: (why) => {
        this.#lost(why);
        this.#ended.reject(why);
      },
    });
  }

  /** `cluster` is its own. */
  static async take(cluster: Cluster, options: ShareOptions, signal: AbortSignal): Promise<void> {
    const share = new GroupShare(cluster, options);
    const stop = (): void => share.#ended.resolve();
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    try {
      await share.#ended.promise;
    } finally {
      signal.removeEventListener('abort', stop);
      share.#member.stop();
      for (const { stop } of share.#running.values()) stop.abort(signal.reason);
      await Promise.all(share.#works);
      await share.#member.leave();
    }
  }

  #held(): readonly string[] {
    return [...this.#running].flatMap(([task, { isLost }]) => (isLost ? [] : [task]));
  }

  #dealt(tasks: readonly string[]): void {
    const wanted = new Set(tasks);
    for (const [task, { stop }] of this.#running) if (!wanted.has(task)) stop.abort(new TailraceError('lead-lost', `${task} of ${this.#options.group} goes to another worker`));
    for (const task of wanted) if (this.#options.tasks.includes(task) && !this.#running.has(task)) this.#start(task);
  }

  #start(task: string): void {
    const running: Running = { stop: new AbortController(), isLost: false };
    const { signal } = running.stop;
    this.#running.set(task, running);
    const work = this.#options.run(task, signal).catch(() => undefined).then(() => (signal.aborted ? undefined : new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))));
    const ended = work.then(() => {
      this.#running.delete(task);
      this.#works = this.#works.filter((other) => other !== ended);
      // Once for all that had to be given up.
      if (![...this.#running.values()].some(({ stop }) => stop.signal.aborted)) this.#member.rejoin();
    });
    this.#works.push(ended);
  }

  #lost(why: unknown): void {
    for (const running of this.#running.values()) {
      running.isLost = true;
      running.stop.abort(why);
    }
  }
}

/** What each member has from here on: of what it is at, as much as is its part; of what nobody is at, what it lacks to that. */
export function dealOut(tasks: readonly string[], members: Joined['members']): readonly { readonly member: string; readonly assignment: Uint8Array }[] {
  const claimed = new Set<string>();
  const parts = members.map(({ id, metadata }) => {
    const held = decode(metadata).filter((task) => tasks.includes(task) && !claimed.has(task));
    for (const task of held) claimed.add(task);
    return { member: id, held, quota: 0, got: [] as string[] };
  });
  // Who has more keeps more, so that as little as can be moves.
  parts.sort((a, b) => b.held.length - a.held.length || (a.member < b.member ? -1 : 1));
  for (const [i, part] of parts.entries()) {
    part.quota = Math.floor(tasks.length / parts.length) + (i < tasks.length % parts.length ? 1 : 0);
    part.got = part.held.slice(0, part.quota);
  }
  const free = tasks.filter((task) => !claimed.has(task));
  for (const part of parts) part.got.push(...free.splice(0, part.quota - part.got.length));
  return parts.map(({ member, got }) => ({ member, assignment: encode(got) }));
}

function encode(tasks: readonly string[]): Uint8Array {
  return Buffer.from(JSON.stringify([...tasks].sort()));
}

function decode(bytes: Buffer): readonly string[] {
  return bytes.length === 0 ? [] : (JSON.parse(bytes.toString()) as string[]);
}

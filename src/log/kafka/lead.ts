import { TailraceError } from '../../runtime/errors.ts';
import type { Lead } from '../log.ts';
import type { Cluster } from './cluster.ts';
import { GroupMember } from './member.ts';

const holds = Buffer.from('holds');
const waits = Buffer.from('waits');

/**
 * Who of several workers does a task: the members of a group agree on one. The one that holds the task keeps it as long as it is a member; the
 * others wait as members too, so that the next one begins when it leaves or dies.
 */
export class GroupLead implements Lead {
  readonly #lost = new AbortController();
  readonly #granted = Promise.withResolvers<void>();
  readonly #member: GroupMember;
  #isMine = false;

  private constructor(cluster: Cluster, group: string) {
    this.#member = new GroupMember(cluster, group, {
      metadata: () => (this.#isMine ? holds : waits),
      deal: (members) => {
        const holder = members.find(({ metadata }) => metadata.equals(holds))?.id ?? members[0]?.id;
        return members.map(({ id }) => ({ member: id, assignment: id === holder ? holds : waits }));
      },
      dealt: (assignment) => {
        const mine = assignment.equals(holds);
        if (this.#isMine && !mine) this.#loose(new TailraceError('lead-lost', `another worker has ${group}`));
        this.#isMine = mine;
        if (mine) this.#granted.resolve();
      },
      holds: () => this.#isMine,
      lost: (why) => this.#loose(why),
      failed: (why) => {
        this.#granted.reject(why);
        this.#loose(why);
      },
    });
  }

  /** Resolves when the task is ours; `cluster` is the lead's own from here on. */
  static async take(cluster: Cluster, group: string, signal: AbortSignal): Promise<GroupLead> {
    const lead = new GroupLead(cluster, group);
    const stop = (): void => lead.#granted.reject(signal.reason);
    signal.addEventListener('abort', stop);
    try {
      signal.throwIfAborted();
      await lead.#granted.promise;
      return lead;
    } catch (error) {
      await lead.release();
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async release(): Promise<void> {
    await this.#member.leave();
  }

  #loose(why: unknown): void {
    this.#isMine = false;
    this.#lost.abort(why);
    this.#member.stop();
  }
}

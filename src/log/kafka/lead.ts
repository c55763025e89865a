import { setTimeout as delay } from 'node:timers/promises';
import { TailraceError } from '../../runtime/errors.ts';
import type { Lead } from '../log.ts';
import type { Cluster } from './cluster.ts';
import { errorCode, isPassing, kafkaError } from './kafka-errors.ts';
import { heartbeatApi, joinGroupApi, leaveGroupApi, syncGroupApi, type Joined } from './protocol/group-apis.ts';

/** The least that brokers take by default: a worker that dies is replaced after this time. */
const sessionTimeout = 6000;
const heartbeatInterval = 1000;
/** Shorter than a session: who holds the task does not lose it over another that does not answer. */
const rebalanceTimeout = 4000;
const holds = Buffer.from('holds');
const waits = Buffer.from('waits');

/**
 * Who of several workers does a task: the members of a consumer group agree on one by the group's own protocol. The one that holds
 * the task keeps it as long as it is a member; the others wait as members too, so that the next one begins when it leaves or dies.
 * A worker that has not heard from the brokers for so long that it may have been replaced says so by itself.
 */
export class GroupLead implements Lead {
  readonly #cluster: Cluster;
  readonly #group: string;
  readonly #lost = new AbortController();
  readonly #stopped = new AbortController();
  readonly #granted = Promise.withResolvers<void>();
  #member = '';
  #generation = -1;
  #isMine = false;
  #heardAt = Date.now();
  readonly #working: Promise<void>;

  private constructor(cluster: Cluster, group: string) {
    this.#cluster = cluster;
    this.#group = group;
    this.#working = this.#work();
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
    this.#stopped.abort();
    await this.#working;
    if (this.#member !== '') {
      const leaving = this.#cluster.coordinator(this.#group).then((broker) => broker.call(leaveGroupApi, { group: this.#group, member: this.#member }, heartbeatInterval));
      await leaving.catch(() => undefined);
    }
    this.#cluster.close();
  }

  /** Joins, keeps the membership up, and joins again whenever the group asks for it. */
  async #work(): Promise<void> {
    const watch = setInterval(() => this.#checkSession(), heartbeatInterval / 4);
    try {
      while (!this.#stopped.signal.aborted) {
        try {
          await this.#join();
          while (await this.#beat());
        } catch (error) {
          if (!(error instanceof TailraceError) || error.code !== 'log-unreachable') throw error;
          await this.#pause(heartbeatInterval / 2);
        }
      }
    } catch (error) {
      this.#granted.reject(error);
      this.#loose(error);
    } finally {
      clearInterval(watch);
    }
  }

  async #join(): Promise<void> {
    const joined = await this.#joinGroup();
    this.#generation = joined.generation;
    const isLeader = joined.leader === this.#member;
    const holder = isLeader ? (joined.members.find(({ metadata }) => metadata.equals(holds))?.id ?? joined.members[0]?.id) : undefined;
    const assignments = joined.members.map(({ id }) => ({ member: id, assignment: id === holder ? holds : waits }));
    const broker = await this.#cluster.coordinator(this.#group);
    const { error, assignment } = await broker.call(syncGroupApi, { group: this.#group, generation: this.#generation, member: this.#member, assignments }, sessionTimeout * 3);
    // Somebody joins or leaves just now: once more.
    if (error === errorCode.rebalancing) return;
    if (error !== errorCode.none) return this.#refused(error);
    this.#heardAt = Date.now();
    const mine = assignment.equals(holds);
    if (this.#isMine && !mine) this.#loose(new TailraceError('lead-lost', `another worker has ${this.#group}`));
    this.#isMine = mine;
    if (mine) this.#granted.resolve();
  }

  async #joinGroup(): Promise<Joined> {
    for (;;) {
      const broker = await this.#cluster.coordinator(this.#group);
      const request = { group: this.#group, member: this.#member, sessionTimeout, rebalanceTimeout, metadata: this.#isMine ? holds : waits };
      const joined = await broker.call(joinGroupApi, request, sessionTimeout * 3);
      if (joined.error === errorCode.none) {
        this.#member = joined.member;
        this.#heardAt = Date.now();
        return joined;
      }
      // The broker gives a name first, and takes it in the second request.
      if (joined.error === errorCode.memberIdRequired) this.#member = joined.member;
      else this.#refused(joined.error);
    }
  }

  /** False when the group has to be joined again. */
  async #beat(): Promise<boolean> {
    await this.#pause(heartbeatInterval);
    if (this.#stopped.signal.aborted) return false;
    const broker = await this.#cluster.coordinator(this.#group);
    const error = await broker.call(heartbeatApi, { group: this.#group, generation: this.#generation, member: this.#member }, sessionTimeout);
    if (error === errorCode.rebalancing) {
      this.#heardAt = Date.now();
      return false;
    }
    if (error !== errorCode.none) this.#refused(error);
    this.#heardAt = Date.now();
    return error === errorCode.none;
  }

  /** Unknown by now: its place may have been given away. Anything else that does not pass is an error. */
  #refused(error: number): void {
    if (error === errorCode.unknownMember || error === errorCode.illegalGeneration) {
      if (error === errorCode.unknownMember) this.#member = '';
      this.#generation = -1;
      if (this.#isMine) this.#loose(new TailraceError('lead-lost', `the brokers have given ${this.#group} to another worker`));
      this.#isMine = false;
      return;
    }
    const refusal = kafkaError(error, `the group ${this.#group}`);
    throw isPassing(error) ? new TailraceError('log-unreachable', refusal.message) : refusal;
  }

  /** Runs by the clock, whatever the brokers do: also when this process was stopped and goes on. */
  #checkSession(): void {
    if (!this.#isMine || Date.now() - this.#heardAt < sessionTimeout - heartbeatInterval) return;
    this.#loose(new TailraceError('lead-lost', `nothing was heard from the brokers for ${Math.round((Date.now() - this.#heardAt) / 1000)} s: another worker may have ${this.#group} by now`));
  }

  #loose(why: unknown): void {
    this.#isMine = false;
    this.#lost.abort(why);
    this.#stopped.abort();
  }

  #pause(milliseconds: number): Promise<void> {
    return delay(milliseconds, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
  }
}

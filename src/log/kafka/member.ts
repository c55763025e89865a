import { setTimeout as delay } from 'node:timers/promises';
import { TailraceError } from '../../runtime/errors.ts';
import type { Cluster } from './cluster.ts';
import { errorCode, isPassing, kafkaError } from './kafka-errors.ts';
import { heartbeatApi, joinGroupApi, leaveGroupApi, syncGroupApi, type Joined } from './protocol/group-apis.ts';

/** The least that brokers take by default: a worker that dies is replaced after this time. */
const sessionTimeout = 6000;
const heartbeatInterval = 1000;
/** Shorter than a session: who holds something does not lose it over another that does not answer. */
const rebalanceTimeout = 4000;

export interface GroupPart {
  /** What the one who deals out sees of this member. */
  metadata(): Uint8Array;
  /** Deals out; asked of one member only. */
  deal(members: Joined['members'], own: string): readonly { readonly member: string; readonly assignment: Uint8Array }[];
  /** What this member has got. */
  dealt(assignment: Buffer): void;
  /** Whether it has anything that could be given to another. */
  holds(): boolean;
  /** What it had may be another's by now. */
  lost(why: unknown): void;
  /** It cannot be a member, or no longer. */
  failed(why: unknown): void;
}

/**
 * A member of a consumer group, in which workers agree by the group's own protocol who does what. It joins, keeps the membership up, and joins
 * again whenever the group asks for it. A worker that has not heard from the brokers for so long that it may have been replaced says so
 * by itself.
 */
export class GroupMember {
  readonly #cluster: Cluster;
  readonly #group: string;
  readonly #part: GroupPart;
  readonly #stopped = new AbortController();
  #beating = new AbortController();
  #again = false;
  #member = '';
  #generation = -1;
  #heardAt = Date.now();
  readonly #working: Promise<void>;

  /** `cluster` is its own from here on. */
  constructor(cluster: Cluster, group: string, part: GroupPart) {
    this.#cluster = cluster;
    this.#group = group;
    this.#part = part;
    this.#working = this.#work();
  }

  /** Joins no more; what it holds stays its own until it leaves. */
  stop(): void {
    this.#stopped.abort();
  }

  /** Joins once more, because its metadata are others. */
  rejoin(): void {
    this.#again = true;
    this.#beating.abort();
  }

  async leave(): Promise<void> {
    this.#stopped.abort();
    await this.#working;
    if (this.#member !== '') {
      const leaving = this.#cluster.coordinator(this.#group).then((broker) => broker.call(leaveGroupApi, { group: this.#group, member: this.#member }, heartbeatInterval));
      await leaving.catch(() => undefined);
    }
    this.#cluster.close();
  }

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
      this.#part.failed(error);
    } finally {
      clearInterval(watch);
    }
  }

  async #join(): Promise<void> {
    this.#again = false;
    const joined = await this.#joinGroup();
    this.#generation = joined.generation;
    const assignments = joined.leader === this.#member ? this.#part.deal(joined.members, this.#member) : [];
    const broker = await this.#cluster.coordinator(this.#group);
    const { error, assignment } = await broker.call(syncGroupApi, { group: this.#group, generation: this.#generation, member: this.#member, assignments }, sessionTimeout * 3);
    // Somebody joins or leaves just now: once more.
    if (error === errorCode.rebalancing) return;
    if (error !== errorCode.none) return this.#refused(error);
    this.#heardAt = Date.now();
    this.#part.dealt(assignment);
  }

  async #joinGroup(): Promise<Joined> {
    for (;;) {
      const broker = await this.#cluster.coordinator(this.#group);
      const request = { group: this.#group, member: this.#member, sessionTimeout, rebalanceTimeout, metadata: this.#part.metadata() };
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
    if (!this.#again) await this.#pause(heartbeatInterval);
    if (this.#stopped.signal.aborted || this.#again) return false;
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
      if (this.#part.holds()) this.#part.lost(new TailraceError('lead-lost', `the brokers have given ${this.#group} to another worker`));
      return;
    }
    const refusal = kafkaError(error, `the group ${this.#group}`);
    throw isPassing(error) ? new TailraceError('log-unreachable', refusal.message) : refusal;
  }

  /** Runs by the clock, whatever the brokers do: also when this process was stopped and goes on. */
  #checkSession(): void {
    if (!this.#part.holds() || Date.now() - this.#heardAt < sessionTimeout - heartbeatInterval) return;
    this.#part.lost(new TailraceError('lead-lost', `nothing was heard from the brokers for ${Math.round((Date.now() - this.#heardAt) / 1000)} s: another worker may have ${this.#group} by now`));
  }

  async #pause(milliseconds: number): Promise<void> {
    this.#beating = new AbortController();
    await delay(milliseconds, undefined, { signal: AbortSignal.any([this.#stopped.signal, this.#beating.signal]) }).catch(() => undefined);
  }
}

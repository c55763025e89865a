import { TailraceError } from '../../runtime/errors.ts';
import { byPlace, type ConsumerGroups, type GroupOffset } from '../groups.ts';
import type { Lead } from '../log.ts';
import { againOrThrow, Cluster, type Again, type ClusterOptions } from './cluster.ts';
import { errorCode } from './kafka-errors.ts';
import { GroupLead } from './lead.ts';
import { deleteGroupsApi, listGroupsApi, offsetCommitApi, offsetDeleteApi, offsetFetchApi } from './protocol/offset-apis.ts';
import type { Api } from './protocol/wire.ts';

/**
 * Kafka's own offsets of a group, without being a member of it: who consumes is agreed on in a group of another name, so that brokers
 * take the offsets of one that has them.
 */
export class KafkaGroups implements ConsumerGroups {
  readonly #options: ClusterOptions;
  readonly #cluster: Cluster;
  readonly #prefix: string;

  constructor(options: ClusterOptions, prefix: string) {
    this.#options = options;
    this.#cluster = new Cluster(options);
    this.#prefix = prefix;
  }

  /** Each broker knows the groups that it coordinates. */
  async names(): Promise<readonly string[]> {
    const { brokers } = await this.#cluster.patiently(() => this.#cluster.describe([]));
    const lists = await Promise.all(brokers.map(({ id }) => this.#cluster.patiently(async (): Promise<readonly string[] | Again> => {
      const answer = await (await this.#cluster.broker(id)).call(listGroupsApi, null);
      return answer.error === errorCode.none ? answer.groups : againOrThrow(answer.error, 'the groups');
    })));
    const names: string[] = [];
    for (const group of new Set(lists.flat())) if ((await this.read(group)).length > 0) names.push(group);
    return names.toSorted();
  }

  async read(group: string): Promise<readonly GroupOffset[]> {
    const answer = await this.#call(group, offsetFetchApi, group, ({ error, offsets }) => (error === errorCode.none ? (offsets.find((each) => each.error !== errorCode.none)?.error ?? 0) : error));
    return answer.offsets.filter(({ topic, offset }) => topic.startsWith(this.#prefix) && offset >= 0).map(({ topic, partition, offset }) => ({ topic, partition, offset })).toSorted(byPlace);
  }

  async commit(group: string, offsets: readonly GroupOffset[]): Promise<void> {
    await this.#call(group, offsetCommitApi, { group, offsets }, (errors) => errors.find((error) => error !== errorCode.none) ?? 0);
  }

  async forget(group: string): Promise<void> {
    const offsets = await this.read(group);
    if (offsets.length > 0) await this.#call(group, offsetDeleteApi, { group, offsets }, (errors) => errors.find((error) => error !== errorCode.none) ?? 0);
    const others = await this.#call(group, offsetFetchApi, group, ({ error }) => error);
    // Kafka itself ends a group that has nothing left, or it is ended here.
    if (others.offsets.every(({ offset }) => offset < 0)) await this.#call(group, deleteGroupsApi, group, (error) => (error === errorCode.noSuchGroup ? 0 : error));
  }

  hold(group: string, signal: AbortSignal): Promise<Lead> {
    return GroupLead.take(new Cluster(this.#options), `${this.#prefix}consume.${group}`, signal);
  }

  async close(): Promise<void> {
    this.#cluster.close();
  }

  /** Of the group's coordinator; repeated while what it says may pass. */
  #call<Request, Response>(group: string, api: Api<Request, Response>, request: Request, errorOf: (answer: Response) => number): Promise<Response> {
    return this.#cluster.patiently(async (): Promise<Response | Again> => {
      const answer = await (await this.#cluster.coordinator(group)).call(api, request);
      const error = errorOf(answer);
      if (error === errorCode.none) return answer;
      if (error === errorCode.unknownMember || error === errorCode.nonEmptyGroup || error === errorCode.rebalancing) {
        throw new TailraceError('command-refused', `the group ${group} has members that are other clients of Kafka: they commit its offsets themselves`, { remedy: 'Stop them first, or choose another group.' });
      }
      return againOrThrow(error, `the group ${group}`);
    });
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import { TailraceError } from '../../runtime/errors.ts';
import { errorCode, isPassing, kafkaError } from './kafka-errors.ts';
import { metadataApi, type Metadata, type PartitionMetadata, type TopicMetadata } from './protocol/cluster-apis.ts';
import { Connection, type ConnectionOptions } from './protocol/connection.ts';
import { findCoordinatorApi } from './protocol/group-apis.ts';

export interface ClusterOptions extends ConnectionOptions {
  /** `host:port` of some brokers; they name the others. */
  readonly brokers: readonly string[];
  /** Milliseconds for which a request that may pass is repeated: longer than an election of a leader, or a restart, takes. */
  readonly patience: number;
  /** Hears what is waited for, once for each time that it lasts. */
  readonly onWaiting?: (error: TailraceError) => void;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** In place of a result: what an attempt met that may pass. */
export class Again {
  readonly error: TailraceError;

  constructor(error: TailraceError) {
    this.error = error;
  }
}

const firstPause = 20;
const longestPause = 1000;
/** What lasts no longer than this is not worth a word. */
const silentWait = 2000;

/**
 * The brokers: who leads which partition, and a connection to each. What it knows may be out of date at any time; whoever is
 * told so by a broker says `forget`, and it asks anew.
 */
export class Cluster {
  readonly #options: ClusterOptions;
  readonly #closed = new AbortController();
  readonly #connections = new Map<string, Promise<Connection>>();
  /** Connections for requests that the broker sits on: others would wait behind them. */
  readonly #spare = new Map<string, Connection[]>();
  readonly #topics = new Map<string, TopicMetadata>();
  readonly #asking = new Map<string, Promise<Metadata>>();
  #brokers = new Map<number, Address>();
  #controller = -1;
  #isWaiting = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
  }

  /** What the brokers say of these topics (null: of all); remembered. */
  async describe(topics: readonly string[] | null, rights = false): Promise<Metadata> {
    const connection = await this.any();
    const metadata = await connection.call(metadataApi, { topics, rights });
    this.#brokers = new Map(metadata.brokers.map(({ id, host, port }) => [id, { host, port }]));
    this.#controller = metadata.controller;
    for (const topic of metadata.topics) {
      if (topic.error === errorCode.none) this.#topics.set(topic.topic, topic);
      else this.#topics.delete(topic.topic);
    }
    return metadata;
  }

  /** What was said of a topic is out of date. */
  forget(topic: string): void {
    this.#topics.delete(topic);
  }

  /** A topic's partitions; undefined when there is no such topic. */
  async partitions(topic: string): Promise<readonly PartitionMetadata[] | undefined> {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known.partitions;
    // Readers and writers of its many partitions ask at once.
    let asking = this.#asking.get(topic);
    if (asking === undefined) {
      asking = this.describe([topic]).finally(() => this.#asking.delete(topic));
      this.#asking.set(topic, asking);
    }
    const [about] = (await asking).topics;
    if (about === undefined || about.error === errorCode.unknownTopic) return undefined;
    if (about.error !== errorCode.none) throw kafkaError(about.error, `topic ${topic}`);
    return about.partitions;
  }

  /** The id of the broker that leads a partition; undefined when there is no such topic or partition. Throws `log-unreachable` while there is no leader. */
  async leader(topic: string, partition: number): Promise<number | undefined> {
    const found = (await this.partitions(topic))?.find((candidate) => candidate.partition === partition);
    if (found === undefined) return undefined;
    if (found.leader >= 0 && this.#brokers.has(found.leader)) return found.leader;
    this.forget(topic);
    throw new TailraceError('log-unreachable', `partition ${partition} of ${topic} has no leader`);
  }

  broker(id: number): Promise<Connection> {
    return this.#connection(this.#address(id));
  }

  /** A connection for one request that the broker sits on; give it back when it is answered. */
  async spare(id: number): Promise<Connection> {
    const address = this.#address(id);
    const idle = this.#spare.get(name(address)) ?? [];
    for (let connection = idle.pop(); connection !== undefined; connection = idle.pop()) {
      if (connection.isUsable) return connection;
      connection.close();
    }
    return this.#open(address);
  }

  giveBack(connection: Connection): void {
    if (this.#closed.signal.aborted || !connection.isUsable) return connection.close();
    const idle = this.#spare.get(connection.address);
    if (idle === undefined) this.#spare.set(connection.address, [connection]);
    else idle.push(connection);
  }

  /** Any broker that answers: those that are known, else those that are configured. */
  async any(): Promise<Connection> {
    const seeds = this.#options.brokers.map(parseAddress);
    let failure: unknown;
    for (const address of [...this.#brokers.values(), ...seeds]) {
      try {
        return await this.#connection(address);
      } catch (error) {
        failure = error;
        if (error instanceof TailraceError && error.code === 'log-refused') throw error;
      }
    }
    throw failure;
  }

  /** Who makes and deletes topics. */
  async controller(): Promise<Connection> {
    if (!this.#brokers.has(this.#controller)) await this.describe([]);
    return this.#brokers.has(this.#controller) ? this.broker(this.#controller) : this.any();
  }

  controllerMoved(): void {
    this.#controller = -1;
  }

  async coordinator(group: string): Promise<Connection> {
    const found = await (await this.any()).call(findCoordinatorApi, group);
    if (found.error !== errorCode.none) throw kafkaError(found.error, `the coordinator of the group ${group}`);
    this.#brokers.set(found.id, found);
    return this.broker(found.id);
  }

  /**
   * Repeats an attempt until it gives a result, as long as what it meets may pass: at most for the configured time. An attempt
   * must be one that may be repeated.
   */
  async patiently<T>(attempt: () => Promise<T | Again>): Promise<T> {
    const since = Date.now();
    const deadline = since + this.#options.patience;
    for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
      const outcome = await attempt().catch((error: unknown) => {
        if (error instanceof TailraceError && error.code === 'log-unreachable') return new Again(error);
        throw error;
      });
      if (!(outcome instanceof Again)) {
        this.#isWaiting = false;
        return outcome;
      }
      if (!this.#isWaiting && Date.now() - since > silentWait && !this.#closed.signal.aborted) {
        this.#isWaiting = true;
        this.#options.onWaiting?.(outcome.error);
      }
      if (this.#closed.signal.aborted || Date.now() + pause > deadline) throw outcome.error;
      await delay(pause, undefined, { signal: this.#closed.signal }).catch(() => undefined);
    }
  }

  /** What is under way is rejected. */
  close(): void {
    this.#closed.abort();
    for (const connection of this.#connections.values()) void connection.then((open) => open.close(), () => undefined);
    for (const connection of [...this.#spare.values()].flat()) connection.close();
    this.#connections.clear();
    this.#spare.clear();
  }

  #address(id: number): Address {
    const address = this.#brokers.get(id);
    if (address === undefined) throw new TailraceError('log-unreachable', `broker ${id} is not one of the cluster's any more`);
    return address;
  }

  async #connection(address: Address): Promise<Connection> {
    const known = this.#connections.get(name(address));
    const connection = await known;
    if (connection?.isUsable === true) return connection;
    // Somebody else may have seen the same, and have opened another one meanwhile.
    const other = this.#connections.get(name(address));
    if (other !== known && other !== undefined) return this.#connection(address);
    if (connection?.isIdle === true) connection.close();
    const opening = this.#open(address);
    this.#connections.set(name(address), opening);
    opening.catch(() => {
      if (this.#connections.get(name(address)) === opening) this.#connections.delete(name(address));
    });
    return opening;
  }

  async #open(address: Address): Promise<Connection> {
    const connection = await Connection.open(address.host, address.port, this.#options);
    if (!this.#closed.signal.aborted) return connection;
    connection.close();
    throw new TailraceError('log-unreachable', 'the connections to Kafka are closed');
  }
}

/** For an attempt: a refusal that may pass, or one for good. */
export function againOrThrow(code: number, what: string, message?: string | null): Again {
  const error = kafkaError(code, what, message);
  if (isPassing(code)) return new Again(error);
  throw error;
}

function name({ host, port }: Address): string {
  return `${host}:${port}`;
}

/** `host:port`, with an IPv6 address in brackets. */
function parseAddress(text: string): Address {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../src/cli/demo/embedded-postgres.ts';
import { stopWithParent } from '../../src/cli/demo/process-tree.ts';
import { eventually } from './wait.ts';

export interface KafkaOptions {
  /** The folder with Kafka's jars (kafka-jars.ts). */
  readonly libs: string;
  readonly brokers?: number;
  /** Of the brokers, in their order, where they have to be known before; free ones unless told. */
  readonly ports?: readonly number[];
  /** Lines of server.properties, over those below; the same for each broker. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Options of Java in place of those for tests, which start soon and take little. */
  readonly jvm?: readonly string[];
  /** The protocol of the port that clients use; PLAINTEXT unless told. What it needs stands in `settings`. */
  readonly protocol?: 'PLAINTEXT' | 'SSL' | 'SASL_PLAINTEXT' | 'SASL_SSL';
}

/** Real brokers of our own, each a process that can be killed. */
export interface KafkaCluster {
  readonly brokers: readonly KafkaBroker[];
  /** `host:port` of each, as clients are told. */
  readonly addresses: readonly string[];
  /** Kills what still runs and removes its data. */
  remove(): Promise<void>;
}

/** Starts brokers that are controllers too, and waits until each takes clients. */
export async function startKafkaCluster(options: KafkaOptions): Promise<KafkaCluster> {
  const directory = await mkdtemp(join(tmpdir(), 'tailrace-kafka-'));
  const nodes: Node[] = [];
  for (let id = 1; id <= (options.brokers ?? 1); id++) nodes.push({ id, port: options.ports?.[id - 1] ?? (await freePort()), controllerPort: await freePort() });
  const brokers = nodes.map((node) => new KafkaBroker(join(directory, String(node.id)), node, { ...options, nodes }));
  const remove = async (): Promise<void> => {
    await Promise.all(brokers.map((broker) => broker.kill()));
    await rm(directory, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const clusterId = uuid();
    await Promise.all(brokers.map((broker) => broker.format(clusterId)));
    await Promise.all(brokers.map((broker) => broker.start()));
  } catch (error) {
    await remove();
    throw error;
  }
  return { brokers, addresses: brokers.map((broker) => broker.address), remove };
}

interface Node {
  readonly id: number;
  readonly port: number;
  readonly controllerPort: number;
}

export class KafkaBroker {
  readonly id: number;
  readonly address: string;
  readonly #directory: string;
  readonly #node: Node;
  readonly #options: KafkaOptions & { readonly nodes: readonly Node[] };
  #process: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  constructor(directory: string, node: Node, options: KafkaOptions & { readonly nodes: readonly Node[] }) {
    this.id = node.id;
    this.address = `127.0.0.1:${node.port}`;
    this.#directory = directory;
    this.#node = node;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** What StorageTool does, without the second that its JVM takes: the broker makes everything else by itself. */
  async format(clusterId: string): Promise<void> {
    const data = join(this.#directory, 'data');
    await mkdir(data, { recursive: true });
    await writeFile(join(data, 'meta.properties'), lines({ version: '1', 'cluster.id': clusterId, 'node.id': String(this.id), 'directory.id': uuid() }));
    await writeFile(join(this.#directory, 'server.properties'), lines(this.#settings(data)));
  }

  /** Resolves when it takes clients. */
  async start(): Promise<void> {
    const output = await open(this.#log, 'a');
    const jvm = this.#options.jvm ?? ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
    const args = [...jvm, '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', join(this.#options.libs, '*'), 'kafka.Kafka', join(this.#directory, 'server.properties')];
    // Detached: Ctrl-C in a terminal must reach the tests alone; who stops the broker is theirs to say.
    const child = spawn('java', args, { cwd: this.#directory, detached: true, stdio: ['ignore', output.fd, output.fd] });
    await output.close();
    this.#process = child;
    const dismiss = child.pid === undefined ? () => {} : stopWithParent(child.pid, this.#directory, 'KILL');
    let ended = false;
    this.#exited = new Promise((done) => {
      const gone = (): void => {
        ended = true;
        this.#process = undefined;
        dismiss();
        done();
      };
      child.once('exit', gone);
      child.once('error', gone);
    });
    await eventually(async () => ended || (await takesConnections(this.#node.port)), { what: `broker ${this.id}`, timeoutMs: 90_000 });
    if (ended) throw new Error(`broker ${this.id} did not start:\n${(await this.output()).slice(-4000)}`);
  }

  /** At once, as a power cut does (without the loss of the page cache). */
  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#exited;
  }

  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): void {
    this.#process?.kill(name);
  }

  output(): Promise<string> {
    return readFile(this.#log, 'utf8');
  }

  get #log(): string {
    return join(this.#directory, 'output.log');
  }

  #settings(data: string): Record<string, string> {
    const { nodes, protocol = 'PLAINTEXT', settings } = this.#options;
    const copies = String(Math.min(3, nodes.length));
    return {
      'process.roles': 'broker,controller',
      'node.id': String(this.id),
      'controller.quorum.voters': nodes.map(({ id, controllerPort }) => `${id}@127.0.0.1:${controllerPort}`).join(','),
      'listeners': `${protocol}://127.0.0.1:${this.#node.port},CONTROLLER://127.0.0.1:${this.#node.controllerPort}`,
      'advertised.listeners': `${protocol}://127.0.0.1:${this.#node.port}`,
      'inter.broker.listener.name': protocol,
      'listener.security.protocol.map': `${protocol}:${protocol},CONTROLLER:PLAINTEXT`,
      'controller.listener.names': 'CONTROLLER',
      'log.dirs': data,
      'auto.create.topics.enable': 'false',
      // A restarted broker is let in only when its old registration has expired, which is 9 s by default.
      'broker.session.timeout.ms': nodes.length === 1 ? '1000' : '3000',
      'broker.heartbeat.interval.ms': '200',
      'controller.quorum.election.timeout.ms': '200',
      'controlled.shutdown.enable': 'false',
      'group.initial.rebalance.delay.ms': '0',
      'offsets.topic.num.partitions': '1',
      'offsets.topic.replication.factor': copies,
      'transaction.state.log.num.partitions': '1',
      'transaction.state.log.replication.factor': copies,
      'transaction.state.log.min.isr': '1',
      ...settings,
    };
  }
}

function lines(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings).map(([name, value]) => `${name}=${value}\n`).join('');
}

/** As Kafka writes them: 16 bytes in base64url. */
function uuid(): string {
  return randomBytes(16).toString('base64url');
}

/** The port for clients is opened last, when the broker serves them. */
function takesConnections(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
    socket.once('connect', () => socket.destroy());
  });
}

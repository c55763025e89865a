import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PipelineStatus } from '../../pipeline/status.ts';
import type { Terminal } from '../terminal.ts';
import { DemoDaemon, EventTail, runTailrace } from './daemon.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './embedded-postgres.ts';
import { ShopTraffic } from './shop.ts';

export interface DemoOptions {
  /** How long the traffic runs; null: until the signal aborts. */
  readonly seconds: number | null;
  readonly signal: AbortSignal;
  readonly terminal: Terminal;
}

const sessions = 4;

/**
 * A real Postgres, live traffic, two replicas, a daemon that is killed once, and the proof that both replicas are equal.
 * Resolves with the exit code: 0 only if they were.
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const { terminal } = options;
  const { bold, dim, green, red } = terminal.style;
  const folder = await mkdtemp(join(tmpdir(), 'tailrace-demo-'));
  terminal.out(`${bold('Tailrace demo')}  ${dim(`everything it makes is in ${folder}`)}`);
  terminal.out('starting a real Postgres …');
  const server = await startEmbeddedPostgres();
  let daemon: DemoDaemon | null = null;
  try {
    const place = await prepare(server, folder);
    const traffic = await ShopTraffic.create(place.shop, sessions);
    terminal.out(`a shop with 5 tables stands in the database ${bold('shop')} (${place.shop}); ${sessions} sessions buy, pay, cancel and browse`);
    if (options.seconds === null) terminal.out('Ctrl-C stops the traffic and compares');
    traffic.start(sessions);
    daemon = new DemoDaemon({ connector: place.connector, port: place.port, logFile: join(folder, 'daemon.log') });
    daemon.start();
    terminal.out(`the daemon runs: ${dim(`tailrace run ${place.connector}`)}`);
    await watch({ daemon, traffic, connector: place.connector }, options);
    terminal.out('the traffic stops; the last changes arrive …');
    await traffic.stop();
    const code = await verify(place.connector, terminal);
    terminal.out(
      code === 0
        ? green(`both replicas are equal to the source, after ${traffic.committed.toLocaleString('en')} transactions and a kill -9`)
        : red('a replica is not equal to the source'),
    );
    look(terminal, { folder, connector: place.connector });
    return code === 0 ? 0 : 4;
  } finally {
    await daemon?.stop();
    await server.remove();
  }
}

interface Place {
  readonly shop: string;
  readonly connector: string;
  readonly port: number;
}

async function prepare(server: EmbeddedPostgres, folder: string): Promise<Place> {
  const shop = await server.createDatabase('shop');
  const reporting = await server.createDatabase('reporting');
  const port = await freePort();
  const connector = join(folder, 'shop.yaml');
  await mkdir(join(folder, 'log'));
  await writeFile(connector, [
    'name: shop',
    'source:',
    '  type: postgres',
    `  url: ${shop}`,
    '  tables:',
    '    include: [public.*]',
    'log:',
    '  type: embedded',
    `  directory: ${join(folder, 'log')}`,
    'sinks:',
    '  - name: reporting',
    '    type: postgres',
    `    url: ${reporting}`,
    '  - name: local',
    '    type: sqlite',
    `    path: ${join(folder, 'shop.sqlite')}`,
    '',
  ].join('\n'));
  return { shop, connector, port };
}

interface Running {
  readonly daemon: DemoDaemon;
  readonly traffic: ShopTraffic;
  readonly connector: string;
}

/**
 * A line a second: what is captured, where each replica is, and the newest event of a topic. In the middle the daemon is killed
 * and started again.
 */
async function watch(running: Running, options: DemoOptions): Promise<void> {
  const { daemon, traffic } = running;
  const { seconds, signal, terminal } = options;
  const length = seconds ?? Number.POSITIVE_INFINITY;
  const killAt = Math.min(10, Math.floor(length / 2));
  let events: EventTail | null = null;
  try {
    for (let second = 1; second <= length && !signal.aborted; second++) {
      await delay(1000);
      daemon.check();
      const status = (await daemon.status())?.pipelines[0];
      terminal.out(progressLine(second, traffic.committed, status, terminal));
      if ((status?.source?.events ?? 0) > 0) events ??= new EventTail('shop.public.orders', running.connector);
      const event = events?.take() ?? null;
      if (event !== null) terminal.out(terminal.style.dim(`        newest order event: ${event.slice(0, Math.max(60, terminal.width - 28))}`));
      if (second === killAt) await killOnce(daemon, terminal);
    }
  } finally {
    events?.stop();
  }
}

async function killOnce(daemon: DemoDaemon, terminal: Terminal): Promise<void> {
  const { style } = terminal;
  terminal.out(style.yellow(`kill -9 ${daemon.pid}: the daemon is gone in the middle of everything …`));
  await daemon.kill9();
  await delay(1000);
  terminal.out(`… and ${style.bold('is started again')}: it goes on where its log ends, and counts from 0`);
  daemon.start();
}

function progressLine(second: number, committed: number, status: PipelineStatus | undefined, { style }: Terminal): string {
  const head = `${String(second).padStart(4)} s  ${committed.toLocaleString('en').padStart(7)} committed`;
  if (status === undefined) return `${head}  ${style.dim('the daemon does not answer yet')}`;
  const events = (status.source?.events ?? 0).toLocaleString('en');
  const sinks = status.sinks.map((sink) => {
    const lag = sink.behindTransactions === 0 ? 'up to date' : sink.lagMs === null ? sink.state : `${sink.lagMs} ms behind`;
    return `${sink.name}: ${sink.applied.toLocaleString('en')} applied, ${lag}`;
  });
  return [head, `${events} events in the log (${status.state})`, ...sinks].join('  ·  ');
}

async function verify(connector: string, terminal: Terminal): Promise<number> {
  terminal.out(`comparing: ${terminal.style.dim(`tailrace verify ${connector}`)}`);
  return runTailrace(['verify', connector], (line) => terminal.out(`  ${line}`));
}

function look(terminal: Terminal, place: { readonly folder: string; readonly connector: string }): void {
  terminal.out('');
  terminal.out(terminal.style.bold('To look at it yourself'));
  const lines = [
    ['events of a table', `node bin/tailrace.mjs consume shop.public.orders ${place.connector} --from-beginning --max-messages 5`],
    ['topics', `node bin/tailrace.mjs topics list ${place.connector}`],
    ['the SQLite replica', `sqlite3 ${join(place.folder, 'shop.sqlite')} 'SELECT * FROM orders LIMIT 5'`],
    ['the daemon\'s log', `less ${join(place.folder, 'daemon.log')}`],
    ['and your own', 'edit connectors/shop.yaml, then: node bin/tailrace.mjs check connectors/shop.yaml'],
  ];
  for (const [what, how] of lines) terminal.out(`  ${(what ?? '').padEnd(20)}${how}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

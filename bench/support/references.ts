import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freshName, type Arena, type Contender } from './contender.ts';
import { cpuSeconds, peakMemory, serverCpuSeconds, until, type Cpu, type Measured } from './meter.ts';
import { Probe } from './server.ts';

/** A subscription between the same two servers. */
export class Subscription implements Contender {
  readonly what: string;
  readonly database: string;
  readonly #arena: Arena;
  readonly #probe: Probe;

  private constructor(arena: Arena, parts: { what: string; database: string; probe: Probe }) {
    this.#arena = arena;
    this.what = parts.what;
    this.database = parts.database;
    this.#probe = parts.probe;
  }

  /** The memory is its walsender's `logical_decoding_work_mem`; the server's unless told. */
  static async create(arena: Arena, { streaming = 'off', decodingMemory }: { readonly streaming?: 'off' | 'parallel'; readonly decodingMemory?: string } = {}): Promise<Subscription> {
    const database = freshName('native');
    const { source, replica, shop, workload } = arena;
    await replica.createDatabase(database);
    await replica.sql(workload.setup, undefined, database);
    await source.sql(`SELECT pg_create_logical_replication_slot('${database}', 'pgoutput')`, [], shop);
    await replica.sql(
      `CREATE SUBSCRIPTION ${database} CONNECTION '${source.url(shop)}${decodingMemory === undefined ? '' : `?options=-c%20logical_decoding_work_mem%3D${decodingMemory}`}' PUBLICATION bench
       WITH (create_slot = false, slot_name = ${database}, enabled = false, copy_data = false, streaming = ${streaming})`, [], database);
    const what = ['subscription', streaming === 'off' ? undefined : `streaming = ${streaming}`, decodingMemory].filter((part) => part !== undefined).join(', ');
    return new Subscription(arena, { what, database, probe: await Probe.open(replica.url(database), workload.progress) });
  }

  async start(): Promise<void> {
    await this.#arena.replica.sql(`ALTER SUBSCRIPTION ${this.database} ENABLE`, [], this.database);
  }

  async ready(): Promise<void> {
    const { source, shop } = this.#arena;
    await until(async () => (await source.sql('SELECT 1 FROM pg_stat_replication WHERE application_name = $1', [this.database], shop)).length > 0);
  }

  seen(total: number): Promise<number> {
    return this.#probe.seen(total);
  }

  cpu(): Cpu {
    return { source: serverCpuSeconds(this.#arena.source.pid), replica: serverCpuSeconds(this.#arena.replica.pid) };
  }

  peak(): number {
    return Number.NaN;
  }

  async remove(): Promise<void> {
    await this.#probe.close();
    await this.#arena.replica.sql(`ALTER SUBSCRIPTION ${this.database} DISABLE`, [], this.database);
    await this.#arena.replica.sql(`ALTER SUBSCRIPTION ${this.database} SET (slot_name = NONE)`, [], this.database);
    await this.#arena.replica.sql(`DROP SUBSCRIPTION ${this.database}`, [], this.database);
  }
}

/** `pg_recvlogical` writing the stream to a file; of any version from 15 on, since the protocol has not changed. */
export class Recvlogical implements Contender {
  readonly what = 'pg_recvlogical';
  readonly database = null;
  readonly #arena: Arena;
  readonly #slot: string;
  readonly #directory = mkdtempSync(join(tmpdir(), 'tailrace-bench-'));
  #child: ChildProcess | null = null;
  #exited: Promise<unknown> = Promise.resolve();

  private constructor(arena: Arena, slot: string) {
    this.#arena = arena;
    this.#slot = slot;
  }

  /** Null, with a word about it, where there is none. */
  static async create(arena: Arena): Promise<Recvlogical | null> {
    if (spawnSync('pg_recvlogical', ['--version']).status !== 0) {
      console.log('pg_recvlogical is not on the PATH (Debian has it in postgresql-client): there is no reference for reading alone');
      return null;
    }
    const slot = freshName('recvlogical');
    await arena.source.sql(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`, [], arena.shop);
    return new Recvlogical(arena, slot);
  }

  async start(): Promise<void> {
    const { source, shop } = this.#arena;
    const [now] = await source.sql<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn', [], shop);
    const args = ['-d', source.url(shop), '-S', this.#slot, '--start', '-f', this.#file, '--no-loop', '-E', now?.lsn ?? ''];
    this.#child = spawn('pg_recvlogical', [...args, '-o', 'proto_version=1', '-o', 'publication_names=bench'], { stdio: 'inherit' });
    this.#exited = once(this.#child, 'exit');
  }

  async ready(): Promise<void> {}

  async seen(): Promise<number> {
    return statSync(this.#file, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** From the first byte to its end, which includes the last fsync of its file. */
  async run(total: number): Promise<Measured> {
    const began = performance.now();
    while ((await this.seen()) === 0) await delay(5);
    const first = { at: performance.now(), cpu: this.cpu() };
    let cpu = first.cpu;
    const timer = setInterval(() => (cpu = this.cpu()['ours'] === 0 ? cpu : this.cpu()), 10);
    await this.#exited;
    clearInterval(timer);
    const at = performance.now();
    return {
      start: (first.at - began) / 1000,
      seconds: (at - first.at) / 1000,
      rows: total,
      cpu: Object.fromEntries(Object.entries(cpu).map(([who, seconds]) => [who, seconds - (first.cpu[who] ?? 0)])),
    };
  }

  cpu(): Cpu {
    this.#peak = peakMemory(this.#child?.pid) || this.#peak;
    return { ours: cpuSeconds(this.#child?.pid), source: serverCpuSeconds(this.#arena.source.pid) };
  }

  #peak = Number.NaN;

  peak(): number {
    return this.#peak;
  }

  async remove(): Promise<void> {
    this.#child?.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get #file(): string {
    return join(this.#directory, 'stream');
  }
}

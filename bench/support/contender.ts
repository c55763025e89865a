import type { EmbeddedPostgres } from '../../src/cli/demo/embedded-postgres.ts';
import { watch, type Cpu, type Measured } from './meter.ts';
import { options } from './options.ts';
import type { Run } from './table.ts';
import type { Workload } from './workloads.ts';

/** Two servers and a source database with the workload's tables and the publication `bench`. */
export interface Arena {
  readonly source: EmbeddedPostgres;
  readonly replica: EmbeddedPostgres;
  /** Name of the source database. */
  readonly shop: string;
  readonly workload: Workload;
}

export async function makeShop(arena: Arena): Promise<void> {
  await arena.source.createDatabase(arena.shop);
  await arena.source.sql(arena.workload.setup, undefined, arena.shop);
  await arena.source.sql(`CREATE PUBLICATION bench FOR TABLE ${arena.workload.tables.join(', ')}`, [], arena.shop);
}

/**
 * Someone who brings changes from the source elsewhere. Made before the changes are, so that its slot is there; then it is
 * started and watched, each of them by itself.
 */
export interface Contender {
  readonly what: string;
  start(): Promise<void>;
  /** Resolves when it streams. */
  ready(): Promise<void>;
  seen(total: number): Promise<number>;
  cpu(): Cpu;
  peak(): number;
  /** From its start until all of a backlog has arrived, where `seen` cannot tell. */
  run?(total: number): Promise<Measured>;
  /** The replica's database, for a comparison; null where there is none. */
  readonly database: string | null;
  remove(): Promise<void>;
}

/** A backlog is there: from the start until all of it has arrived. */
export async function measure(contender: Contender, total: number): Promise<Run> {
  await contender.start();
  const measured = (await contender.run?.(total)) ?? (await watch(total, contender));
  return { what: contender.what, ...measured, peak: contender.peak() };
}

/** One after the other, each removed behind its run; `check` looks at what it has made. */
export async function measureEach(contenders: readonly Contender[], total: number, check?: (contender: Contender) => Promise<void>): Promise<readonly Run[]> {
  const runs: Run[] = [];
  for (const contender of contenders) {
    if (options.only !== undefined && options.only !== contender.what) continue;
    runs.push(await measure(contender, total));
    await check?.(contender);
    await contender.remove();
  }
  return runs;
}

let made = 0;

/** A name that no other contender has: of a slot, a database, a pipeline. */
export function freshName(kind: string): string {
  return `${kind}_${++made}`;
}

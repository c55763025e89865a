import type { PipelineConfig } from '../config/pipeline-schema.ts';
import type { ConsumerGroups } from '../log/groups.ts';
import type { Lead } from '../log/log.ts';
import { createLog } from '../registry.ts';
import { failpoint } from '../runtime/failpoint.ts';
import { commandLogger } from '../runtime/logger.ts';

/** Longer than Kafka takes to let a first member in. */
const waitingAfter = 5000;

/** Opens the groups of a pipeline's log. */
export async function withGroups<T>(config: PipelineConfig, use: (groups: ConsumerGroups) => Promise<T>): Promise<T> {
  const groups = await openGroups(config);
  try {
    return await use(groups);
  } finally {
    await groups.close();
  }
}

async function openGroups(config: PipelineConfig): Promise<ConsumerGroups> {
  return (await createLog(config.log, { pipeline: config.name, logger: commandLogger })).openGroups();
}

/** One consumer's hold on a group, and how far it has come. */
export class ConsumingGroup {
  readonly #groups: ConsumerGroups;
  readonly #name: string;
  readonly #lead: Lead;
  readonly #offsets = new Map<string, number>();

  private constructor(groups: ConsumerGroups, name: string, lead: Lead) {
    this.#groups = groups;
    this.#name = name;
    this.#lead = lead;
  }

  /** Waits until no other consumer is the group. */
  static async join(config: PipelineConfig, name: string, { signal, onWaiting }: { readonly signal: AbortSignal; readonly onWaiting?: () => void }): Promise<ConsumingGroup> {
    const groups = await openGroups(config);
    const timer = setTimeout(() => onWaiting?.(), waitingAfter);
    try {
      const group = new ConsumingGroup(groups, name, await groups.hold(name, signal));
      for (const { topic, partition, offset } of await groups.read(name)) group.#offsets.set(keyOf(topic, partition), offset);
      return group;
    } catch (error) {
      await groups.close();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Aborts when another consumer may be the group by now. */
  get lost(): AbortSignal {
    return this.#lead.lost;
  }

  committed(topic: string, partition: number): number | undefined {
    return this.#offsets.get(keyOf(topic, partition));
  }

  /** Writes down where it goes on, as far as that has changed. */
  async commit(topic: string, places: readonly { readonly partition: number; readonly offset: number }[]): Promise<void> {
    const moved = places.filter(({ partition, offset }) => this.committed(topic, partition) !== offset).map(({ partition, offset }) => ({ topic, partition, offset }));
    // Who may have been replaced leaves it to who has replaced it.
    if (moved.length === 0 || this.lost.aborted) return;
    failpoint('consume.written_uncommitted');
    await this.#groups.commit(this.#name, moved);
    for (const { partition, offset } of moved) this.#offsets.set(keyOf(topic, partition), offset);
  }

  async leave(): Promise<void> {
    await this.#lead.release();
    await this.#groups.close();
  }
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}

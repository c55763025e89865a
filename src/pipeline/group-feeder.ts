import type { LogWriter } from '../log/log.ts';
import { Group } from './group.ts';
import type { StartGuard } from './start-guard.ts';
import type { Turnstile } from './turnstile.ts';

/** A group is handed over when it is this large; one more may be filled while it is on its way, so memory is twice this. */
const groupBytes = 1 << 20;

export interface FeederOptions {
  readonly writer: LogWriter;
  readonly transactionTopic: string;
  readonly turns: Turnstile;
  readonly guard: StartGuard;
  /** The group has become durable. */
  readonly durable: (group: Group) => void;
  /** The log refused a group: nothing more is handed over. */
  readonly failed: (error: unknown) => void;
}

/**
 * Hands groups to the log, one at a time; the next one is filled meanwhile. So groups are small when little happens and
 * large under load, and encoding overlaps with the log's fdatasync.
 */
export class GroupFeeder {
  readonly #options: FeederOptions;
  #group: Group;
  #flushing: Promise<void> | null = null;
  #hasFailed = false;
  /** Bytes handed over so far. */
  bytes = 0;

  constructor(options: FeederOptions) {
    this.#options = options;
    this.#group = this.#newGroup();
  }

  /** The group to fill. */
  get group(): Group {
    return this.#group;
  }

  get isFull(): boolean {
    return this.#group.bytes >= groupBytes;
  }

  /** Hands the group over unless one is on its way; then it follows as soon as that one is durable. */
  flush(): void {
    if (this.#flushing !== null || this.#group.isEmpty || this.#hasFailed) return;
    const group = this.#group;
    this.#group = this.#newGroup();
    this.bytes += group.bytes;
    this.#flushing = this.#options.turns.take(() => this.#append(group)).then(
      () => {
        this.#flushing = null;
        this.#options.durable(group);
        this.flush();
      },
      (error: unknown) => {
        this.#flushing = null;
        this.#hasFailed = true;
        this.#options.failed(error);
      },
    );
  }

  /** Not before it is known that it counts may anything else be appended, or acknowledged. */
  async #append(group: Group): Promise<void> {
    const written = await group.append();
    if (written !== null) await this.#options.guard.written(written, group.renewed);
  }

  /** Waits until the group may be filled on. */
  async makeRoom(): Promise<void> {
    while (this.isFull && !this.#hasFailed) {
      if (this.#flushing === null) this.flush();
      else await this.#flushing;
    }
  }

  /** Waits until every END is durable. An unfinished transaction has none: nobody will name its records, and it is sent again. */
  async drain(): Promise<void> {
    while ((this.#flushing !== null || this.#group.hasTransactionRecords) && !this.#hasFailed) {
      if (this.#flushing === null) this.flush();
      else await this.#flushing;
    }
  }

  /** Waits for what is on its way, whatever becomes of it: who takes the slot next must find every END that will ever be there. */
  async settled(): Promise<void> {
    // A group that has become durable hands over the next one.
    while (this.#flushing !== null) await this.#flushing;
  }

  #newGroup(): Group {
    return new Group(this.#options.writer, this.#options.transactionTopic);
  }
}

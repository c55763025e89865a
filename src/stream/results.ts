import { isAfter, type Position } from '../event/position.ts';
import { failpoint } from '../runtime/failpoint.ts';
import { decodeValue } from './canonical.ts';
import { Engine } from './engine.ts';
import { LoggedState, type LoggedStateOptions } from './logged-state.ts';
import { Outbox } from './outbox.ts';
import type { InputPlace, ResultStep, StreamOutputs } from './outputs.ts';
import { readTaken, refuseOther, writeTaken, type SpreadOf } from './spread.ts';
import { runOfUser } from './stream-session.ts';

/** A row that left a shard, as it is read. */
export interface ShardRow {
  readonly at: InputPlace;
  readonly operator: number;
  readonly times: number;
  readonly row: string;
}

/** What one shard gives, in the order of the input. */
export interface ShardRows {
  /** Up to where it is known what the shard gives. */
  readonly known: InputPlace | null;
  /** When that was committed at the source, microseconds since 1970. */
  readonly commitTime: bigint;
  /** Behind the last of its steps that was given whole. */
  readonly position: Position | null;
  look(place: InputPlace | null): Promise<void>;
  peek(place: InputPlace): ShardRow | null | Promise<ShardRow | null>;
  take(): void;
  wait(signal: AbortSignal): Promise<void>;
}

export interface ResultsOptions extends SpreadOf {
  readonly path: string;
  readonly openLog: () => Promise<LoggedStateOptions['log']>;
  readonly shapes: LoggedStateOptions['shapes'];
  readonly outputs: StreamOutputs;
  readonly openShard: (index: number, from: { readonly position: Position | null; readonly given: InputPlace | null }) => Promise<ShardRows>;
  /** Log and source of the input, as its START has them. */
  readonly input: () => Promise<Pick<Position, 'logId' | 'systemIdentifier'>>;
  /** Hears up to where all of a shard's rows are in the results. */
  readonly onTaken: (shards: readonly (Position | null)[]) => void;
}

/** What is shown of it. */
export interface ResultsProgress {
  readonly place: InputPlace | null;
  readonly commitTime: bigint;
  readonly applied: number;
  /** Nothing that the shards have given is still to be taken, as far as is known. */
  readonly waits: boolean;
}

const cutAfter = 5000;

/**
 * What lies behind the shards of a stream: it brings all of them to one place of the input, computes the rest of the plan, and writes the
 * outputs. So what is published is what one worker would have, at every place.
 */
export class Results {
  readonly #options: ResultsOptions;
  readonly #state: LoggedState;
  readonly #outbox: Outbox;
  readonly #engine: Engine;
  #shards: readonly ShardRows[] = [];
  #place: InputPlace | null = null;
  #commitTime = 0n;
  #applied = 0;
  #waits = false;

  private constructor(options: ResultsOptions, state: LoggedState) {
    this.#options = options;
    this.#state = state;
    this.#outbox = new Outbox({ definition: options.definition, state: state.state, outputs: options.outputs });
    this.#engine = new Engine(options.definition.plan, state.state, { kind: 'rest' });
  }

  static async open(options: ResultsOptions): Promise<Results> {
    const log = await options.openLog();
    let state: LoggedState | null = null;
    try {
      state = await LoggedState.open({ path: options.path, log, shapes: options.shapes });
      refuseOther(state.state, options);
      const results = new Results(options, state);
      await results.#open();
      return results;
    } catch (error) {
      await (state ?? log).close();
      throw error;
    }
  }

  get progress(): ResultsProgress {
    return { place: this.#place, commitTime: this.#commitTime, applied: this.#applied, waits: this.#waits };
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const shard of this.#shards) await shard.look(this.#place);
      const to = this.#reach();
      this.#waits = to === null && this.#shards.every(({ known }) => known === null || this.#place === null || !isAfter(known, this.#place));
      if (to !== null) await this.#step(to);
      else await this.#wait(signal);
    }
  }

  async close(): Promise<void> {
    await this.#outbox.close();
    await this.#state.close();
  }

  async #open(): Promise<void> {
    const { openShard, shards } = this.#options;
    const kept = readTaken(this.#state.state);
    this.#place = kept?.place ?? null;
    const opened: ShardRows[] = [];
    for (let index = 0; index < shards; index++) opened.push(await openShard(index, { position: kept?.shards[index] ?? null, given: this.#place }));
    this.#shards = opened;
    if (kept !== null) await this.#outbox.open({ ...kept.input, anew: false });
  }

  /** The place that every shard has reached; null where that is not further on. */
  #reach(): ResultStep | null {
    let least: ResultStep | null = null;
    for (const { known, commitTime } of this.#shards) {
      if (known === null) return null;
      if (least === null || isAfter(least.place, known)) least = { place: known, commitTime };
    }
    return least !== null && (this.#place === null || isAfter(least.place, this.#place)) ? least : null;
  }

  async #step(step: ResultStep): Promise<void> {
    const { place: to, commitTime } = step;
    const input = readTaken(this.#state.state)?.input ?? (await this.#options.input());
    // Without a past they are taken with the first step.
    if (!this.#outbox.isOpen) await this.#outbox.open({ ...input, anew: true });
    await this.#outbox.idle();
    this.#state.begin();
    try {
      refuseOther(this.#state.state, { ...this.#options, settles: true });
      this.#outbox.begin();
      await this.#take(to);
      runOfUser(() => this.#engine.finish());
      const shards = this.#shards.map(({ position }) => position);
      writeTaken(this.#state.state, { place: to, shards, input });
      this.#outbox.keep(step);
      await this.#state.commit(step);
      failpoint('stream.committed');
      this.#place = to;
      this.#commitTime = commitTime;
      this.#options.onTaken(shards);
      await this.#outbox.publish(step);
    } catch (error) {
      this.#state.abort();
      throw error;
    }
    await this.#outbox.answer([]);
    await this.#state.settle();
  }

  /** Rows of all shards up to one place, in the order of the input. */
  async #take(to: InputPlace): Promise<void> {
    const heads: (ShardRow | null)[] = [];
    for (const shard of this.#shards) heads.push(await shard.peek(to));
    for (let taken = 0; ;) {
      let first = -1;
      for (const [i, head] of heads.entries()) {
        const other = heads[first];
        if (head !== null && (other == null || isAfter(other.at, head.at))) first = i;
      }
      const [head, shard] = [heads[first], this.#shards[first]];
      if (head == null || shard === undefined) return;
      runOfUser(() => this.#engine.deliver(head.operator, decodeValue(head.row), head.times));
      this.#applied++;
      shard.take();
      const next = shard.peek(to);
      heads[first] = next instanceof Promise ? await next : next;
      if (++taken % cutAfter === 0) this.#state.cut();
    }
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const behind = this.#shards.filter(({ known }) => known === null || this.#place === null || !isAfter(known, this.#place));
    await Promise.race(behind.map((shard) => shard.wait(either)));
    stop.abort();
  }
}

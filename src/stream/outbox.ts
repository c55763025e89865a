import { formatLsn, lsn } from '../event/lsn.ts';
import type { Position } from '../event/position.ts';
import { tableName } from '../event/table.ts';
import { tupleOf } from '../event/tuple.ts';
import { failpoint } from '../runtime/failpoint.ts';
import { decodeValue } from './canonical.ts';
import { shapeOf } from './output-types.ts';
import type { CopyAsk, InputPlace, OutputChange, ResultStep, StreamOutputs } from './outputs.ts';
import type { State } from './state.ts';
import type { StreamDefinition } from './stream.ts';

/** Changes that are handed to the outputs at a time. */
const piece = 2000;

/**
 * How results leave a state: they stand in it until they are published, so that they are published once, and sinks that ask get copies of what the
 * state has, between two of its transactions.
 */
export class Outbox {
  readonly #state: State;
  readonly #outputs: StreamOutputs;
  readonly #shapes: ReadonlyMap<number, OutputChange['shape']>;
  /** Whether the outputs were taken. */
  #isOpen = false;
  /** What is in it has been published. */
  #isPublished = false;
  #isPublishing = false;
  #isClosed = false;
  readonly #waiting: CopyAsk[] = [];
  /** Ids of what was asked here: it may be heard twice. */
  readonly #asked = new Set<string>();
  #copying: Promise<void> = Promise.resolve();

  constructor(of: { readonly definition: StreamDefinition; readonly state: State; readonly outputs: StreamOutputs }) {
    this.#state = of.state;
    this.#outputs = of.outputs;
    this.#shapes = new Map(of.definition.plan.operators.flatMap((operator) => (operator.kind === 'output' ? [[operator.id, shapeOf(operator.output)] as const] : [])));
    of.outputs.onAsk((ask) => void this.answer([ask]));
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Takes the outputs, and publishes what a crash has left unpublished. */
  async open({ logId, systemIdentifier, anew }: Pick<Position, 'logId' | 'systemIdentifier'> & { readonly anew: boolean }): Promise<void> {
    const { input: published, asks } = await this.#outputs.open({ shapes: [...this.#shapes.values()], logId, systemIdentifier, anew });
    this.#isOpen = true;
    const pending = readPending(this.#state);
    if (!anew && pending !== null) {
      if (published === null || isBehind(published, pending.place)) await this.publish(pending);
      else this.#isPublished = true;
    }
    await this.answer(asks);
  }

  /** Resolves when no copy is under way: it is of what the state has between two transactions. */
  idle(): Promise<void> {
    return this.#copying;
  }

  /** In a new transaction of the state: what was published goes. */
  begin(): void {
    if (this.#isPublished) this.#state.clearOutbox();
  }

  /** In the transaction: which step its results are of. */
  keep({ place, commitTime }: ResultStep): void {
    this.#state.setMeta('outbox', JSON.stringify({ epoch: place.epoch, commitLsn: formatLsn(place.commitLsn), commitTime: String(commitTime) }));
  }

  /** Behind the transaction. */
  async publish(step: ResultStep): Promise<void> {
    // Not before: a transaction that is given up leaves the outbox as it was.
    this.#isPublished = false;
    this.#isPublishing = true;
    let changes: OutputChange[] = [];
    let seq = 0;
    for (;;) {
      const posted = this.#state.posted(seq, piece);
      changes = posted.map(({ node, before, after }) => ({ shape: this.#shapes.get(node) as OutputChange['shape'], before: tuple(before), after: tuple(after) }));
      if (posted.length < piece) break;
      seq = (posted.at(-1) as { seq: number }).seq;
      await this.#outputs.publish(changes, step, false);
    }
    if (changes.length > 0 || seq > 0) {
      await this.#outputs.publish(changes, step, true);
      failpoint('stream.published');
    }
    this.#isPublished = true;
    this.#isPublishing = false;
  }

  /**
   * Copies of outputs for sinks that asked, one after the other, while no transaction is open and none is being published. What cannot be done now is asked for again
   * when the stream is opened next.
   */
  answer(asks: readonly CopyAsk[]): Promise<void> {
    this.#waiting.push(...asks.filter(({ id }) => !this.#asked.has(id)));
    for (const { id } of asks) this.#asked.add(id);
    if (!this.#isOpen || this.#isPublishing || this.#state.db.isTransaction) return Promise.resolve();
    this.#copying = this.#copying.then(async () => {
      for (let ask = this.#waiting.shift(); ask !== undefined && !this.#isClosed; ask = this.#waiting.shift()) await this.#copy(ask);
    });
    // Whoever begins next hears of it.
    this.#copying.catch(() => undefined);
    return this.#copying;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#copying.catch(() => undefined);
    await this.#outputs.close();
  }

  async #copy(ask: CopyAsk): Promise<void> {
    const [node, shape] = [...this.#shapes].find(([, shape]) => tableName(shape) === ask.table) ?? [];
    if (node === undefined || shape === undefined) return;
    for (let after = ''; ;) {
      const entries = this.#state.entriesAfter(node, after, piece);
      const last = entries.length < piece;
      await this.#outputs.publishCopy(ask, { shape, rows: entries.map(({ value }) => tuple(value) as Uint8Array), last });
      if (last) return;
      after = (entries.at(-1) as { key: string }).key;
    }
  }
}

function tuple(texts: string | null): Uint8Array | null {
  return texts === null ? null : tupleOf(decodeValue(texts) as (string | null)[]);
}

function isBehind(a: InputPlace, b: InputPlace): boolean {
  return a.epoch !== b.epoch ? a.epoch < b.epoch : a.commitLsn < b.commitLsn;
}

function readPending(state: State): ResultStep | null {
  const text = state.meta('outbox');
  if (text === null) return null;
  const { epoch, commitLsn, commitTime } = JSON.parse(text) as { epoch: number; commitLsn: string; commitTime: string };
  return { place: { epoch, commitLsn: lsn(commitLsn) }, commitTime: BigInt(commitTime) };
}

import type { Codec } from '../codec/codec.ts';
import type { Column, TableShape } from '../event/table.ts';
import { KIND_TEXT, TupleReader } from '../event/tuple.ts';
import type { Log, LogReader, LogWriter } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { EndRecord } from './control-records.ts';
import { EndFollower, isLink, type Step } from './end-follower.ts';
import { SchemaReader } from './schema-reader.ts';
import { StreamPublisher, type StreamStep } from './stream-publisher.ts';
import { endMark, isWhole } from './stream-records.ts';
import type { TopicNames } from './topics.ts';
import { TransactionReader } from './transaction-reader.ts';
import { Turnstile } from './turnstile.ts';

const column = (name: string, at: number, typeOid: number): Column => ({ name, attnum: at + 1, typeOid, typmod: -1, type: typeOid === 17 ? 'bytea' : 'text', baseTypeOid: typeOid, notNull: true });

/** Pieces of a state: what a step changed in it, or all of it. A piece may take several rows, the last of which says so. */
export const piecesShape: TableShape = { relid: 1, schema: 'state', name: 'pieces', columns: [column('last', 0, 25), column('bytes', 1, 17)], key: [], replicaIdentity: 'nothing' };

/** Rows that leave a shard: the place of the input that they are of, the operator that gave them, how often, and the row. */
export const rowsShape: TableShape = {
  relid: 2, schema: 'state', name: 'rows', columns: ['at', 'operator', 'times', 'row'].map((name, at) => column(name, at, 25)), key: [], replicaIdentity: 'nothing',
};

export interface StateLogOptions {
  readonly log: Log;
  readonly pipeline: string;
  readonly topics: TopicNames;
  /** For people. */
  readonly name: string;
  /** Of its own: nobody else reads these topics. */
  readonly codec: Codec;
  readonly shapes: readonly TableShape[];
  /** So many bytes of changes at least, before the whole state is written once more. */
  readonly wholeAfter?: number;
}

/** A piece of a state as it is read back. */
export interface StatePiece {
  readonly kind: 'whole' | 'change';
  /** The last of it. */
  readonly last: boolean;
  readonly bytes: Uint8Array;
}

const readBytes = 1 << 20;
/** Of changes, before the whole state is written once more; or twice what that took, if it is more. */
const leastBetweenWholes = 16 << 20;

/**
 * The state of one task of a stream, in the log: what each step changed, with what the step gives to others, in one transaction. So it
 * is restored wherever the task is taken up, and what a worker that was replaced still writes counts for nobody. From time to time the
 * state is written whole, and what stands before goes.
 */
export class StateLog {
  readonly #options: StateLogOptions;
  readonly #publisher: StreamPublisher;
  readonly #writer: LogWriter;
  readonly #reader: LogReader;
  /** From the last whole state on, or from the beginning. */
  readonly #steps: readonly Step[];
  #step: StreamStep | null = null;
  #sinceWhole: number;
  #whole: number;
  /** Where the last whole state begins, in `transaction`. */
  #wholeStart: number;
  /** Where the one that is being written begins. */
  #wholeAt: number | null = null;
  #wantsWhole = false;

  private constructor(options: StateLogOptions, parts: { readonly publisher: StreamPublisher; readonly writer: LogWriter; readonly reader: LogReader; readonly steps: readonly Step[] }) {
    this.#options = options;
    this.#publisher = parts.publisher;
    this.#writer = parts.writer;
    this.#reader = parts.reader;
    this.#steps = parts.steps;
    const whole = parts.steps.filter(({ end }) => isWhole(end));
    this.#wholeStart = whole[0]?.offset ?? 0;
    this.#whole = bytesOf(whole);
    this.#sinceWhole = bytesOf(parts.steps) - this.#whole;
  }

  static async open(options: StateLogOptions): Promise<StateLog> {
    const { log, pipeline, topics, codec, shapes, name } = options;
    const writer = await log.openWriter();
    let reader: LogReader | null = null;
    try {
      reader = await log.openReader();
      await Promise.all([topics.transaction, topics.schema].map((topic) => writer.createTopic({ topic, partitions: 1 })));
      const own = { pipeline, stream: name, topics, writer, reader, codec, turns: new Turnstile(), sinks: [], isOnlyWriter: log.writers === 'one' };
      const publisher = await StreamPublisher.open(own, { shapes, logId: writer.logId, systemIdentifier: '', anew: false, internal: true });
      return new StateLog(options, { publisher, writer, reader, steps: await stepsOf(reader, topics.transaction) });
    } catch (error) {
      await reader?.close();
      await writer.close();
      throw error;
    }
  }

  /** For retention. */
  get publisher(): StreamPublisher {
    return this.#publisher;
  }

  /** What a step is known by that nothing has followed; null where there is no state. */
  get last(): string | null {
    const step = this.#steps.findLast(({ end }) => !isWhole(end));
    const end = step?.end ?? this.#steps.at(-1)?.end;
    return end === undefined ? null : endMark(end);
  }

  /** From which START on this log has to be kept; retention asks for a new one by `request`. */
  get cornerstone(): number {
    return Math.min(this.#wholeStart, this.#publisher.start.cornerstone);
  }

  /** Retention could let go of more. */
  request(): void {
    this.#wantsWhole = true;
  }

  /** What a state that ends at `mark` lacks; null for what makes one from nothing. Undefined where the log does not know the mark: then it has to be from nothing. */
  since(mark: string | null): AsyncIterable<StatePiece> | undefined {
    if (mark === null) {
      const [first] = this.#steps;
      if (first !== undefined && !isWhole(first.end) && first.end.previous.commitLsn !== 0n) {
        throw new TailraceError('gap', `the state of ${this.#options.name} is no longer whole in ${this.#options.topics.transaction}`, { remedy: 'Run tailrace streams reset for the stream: it is computed anew.' });
      }
      return this.#read(this.#steps);
    }
    const at = this.#steps.findIndex(({ end }) => endMark(end) === mark);
    return at < 0 ? undefined : this.#read(this.#steps.slice(at + 1).filter(({ end }) => !isWhole(end)));
  }

  begin(step: StreamStep): string {
    this.#step = step;
    return this.#publisher.begin(step);
  }

  /** Tuples of the step that was begun; with the `last` all of them are durable, or whoever has replaced this worker is. */
  async publish(rows: readonly { readonly shape: TableShape; readonly tuple: Uint8Array }[], last: boolean): Promise<void> {
    this.#sinceWhole += rows.reduce((sum, { tuple }) => sum + tuple.length, 0);
    await this.#publisher.publish(rows.map(({ shape, tuple }) => ({ shape, before: null, after: tuple })), this.#step as StreamStep, last);
  }

  /** So much has changed since the state was written whole that it is worth while again. */
  get isLong(): boolean {
    return (this.#wantsWhole && this.#sinceWhole > this.#whole) || this.#sinceWhole > Math.max(this.#options.wholeAfter ?? leastBetweenWholes, 2 * this.#whole);
  }

  /** Pieces of the whole state, between two steps. */
  async publishWhole(tuples: readonly Uint8Array[], last: boolean): Promise<void> {
    if (this.#wholeAt === null) {
      this.#wholeAt = this.#writer.range(this.#options.topics.transaction, 0).end;
      this.#whole = 0;
    }
    this.#whole += tuples.reduce((sum, tuple) => sum + tuple.length, 0);
    await this.#publisher.publishWhole(tuples.map((after) => ({ shape: piecesShape, before: null, after })), last);
    if (!last) return;
    this.#wholeStart = this.#wholeAt;
    this.#wholeAt = null;
    this.#sinceWhole = 0;
    this.#wantsWhole = false;
  }

  async close(): Promise<void> {
    await this.#reader.close();
    await this.#writer.close();
  }

  async *#read(steps: readonly Step[]): AsyncGenerator<StatePiece> {
    const { topics, codec } = this.#options;
    const topic = topics.events(piecesShape);
    const reader = new TransactionReader(this.#reader, new SchemaReader(this.#reader, topics.schema), codec);
    const shares = steps.flatMap(({ end }) => end.parts.filter((part) => part.topic === topic).map((part) => ({ end, part, tag: isWhole(end) ? ('whole' as const) : ('change' as const) })));
    const tuple = new TupleReader();
    for await (const run of reader.read(shares, readBytes)) {
      for (const change of run.changes) {
        if (change.op === 't') continue;
        tuple.reset(change.bytes, change.newAt);
        tuple.next();
        const last = change.bytes[tuple.start] === yes;
        tuple.next();
        yield { kind: run.tag, last, bytes: change.bytes.subarray(tuple.start, tuple.end) };
      }
    }
  }
}

/**
 * The state of a task counts no longer: a START says so, and an END by which whoever goes on from there knows the chain. Half of a stream that
 * is begun anew is noticed by whoever reads the other half.
 */
export async function forgetTask(of: Omit<StateLogOptions, 'log' | 'shapes'> & { readonly writer: LogWriter; readonly reader: LogReader; readonly isOnlyWriter?: boolean }): Promise<void> {
  const { writer, topics, name, isOnlyWriter = true } = of;
  const shapes = [piecesShape, rowsShape];
  await StreamPublisher.open({ ...of, stream: name, turns: new Turnstile(), sinks: [], isOnlyWriter }, { shapes, logId: writer.logId, systemIdentifier: '', anew: true, internal: true });
  await writer.trim(topics.transaction, 0, writer.range(topics.transaction, 0).end - 2);
  for (const shape of shapes) await writer.trim(topics.events(shape), 0, writer.range(topics.events(shape), 0).end);
}

const yes = 0x74;

/** A row of `piecesShape`: bytes stand in it as they are. */
export function pieceTuple(bytes: Uint8Array, last: boolean): Uint8Array {
  const tuple = Buffer.alloc(2 + 5 + 1 + 5 + bytes.length);
  tuple.writeUInt16BE(2);
  tuple[2] = KIND_TEXT;
  tuple.writeUInt32BE(1, 3);
  tuple[7] = last ? yes : 0x66;
  tuple[8] = KIND_TEXT;
  tuple.writeUInt32BE(bytes.length, 9);
  tuple.set(bytes, 13);
  return tuple;
}

/** Of what counts, from the last whole state on; nothing from before a START that says that the state was given up. */
async function stepsOf(reader: LogReader, topic: string): Promise<readonly Step[]> {
  const follower = await EndFollower.behind(reader, topic, null);
  let found: Step[] = [];
  for (;;) {
    const steps = await follower.next(Number.POSITIVE_INFINITY, 4096);
    if (steps.length === 0) return follower.isAfterGap ? [] : found;
    for (const step of steps) {
      if (step.afterGap || isWhole(step.end)) found = [];
      if (isLink(step.end)) found.push(step);
    }
  }
}

function bytesOf(steps: readonly Step[]): number {
  const bytes = (end: EndRecord): number => end.parts.reduce((sum, part) => sum + part.bytes, 0);
  return steps.reduce((sum, { end }) => sum + bytes(end), 0);
}

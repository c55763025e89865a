import type { Codec } from '../codec/codec.ts';
import { lsn } from '../event/lsn.ts';
import { isAfter, type Position } from '../event/position.ts';
import { tupleTexts } from '../event/tuple.ts';
import type { LogReader } from '../log/log.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Place } from './control-records.ts';
import { EndFollower, isLink, positionOf, type Step } from './end-follower.ts';
import { SchemaReader } from './schema-reader.ts';
import { rowsShape } from './state-log.ts';
import { isWhole } from './stream-records.ts';
import type { TopicNames } from './topics.ts';
import { TransactionReader } from './transaction-reader.ts';

/** A row that left a shard. */
export interface ShardRow {
  /** The transaction of the input that it is of. */
  readonly at: Place;
  readonly operator: number;
  readonly times: number;
  /** As `encodeValue` writes it. */
  readonly row: string;
}

/** ENDs, and rows, that are looked at ahead of the other shards. */
const aheadBytes = 4 << 20;
const aheadSteps = 1024;
const readBytes = 1 << 20;

/**
 * What one shard of a stream gives, in the order of the input. A step of it may hold rows of many transactions of the input: others stand at
 * other places, and all of them are brought to the same one row by row.
 */
export class ShardFeed {
  readonly #topics: TopicNames;
  readonly #follower: EndFollower;
  readonly #events: TransactionReader;
  /** Looked at, and not all given yet. */
  readonly #steps: Step[] = [];
  #rows: AsyncGenerator<readonly ShardRow[]> | null = null;
  #piece: readonly ShardRow[] = [];
  #next = 0;
  /** Behind the last of the steps that were looked at. */
  #known: Place | null = null;
  #commitTime = 0n;
  #isNew: boolean;
  /** Rows up to here were given before this one was opened. */
  readonly #given: Place | null;
  #position: Position | null;

  private constructor(of: { readonly topics: TopicNames; readonly follower: EndFollower; readonly events: TransactionReader; readonly position: Position | null; readonly given: Place | null }) {
    this.#topics = of.topics;
    this.#follower = of.follower;
    this.#events = of.events;
    this.#position = of.position;
    this.#given = of.given;
    this.#isNew = of.given === null;
  }

  /** `position`: behind the last step that was given whole; `given`: the place up to which rows behind it were given, too. */
  static async open(of: { readonly reader: LogReader; readonly topics: TopicNames; readonly codec: Codec; readonly position: Position | null; readonly given: Place | null }): Promise<ShardFeed> {
    const { reader, topics, codec, position, given } = of;
    const follower = await EndFollower.behind(reader, topics.transaction, position);
    const events = new TransactionReader(reader, new SchemaReader(reader, topics.schema), codec);
    return new ShardFeed({ topics, follower, events, position, given });
  }

  /** Up to which place of the input it is known what the shard gives; null for none. */
  get known(): Place | null {
    return this.#known;
  }

  /** When that was committed at the source, microseconds since 1970. */
  get commitTime(): bigint {
    return this.#commitTime;
  }

  /** Behind the last step of which everything was given. */
  get position(): Position | null {
    return this.#position;
  }

  /** Looks further ahead, if everything up to `place` is given. */
  async look(place: Place | null): Promise<void> {
    if (this.#known !== null && (place === null || isAfter(this.#known, place))) return;
    for (const step of await this.#follower.next(aheadBytes, aheadSteps)) {
      if (step.afterGap) {
        // What is before it counts no longer: for who has had nothing of it, it never did.
        if (this.#position !== null || this.#given !== null || this.#rows !== null) throw this.#gap('a shard was begun anew, and what was made of it was not');
        this.#steps.length = 0;
        this.#known = null;
        this.#isNew = true;
      }
      if (!isLink(step.end)) continue;
      // Who begins has to have all of it from the shard's own beginning.
      if (this.#isNew && step.end.previous.commitLsn !== 0n) throw this.#gap('what a shard gave at first is gone, and what was made of it too');
      this.#isNew = false;
      if (isWhole(step.end)) {
        if (this.#steps.length === 0) this.#position = positionOf(step);
        continue;
      }
      this.#steps.push(step);
      this.#known = step.end.input ?? this.#known;
      this.#commitTime = step.end.commitTime;
    }
  }

  /** Resolves when there may be more to look at. */
  wait(signal: AbortSignal): Promise<void> {
    return this.#follower.wait(signal);
  }

  /** The next row of a place up to `place`, or null; it stays the next one until `take`. A promise only where more has to be read. */
  peek(place: Place): ShardRow | null | Promise<ShardRow | null> {
    for (let row = this.#piece[this.#next]; row !== undefined; row = this.#piece[++this.#next]) {
      if (this.#given === null || isAfter(row.at, this.#given)) return isAfter(row.at, place) ? null : row;
    }
    return this.#peekFurther(place);
  }

  async #peekFurther(place: Place): Promise<ShardRow | null> {
    return (await this.#read(place)) ? this.peek(place) : null;
  }

  take(): void {
    this.#next++;
  }

  /** Reads the next piece of rows; false where everything up to `place` is given. */
  async #read(place: Place): Promise<boolean> {
    const [step] = this.#steps;
    if (step === undefined) return false;
    this.#rows ??= this.#rowsOf(step);
    const next = await this.#rows.next();
    this.#next = 0;
    this.#piece = next.done === true ? [] : next.value;
    if (next.done !== true) return true;
    // Rows of a step come in the order of their places: behind the last of them there is nothing up to its END.
    if (step.end.input != null && isAfter(step.end.input, place)) return false;
    this.#rows = null;
    this.#steps.shift();
    this.#position = positionOf(step);
    return true;
  }

  #gap(what: string): TailraceError {
    return new TailraceError('gap', `${what} (${this.#topics.transaction})`, { remedy: 'Stop the workers and run tailrace streams reset for the stream: all of it is computed anew.' });
  }

  async *#rowsOf({ end }: Step): AsyncGenerator<readonly ShardRow[]> {
    const topic = this.#topics.events(rowsShape);
    const shares = end.parts.filter((part) => part.topic === topic).map((part) => ({ end, part, tag: null }));
    for await (const run of this.#events.read(shares, readBytes)) {
      yield run.changes.flatMap((change) => (change.op === 't' ? [] : [rowOf(tupleTexts(change.bytes, change.newAt))]));
    }
  }
}

function rowOf([at, operator, times, row]: readonly (string | null | undefined)[]): ShardRow {
  return { at: placeOf(at ?? ''), operator: Number(operator), times: Number(times), row: row ?? 'null' };
}

export function placeOf(text: string): Place {
  const [epoch = '0', commitLsn = '0/0'] = text.split(' ');
  return { epoch: Number(epoch), commitLsn: lsn(commitLsn) };
}

import { matchesFilter, type TableFilter } from '../event/table-pattern.ts';
import { tableName, type TableSchema } from '../event/table.ts';
import type { TableChanges } from '../sink/sink.ts';
import type { SharesByTopic } from './commit-order.ts';
import type { Part } from './control-records.ts';
import type { CoverageMap } from './coverage.ts';
import type { Step } from './end-follower.ts';
import type { Share } from './partition-feed.ts';
import type { ReplayPart, ShapeOf } from './replay-parts.ts';
import type { SchemaReader } from './schema-reader.ts';
import type { TopicNames } from './topics.ts';

type Tag = TableChanges['coverage'];

export interface SinkPartOptions {
  readonly topics: TopicNames;
  readonly filter: TableFilter;
  readonly schemas: SchemaReader;
  readonly coverage: CoverageMap;
}

/** What of the log is one sink's: its tables, from where on it has each of them, and what transactions hold for it. */
export class SinkPart {
  readonly #options: SinkPartOptions;
  /** Whether a topic is this sink's, and of which table: asked once a topic. */
  readonly #tables = new Map<string, string | null>();

  constructor(options: SinkPartOptions) {
    this.#options = options;
  }

  /** The tables of topics that were met; null is another's. */
  get byTopic(): ReadonlyMap<string, string | null> {
    return this.#tables;
  }

  /** Of the sink, as far as they were met. */
  tables(): readonly string[] {
    return [...this.#tables.values()].filter((table) => table !== null);
  }

  /** What these transactions, which follow each other, hold for the sink. */
  async of(steps: readonly Step[]): Promise<ReplayPart<Tag>> {
    const shares = await this.#shares(steps);
    return { shares, shapes: await this.#shapes(steps) };
  }

  /** What a transaction says of the shape of this sink's tables. */
  async #shapes(steps: readonly Step[]): Promise<readonly ShapeOf<Tag>[]> {
    const { coverage, schemas, filter } = this.#options;
    const shapes: ShapeOf<Tag>[] = [];
    for (const { end } of steps) {
      if (end.shapes === undefined || !coverage.concerns(end)) continue;
      for (const { version } of end.shapes) {
        const table = await schemas.get(version);
        const tag = matchesFilter(filter, table) ? coverage.at(tableName(table), end) : 'pass-over';
        if (tag !== 'pass-over') shapes.push({ table, tag, end });
      }
    }
    return shapes;
  }

  /** By topic, each in the order of the ENDs. */
  async #shares(steps: readonly Step[]): Promise<SharesByTopic<Tag>> {
    const { coverage } = this.#options;
    const shares = new Map<string, Share<Tag>[]>();
    for (const { end, afterGap } of steps) {
      if (afterGap) coverage.forgetCopies();
      coverage.pass(end);
      if (!coverage.concerns(end)) continue;
      for (const part of end.parts) {
        const met = this.#tables.get(part.topic);
        const table = met === undefined ? await this.#table(part) : met;
        if (table === null) continue;
        const tag = coverage.at(table, end);
        if (tag === 'pass-over') continue;
        const share = { end, part, tag };
        const before = shares.get(part.topic);
        if (before === undefined) shares.set(part.topic, [share]);
        else before.push(share);
      }
    }
    return shares;
  }

  /** The table of a topic that is met for the first time; null when this sink does not take it. */
  async #table(part: Part): Promise<string | null> {
    const { schemas, topics, filter } = this.#options;
    // By every name that there ever was: a table may have another one by now, and its old one may go to the next.
    const find = (): TableSchema | undefined => schemas.byNames().find((table) => topics.events(table) === part.topic);
    if (find() === undefined) await schemas.refresh();
    const table = find();
    const name = table !== undefined && matchesFilter(filter, table) ? tableName(table) : null;
    this.#tables.set(part.topic, name);
    return name;
  }
}

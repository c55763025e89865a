import type { TableSchema } from '../../src/event/table.ts';
import type { TableChanges, TableOperation } from '../../src/sink/sink.ts';
import { decodeValue } from '../../src/stream/canonical.ts';
import { Engine } from '../../src/stream/engine.ts';
import { State } from '../../src/stream/state.ts';
import type { StreamDefinition } from '../../src/stream/stream.ts';
import { changeOf, type ChangeSpec } from '../contract/change-samples.ts';

export type Texts = (string | null)[];

/** One thing that an output published: what its row was and what it is, as texts. */
export interface Published {
  readonly output: string;
  readonly before: Texts | null;
  readonly after: Texts | null;
}

/** A plan at work in memory; each `step` is a transaction. The tables of the outputs are kept as a replica would have them. */
export class RunningPlan {
  readonly state = new State(':memory:');
  readonly #definition: StreamDefinition;
  #engine: Engine;
  /** Which tables' copies are complete; without it all are. */
  isCopied: TableChanges['isCopied'];

  constructor(definition: StreamDefinition) {
    this.#definition = definition;
    this.#engine = new Engine(definition.plan, this.state);
  }

  /** As after a crash: nothing is left but the state. */
  reopen(): void {
    this.#engine = new Engine(this.#definition.plan, this.state);
  }

  step(...changes: readonly (readonly [TableSchema, ...(ChangeSpec | 't')[]])[]): Published[] {
    return this.stepAt(0, ...changes);
  }

  stepAt(at: number, ...changes: readonly (readonly [TableSchema, ...(ChangeSpec | 't')[]])[]): Published[] {
    for (const [table, ...specs] of changes) {
      const operations = specs.map((spec): TableOperation => (spec === 't' ? { op: 't' } : changeOf(table, spec)));
      this.#engine.apply({ table, changes: operations, coverage: 'complete', ...(this.isCopied === undefined ? {} : { isCopied: this.isCopied }) } satisfies TableChanges, at);
    }
    this.#engine.finish();
    const names = new Map(this.#definition.plan.operators.flatMap((operator) => (operator.kind === 'output' ? [[operator.id, operator.output.name] as const] : [])));
    const texts = (text: string | null): Texts | null => (text === null ? null : (decodeValue(text) as Texts));
    const published = this.state.posted(0, 1_000_000).map(({ node, before, after }) => ({ output: names.get(node) ?? '', before: texts(before), after: texts(after) }));
    this.state.clearOutbox();
    return published;
  }

  /** The rows that are left of an output when all that was published is applied. */
  rows(output: string): Texts[] {
    const operator = this.#definition.plan.operators.find((candidate) => candidate.kind === 'output' && candidate.output.name === output);
    if (operator === undefined) throw new Error(`no output ${output}`);
    return this.state.entriesAfter(operator.id, '', 1_000_000).map(({ value }) => decodeValue(value) as Texts);
  }

  /** How many rows the state has in each of its tables: what is bounded must not grow. */
  size(): number {
    return ['entries', 'counted', 'ordered'].reduce((sum, table) => sum + (this.state.db.prepare(`SELECT count(*) AS n FROM ${table}`).get() as { n: number }).n, 0);
  }
}

export const sorted = (rows: readonly Texts[]): string[] => rows.map((row) => JSON.stringify(row)).sort();

import { describe, type TestContext } from 'node:test';
import type { TableShape } from '../../src/event/table.ts';
import type { DdlPolicy, Sink, SinkSession } from '../../src/sink/sink.ts';
import { sinkDdlRules } from './sink-ddl.ts';
import { sinkKeyedRules } from './sink-keyed.ts';
import { sinkKeylessRules } from './sink-keyless.ts';
import { sinkModelRules } from './sink-model.ts';
import { sinkPositionRules } from './sink-position.ts';
import { sinkRefusalRules } from './sink-refusal.ts';
import { sinkShapeRules } from './sink-shape.ts';
import { sinkVerifierRules } from './sink-verifier.ts';

/** What a sink brings along to be held against the contract of src/sink/sink.ts. */
export interface SinkHarness {
  /** The column types that the suite uses, as the replica writes them in CREATE TABLE. */
  readonly types: { readonly integer: string; readonly text: string };
  /** An empty replica, gone when the test ends. */
  replica(t: TestContext): Promise<ReplicaUnderTest>;
}

export interface SinkSettings {
  /** The sink's name; two sinks of one name are two workers for the same position. */
  readonly sink?: string;
  readonly rename?: Readonly<Record<string, string>>;
  /** Columns left out, by `schema.table`. */
  readonly leftOut?: Readonly<Record<string, readonly string[]>>;
  /** `apply` unless told. */
  readonly ddl?: DdlPolicy;
}

export interface ReplicaUnderTest {
  /** A new worker, with sessions of its own. */
  sink(settings?: SinkSettings): Sink;
  /** The table's name at the replica, quoted, for `sql`. `renamed` is the target of a `rename`. */
  name(table: TableShape, renamed?: string): string;
  /** Runs statements at the replica by hand. */
  sql(text: string): Promise<void>;
  /** All rows in any order, each value as Postgres writes it; `columns` are the table's unless told. */
  rows(table: TableShape, options?: { readonly columns?: readonly string[]; readonly renamed?: string }): Promise<(string | null)[][]>;
  /** The names of the replica table's columns. */
  columns(table: TableShape): Promise<string[]>;
  /** Ends a session as the kill -9 of its worker would: nothing is committed, nothing is said. */
  kill(session: SinkSession): Promise<void>;
  /**
   * A worker whose next commit can be spoiled: after `spoil()` the commit goes through at the replica and its caller does not
   * hear of it. Undefined where a commit cannot end like that.
   */
  deaf?(settings?: SinkSettings): Promise<{ readonly sink: Sink; spoil(): void; heal(): void }>;
}

export function sinkContract(name: string, harness: SinkHarness): void {
  describe(`${name}: the contract of sinks`, () => {
    sinkPositionRules(harness);
    sinkKeyedRules(harness);
    sinkKeylessRules(harness);
    sinkShapeRules(harness);
    sinkDdlRules(harness);
    sinkRefusalRules(harness);
    sinkModelRules(harness);
    sinkVerifierRules(harness);
  });
}

/** A session of a sink, closed when the test ends. */
export async function openSession(t: TestContext, sink: Sink): Promise<SinkSession> {
  const session = await sink.open({ signal: new AbortController().signal });
  t.after(() => session.close());
  return session;
}

/** Rows in an order of their own, for comparing. */
export function sorted(rows: readonly (readonly (string | null)[])[]): string[] {
  return rows.map((row) => JSON.stringify(row)).toSorted();
}

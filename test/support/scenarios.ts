import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PostgresVersion, TestDatabase } from './postgres.ts';
import { ScenarioStage } from './scenario-stage.ts';

/**
 * What happens to some tables, told by SQL. Every scenario of a file runs through the same daemon, in schemas of its own, once
 * while changes stream (`live`) and once while no daemon runs (`late`: everything comes at once afterwards); in both formats,
 * to a Postgres and a SQLite replica each. At the end every table of its schemas is compared with the source, `column::text`
 * for `column::text`; so is what a reader of the topics who asks for whole rows comes to, and the log with what `test_decoding` says.
 */
export interface Scenario {
  /** A rule, with the name of its case in front: `R3: …`. */
  readonly title: string;
  /** Tables and rows that stand before anything is captured. Unqualified names are in the scenario's own schema. */
  readonly setup: string;
  /** What happens then. A text is sent as one message: one transaction unless it says otherwise. */
  readonly steps: readonly Step[];
  /** Both unless told. */
  readonly when?: 'live' | 'late';
  /** Of tables whose rows are not all published: the rest of a SELECT behind FROM, by table. */
  readonly where?: Readonly<Record<string, string>>;
  /** Columns that a replica does not have, by table. */
  readonly lacking?: Readonly<Record<string, readonly string[]>>;
  /** Tables of the source that a replica must not have. */
  readonly notCaptured?: readonly string[];
  /** Tables that the source had for a while under these names, maybe long enough to be captured: replicas keep them as they were then. */
  readonly staying?: readonly string[];
  /** Partitions are published one by one, and stand for themselves at a replica. */
  readonly leaves?: boolean;
  /** With a named publication: the tables that it lists, each with its columns and rows: `t (id, a) WHERE (id > 10)`. Else it has the scenario's schema. */
  readonly published?: readonly string[];
  /** False where the log rightly says something else than test_decoding: partitions under their root, filtered rows. */
  readonly decoding?: boolean;
  /** False where old events have columns, or a key, that a reader of the topic alone cannot bring together with what the table is now. */
  readonly whole?: boolean;
}

export type Step = string | ((stage: Stage) => Promise<void>);

/** One run of a scenario. */
export interface Stage {
  readonly schema: string;
  readonly when: 'live' | 'late';
  readonly source: TestDatabase;
  sql<Row = Record<string, unknown>>(text: string): Promise<Row[]>;
}

export interface ScenariosOptions {
  readonly formats?: readonly string[];
  /** On a server of its own of this major version, in place of the shared one. */
  readonly version?: PostgresVersion;
  /** The pipelines use a publication called `made`, of what the scenarios say is `published`, with these options: `publish_via_partition_root`. */
  readonly publication?: string;
}

/** Declares a test for each scenario. Before the first one all of them run. */
export function scenarios(name: string, list: readonly Scenario[], options: ScenariosOptions = {}): void {
  describe(name, () => {
    // Hooks of the whole suite end what was begun, last in, first out.
    const endings: (() => Promise<void>)[] = [];
    let stage: ScenarioStage | undefined;
    before(async () => {
      stage = await ScenarioStage.create({ after: (end) => void endings.push(end) }, list, options);
      await stage.play();
    });
    after(async () => {
      for (const end of endings.toReversed()) await end();
    });
    for (const scenario of list) {
      test(scenario.title, () => {
        for (const run of stage?.runs ?? []) if (run.scenario === scenario && run.failure !== null) throw run.failure;
        assert.ok(stage?.runs.some((run) => run.scenario === scenario));
      });
    }
  });
}

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { loadPipelines } from '../../src/config/load.ts';
import type { PipelineConfig } from '../../src/config/pipeline-schema.ts';
import { TestDaemon } from './daemon.ts';
import { decodedByLog, decodedByServer, difference, openDecodingSlot, type DecodedChanges } from './decoding-oracle.ts';
import { columnsOf, rowsOfPostgres, rowsOfSqlite, tablesOfSqlite, type ExactRows, type TypedColumn } from './exact-rows.ts';
import { freshDatabase, keptOpen, startPostgres, type PostgresVersion, type Scope, type TestDatabase } from './postgres.ts';
import type { Scenario, ScenariosOptions, Stage } from './scenarios.ts';
import { tempDirectory } from './temp.ts';
import { eventually } from './wait.ts';
import { stateOfTopic } from './whole-oracle.ts';

interface Run extends Stage {
  readonly scenario: Scenario;
  failure: Error | null;
}

interface Replica {
  readonly pipeline: string;
  readonly postgres: TestDatabase;
  readonly sqlite: string;
}

/** One source, a daemon with a pipeline for each format, and two replicas of each. */
export class ScenarioStage {
  readonly #source: TestDatabase;
  readonly #replicas: readonly Replica[];
  readonly #daemon: TestDaemon;
  readonly #folder: string;
  readonly #slot: string;
  #marker = 0;
  readonly runs: readonly Run[];

  private constructor(parts: { source: TestDatabase; replicas: readonly Replica[]; daemon: TestDaemon; folder: string; runs: readonly Run[] }) {
    this.#source = parts.source;
    this.#replicas = parts.replicas;
    this.#daemon = parts.daemon;
    this.#folder = parts.folder;
    this.#slot = `oracle_${parts.source.name}`;
    this.runs = parts.runs;
  }

  static async create(scope: Scope, list: readonly Scenario[], options: ScenariosOptions): Promise<ScenarioStage> {
    const database = await databases(scope, options.version);
    const source = await database();
    const folder = join(await tempDirectory(scope), 'connectors');
    await mkdir(folder);
    const replicas: Replica[] = [];
    const daemon = await TestDaemon.create(scope, folder, '');
    const runs = list.flatMap((scenario, i) => stages(source, scenario, i));
    await source.sql('CREATE TABLE public.marker (n int PRIMARY KEY)');
    for (const run of runs) {
      await source.sql(`CREATE SCHEMA "${run.schema}"`);
      await run.sql(run.scenario.setup);
    }
    if (options.publication !== undefined) {
      const listed = runs.flatMap(({ schema, scenario }) => scenario.published?.map((table) => `TABLE "${schema}".${table}`) ?? [`TABLES IN SCHEMA "${schema}"`]);
      await source.sql(`CREATE PUBLICATION made FOR TABLE public.marker, ${listed.join(', ')} WITH (${options.publication})`);
    }
    for (const format of options.formats ?? ['tuple', 'json']) {
      const replica = { pipeline: `${format}_${source.name.slice(2, 8)}`, postgres: await database(), sqlite: join(folder, `${format}.sqlite`) };
      const yaml = connector(source, replica, { format, folder, publication: options.publication !== undefined });
      // The first one has the daemon's own file.
      await writeFile(replicas.length === 0 ? daemon.file : join(folder, `${format}.yaml`), yaml);
      replicas.push(replica);
    }
    return new ScenarioStage({ source, replicas, daemon, folder, runs });
  }

  async play(): Promise<void> {
    this.#daemon.start({}, { path: this.#folder });
    await this.#daemon.streaming();
    await openDecodingSlot(this.#source, this.#slot);
    await this.#compare('as the tables stood');
    await this.#act('live');
    await this.#compare('after the steps');
    await this.#daemon.stop();
    await this.#act('late');
    this.#daemon.start({}, { path: this.#folder });
    await this.#daemon.streaming();
    await this.#compare('after the steps while no daemon ran');
    await this.#compareLogs();
  }

  async #act(when: Stage['when']): Promise<void> {
    for (const run of this.runs) {
      if (run.when !== when || run.failure !== null) continue;
      try {
        for (const step of run.scenario.steps) await (typeof step === 'string' ? run.sql(step) : step(run));
      } catch (error) {
        run.failure = new Error(`${run.schema}: a step failed: ${(error as Error).message}`, { cause: error });
      }
    }
  }

  /** Once the marker is there everything before it is, unless a table is still being copied. */
  async #compare(what: string): Promise<void> {
    const marker = ++this.#marker;
    await this.#source.sql('INSERT INTO public.marker VALUES ($1)', [marker]);
    for (const { postgres, sqlite } of this.#replicas) {
      const there = async (): Promise<boolean> => {
        const inSqlite = rowsOfSqlite(sqlite, markerTable, []);
        const inPostgres = await postgres.sql('SELECT FROM public.marker WHERE n = $1', [marker]);
        return inPostgres.length === 1 && inSqlite?.rows.includes(`["${marker}"]`) === true;
      };
      await eventually(there, { timeoutMs: 120_000 }).catch(async () => {
        throw new Error(`the replicas do not come on ${what}: ${JSON.stringify(await this.#daemon.statuses().catch(() => null))}\n${this.#daemon.output.slice(-5000)}`);
      });
    }
    for (const run of this.runs) {
      if (run.failure !== null) continue;
      const look = async (): Promise<string | true> => (await this.#misfit(run)) ?? true;
      let last: string | true = true;
      const equal = await eventually(async () => (last = await look()) === true, { timeoutMs: 60_000 }).catch(() => false);
      if (!equal) run.failure = new Error(`${run.schema}, ${what}: ${last}`);
    }
  }

  /** Where a replica of this run differs from the source; null when none does. */
  async #misfit(run: Run): Promise<string | null> {
    const { schema, scenario } = run;
    const tables = await this.#tables(schema, scenario);
    for (const { pipeline, postgres, sqlite } of this.#replicas) {
      const extra = [...(await tablesIn(postgres, schema, `relkind = 'r'`)), ...tablesOfSqlite(sqlite, schema)].filter((name) => !tables.includes(name) && scenario.staying?.includes(name) !== true);
      if (extra.length > 0) return `${pipeline} has ${extra.join(', ')}, which the source does not have`;
    }
    for (const name of tables) {
      const captured = scenario.notCaptured?.includes(name) !== true;
      const typed = await this.#columns(schema, name, scenario);
      const expected = captured ? await rowsOfPostgres(this.#source, { schema, name }, typed.map((column) => column.name), scenario.where?.[name]) : null;
      for (const { pipeline, postgres, sqlite } of this.#replicas) {
        const found = [await rowsIn(postgres, { schema, name }), rowsOfSqlite(sqlite, { schema, name }, typed)];
        for (const [i, rows] of found.entries()) {
          const problem = compared(expected, rows);
          if (problem !== null) return `${name} in ${i === 0 ? 'postgres' : 'sqlite'} of ${pipeline}: ${problem}`;
        }
      }
    }
    return null;
  }

  async #compareLogs(): Promise<void> {
    const server = await decodedByServer(this.#source, this.#slot);
    assert.ok(server.size > 0, 'test_decoding has seen something');
    for (const { config } of loadPipelines([this.#folder], process.env).pipelines) {
      const log = await decodedByLog(config);
      for (const run of this.runs) {
        if (run.failure === null && run.scenario.decoding !== false) run.failure = decodedMisfit(run, server, log);
        if (run.failure === null && run.scenario.whole !== false) run.failure = await this.#wholeMisfit(run, config);
      }
    }
  }

  /** Whether a reader of the topics alone who asks for whole rows comes to what the source holds. */
  async #wholeMisfit({ schema, scenario }: Run, config: PipelineConfig): Promise<Error | null> {
    for (const name of await this.#tables(schema, scenario)) {
      if (scenario.notCaptured?.includes(name) === true) continue;
      const columns = (await this.#columns(schema, name, scenario)).map((column) => column.name);
      const expected = await rowsOfPostgres(this.#source, { schema, name }, columns, scenario.where?.[name]);
      if (expected.rows.length === 0) continue;
      const { rows, incomplete } = await stateOfTopic(config, `${config.name}.${schema}.${name}`);
      const problem = incomplete[0] ?? compared(expected, { columns, rows: rows(columns) });
      if (problem !== null) return new Error(`${schema}.${name} read from ${config.name} with whole rows: ${problem}`);
    }
    return null;
  }

  #tables(schema: string, scenario: Scenario): Promise<readonly string[]> {
    return tablesIn(this.#source, schema, scenario.leaves === true ? `relkind = 'r'` : `relkind IN ('r', 'p') AND NOT relispartition`);
  }

  /** Of a table of the source, those that a replica has. */
  async #columns(schema: string, name: string, scenario: Scenario): Promise<readonly TypedColumn[]> {
    return (await columnsOf(this.#source, { schema, name })).filter((column) => scenario.lacking?.[name]?.includes(column.name) !== true);
  }
}

/** One connection a call, as the other helpers have it. A ROLLBACK in the text must not take the search path along. */
async function inSchema<Row>(url: string, schema: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, options: `-c search_path=${schema}` });
  await client.connect();
  try {
    const result: unknown = await client.query(text);
    return ((Array.isArray(result) ? result.at(-1) : result) as { rows: Row[] }).rows;
  } finally {
    await client.end();
  }
}

async function tablesIn(database: TestDatabase, schema: string, kinds: string): Promise<readonly string[]> {
  const rows = await database.sql<{ name: string }>(`SELECT relname AS name FROM pg_class WHERE relnamespace = to_regnamespace($1) AND ${kinds} ORDER BY relname`, [`"${schema}"`]);
  return rows.map(({ name }) => name);
}

const markerTable = { schema: 'public', name: 'marker' };

function stages(source: TestDatabase, scenario: Scenario, index: number): Run[] {
  const code = /^[A-Z]+\d+/i.exec(scenario.title)?.[0].toLowerCase() ?? 's';
  const all = (['live', 'late'] as const).filter((when) => scenario.when === undefined || scenario.when === when);
  return all.map((when) => {
    const schema = `${code}_${index}_${when}`;
    return { schema, when, source, scenario, failure: null, sql: (text) => inSchema(source.url, schema, text) };
  });
}

async function databases(scope: Scope, version: PostgresVersion | undefined): Promise<() => Promise<TestDatabase>> {
  if (version === undefined) return async () => keptOpen(await freshDatabase(scope), scope);
  const server = await startPostgres({ version }, scope);
  return async () => {
    const url = await server.createDatabase();
    const name = new URL(url).pathname.slice(1);
    return keptOpen({ name, url, sql: (text, params) => server.sql(text, params, name) }, scope);
  };
}

function connector(source: TestDatabase, replica: Replica, of: { readonly format: string; readonly folder: string; readonly publication: boolean }): string {
  return `name: ${replica.pipeline}
source:
  type: postgres
  url: ${source.url}
${of.publication ? '  publication: made\n' : ''}  tables: { include: ['*.*'] }
log: { type: embedded, directory: ${join(of.folder, `log-${of.format}`)} }
format: ${of.format}
sinks:
  - { name: reporting, type: postgres, url: '${replica.postgres.url}' }
  - { name: local, type: sqlite, path: ${replica.sqlite} }
`;
}

/** Null when the replica does not have the table. */
async function rowsIn(replica: TestDatabase, place: { readonly schema: string; readonly name: string }): Promise<ExactRows | null> {
  const columns = (await columnsOf(replica, place)).map((column) => column.name);
  return columns.length > 0 || (await tablesIn(replica, place.schema, `relkind = 'r'`)).includes(place.name) ? rowsOfPostgres(replica, place, columns) : null;
}

/** A table without a row has not come to a replica yet. */
function compared(expected: ExactRows | null, found: ExactRows | null): string | null {
  if (expected === null) return found === null ? null : 'it should not be there';
  if (found === null) return expected.rows.length === 0 ? null : `it is not there; the source has ${expected.rows.length} rows`;
  if (expected.columns.join() !== found.columns.join()) return `it has the columns ${found.columns.join(', ')}; the source has ${expected.columns.join(', ')}`;
  const missing = expected.rows.filter((row) => !found.rows.includes(row)).slice(0, 3);
  const extra = found.rows.filter((row) => !expected.rows.includes(row)).slice(0, 3);
  if (missing.length + extra.length === 0 && expected.rows.length === found.rows.length) return null;
  const short = (rows: readonly string[]): string => rows.map(shortened).join(' ');
  return `${found.rows.length} rows for ${expected.rows.length}; missing ${short(missing)}; extra ${short(extra)}`;
}

function shortened(row: string): string {
  return JSON.stringify((JSON.parse(row) as (string | null)[]).map((value) => (value === null || value.length <= 40 ? value : `${value.slice(0, 30)}… (${value.length})`)));
}

function decodedMisfit({ schema, scenario }: Run, server: DecodedChanges, log: DecodedChanges): Error | null {
  // The server speaks of roots that are truncated, too.
  const known = scenario.leaves === true ? [...log.keys()] : [...server.keys(), ...log.keys()];
  const tables = new Set(known.filter((table) => table.startsWith(`${schema}.`) && scenario.notCaptured?.includes(table.slice(schema.length + 1)) !== true));
  for (const table of tables) {
    const problem = difference(server.get(table) ?? [], log.get(table) ?? []);
    if (problem !== null) return new Error(`${table} in the log: ${problem}`);
  }
  return null;
}

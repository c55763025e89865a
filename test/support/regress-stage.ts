import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TestDaemon } from './daemon.ts';
import { columnsOf, rowsOfPostgres, rowsOfSqlite, type ExactRows, type Place } from './exact-rows.ts';
import { keptOpen, startPostgres, type Scope, type TestDatabase } from './postgres.ts';
import { playRegress } from './postgres-regress.ts';
import { tempDirectory } from './temp.ts';
import { eventually } from './wait.ts';

interface Pipeline {
  readonly name: string;
  readonly postgres: TestDatabase;
  readonly sqlite: string;
}

/** How many tables of replicas are what. `different` says of each what is wrong. */
export interface Comparison {
  readonly equal: number;
  readonly rows: number;
  /** What `status` says of each that is left out. */
  readonly flagged: readonly string[];
  /** Tables that replicas keep of those that were dropped at the source, which the daemon's log names. */
  readonly kept: number;
  readonly different: readonly string[];
}

/**
 * A server of its own with a source, on which scripts are played, and two pipelines of one daemon: one with Tailrace's own publication,
 * one with a publication of all tables under their roots; each with a Postgres and a SQLite replica.
 */
export class RegressStage {
  readonly daemon: TestDaemon;
  readonly #source: TestDatabase;
  readonly #pipelines: readonly Pipeline[];
  readonly #connectors: string;
  /** With the scripts and their data: the server reads these, too. */
  readonly #folder: string;
  #marker = 0;

  private constructor(parts: { daemon: TestDaemon; source: TestDatabase; pipelines: readonly Pipeline[]; connectors: string; folder: string }) {
    this.daemon = parts.daemon;
    this.#source = parts.source;
    this.#pipelines = parts.pipelines;
    this.#connectors = parts.connectors;
    this.#folder = parts.folder;
  }

  static async create(scope: Scope, scripts: string): Promise<RegressStage> {
    const server = await startPostgres({}, scope);
    const folder = join(server.socketDirectory, 'regress');
    await cp(scripts, folder, { recursive: true });
    const open = async (name: string): Promise<TestDatabase> => {
      // As Tailrace's own sessions: a regclass reads as its path says.
      const url = `${await server.createDatabase(name)}?options=-c%20search_path%3D`;
      return keptOpen({ name, url, sql: (text, params) => server.sql(text, params, name) }, scope);
    };
    const source = await open('regression');
    await source.sql(toldApart);
    await source.sql('CREATE TABLE public.marker (n int PRIMARY KEY); CREATE PUBLICATION everything FOR ALL TABLES WITH (publish_via_partition_root = true, publish_generated_columns = stored)');
    const directory = await tempDirectory(scope);
    const connectors = join(directory, 'connectors');
    await mkdir(connectors);
    const daemon = await TestDaemon.create(scope, connectors, '');
    const pipelines: Pipeline[] = [];
    for (const { name, file, inSource, format } of [
      { name: 'own', file: daemon.file, inSource: '', format: 'tuple' },
      { name: 'everything', file: join(connectors, 'everything.yaml'), inSource: '  publication: everything\n', format: 'json' },
    ]) {
      const pipeline = { name, postgres: await open(`replica_${name}`), sqlite: join(directory, `${name}.sqlite`) };
      await writeFile(file, `name: ${name}
source:
  type: postgres
  url: '${server.url('regression')}'
  tables: { include: ['*.*'] }
${inSource}log: { type: embedded, directory: ${join(directory, name)} }
format: ${format}
sinks:
  - { name: reporting, type: postgres, url: '${server.url(pipeline.postgres.name)}' }
  - { name: local, type: sqlite, path: ${pipeline.sqlite} }
`);
      pipelines.push(pipeline);
    }
    return new RegressStage({ daemon, source, pipelines, connectors, folder });
  }

  start(): void {
    this.daemon.start({}, { path: this.#connectors });
  }

  /** Resolves with how many statements failed, as some of them are to. */
  async play(scripts: readonly string[]): Promise<number> {
    const url = this.#source.url.replace(/\?.*/, '');
    let errors = 0;
    for (const script of scripts) errors += await playRegress(url, this.#folder, script);
    return errors;
  }

  /** Waits until everything has come, and no table differs; or for as long as that may take. */
  async compare(): Promise<Comparison> {
    await this.#arrived();
    const tables = await this.#source.sql<Place>(
      `SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1, 2`,
    );
    let last: Comparison | undefined;
    await eventually(async () => (last = await this.#look(tables)).different.length === 0, { timeoutMs: 60_000 }).catch(() => undefined);
    if (last === undefined) throw new Error('no look at the tables has ended');
    return last;
  }

  async #arrived(): Promise<void> {
    const marker = ++this.#marker;
    await this.#source.sql('INSERT INTO public.marker VALUES ($1)', [marker]);
    for (const { name, postgres, sqlite } of this.#pipelines) {
      const there = async (): Promise<boolean> => {
        const inSqlite = rowsOfSqlite(sqlite, { schema: 'public', name: 'marker' }, [])?.rows.includes(`["${marker}"]`) === true;
        return inSqlite && (await postgres.sql('SELECT FROM public.marker WHERE n = $1', [marker])).length === 1;
      };
      await eventually(there, { timeoutMs: 120_000 }).catch(async () => {
        const statuses = (await this.daemon.statuses().catch(() => [])).map(({ pipeline, state, error, sinks }) => ({ pipeline, state, error, sinks }));
        throw new Error(`${name} does not come on: ${JSON.stringify(statuses)}\n${this.daemon.output.slice(-3000)}`);
      });
    }
    await this.daemon.streaming();
  }

  async #look(tables: readonly Place[]): Promise<Comparison> {
    const statuses = await this.daemon.statuses();
    let [equal, rows] = [0, 0];
    const flagged: string[] = [];
    const different: string[] = [];
    for (const place of tables) {
      const columns = await columnsOf(this.#source, place);
      const expected = await rowsOfPostgres(this.#source, place, columns.map(({ name }) => name));
      for (const { name, postgres, sqlite } of this.#pipelines) {
        const leftOut = statuses.find(({ pipeline }) => pipeline === name)?.leftOut ?? [];
        const reason = leftOut.find((said) => said.startsWith(`${place.schema}.${place.name} is left out: `));
        if (reason !== undefined) {
          flagged.push(`${name}: ${reason}`);
          continue;
        }
        const found = { postgres: await rowsIn(postgres, place), sqlite: rowsOfSqlite(sqlite, place, columns) };
        for (const [kind, there] of Object.entries(found)) {
          const problem = misfit(expected, there);
          if (problem !== null) different.push(`${place.schema}.${place.name} in ${kind} of ${name}: ${problem}`);
          else {
            equal++;
            rows += expected.rows.length;
          }
        }
      }
    }
    const gone = await this.#kept();
    for (const { name, table } of gone) if (!this.#isSaid(name, table)) different.push(`${table} in postgres of ${name}: the source has it no more, and nobody said so`);
    return { equal, rows, flagged, different, kept: gone.length };
  }

  /** Tables of the Postgres replicas that the source does not have. */
  async #kept(): Promise<readonly { readonly name: string; readonly table: string }[]> {
    const tables = `SELECT n.nspname || '.' || c.relname AS table FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('information_schema', 'tailrace') AND n.nspname !~ '^pg_'`;
    const known = new Set((await this.#source.sql<{ table: string }>(tables)).map(({ table }) => table));
    const of = async ({ name, postgres }: Pipeline): Promise<{ name: string; table: string }[]> =>
      (await postgres.sql<{ table: string }>(tables)).filter(({ table }) => !known.has(table)).map(({ table }) => ({ name, table }));
    return (await Promise.all(this.#pipelines.map(of))).flat();
  }

  #isSaid(pipeline: string, table: string): boolean {
    return this.daemon.output.split('\n').some((line) => line.includes('"a table was dropped at the source') && line.includes(`"pipeline":"${pipeline}"`) && line.includes(`"table":${JSON.stringify(table)}`));
  }
}

/**
 * Tables without a key get an identity as they are made: else UPDATE and DELETE would fail at the source where all tables are published, and
 * the scripts change next to nothing. (What loses its key later has none.)
 */
const toldApart = `
  CREATE FUNCTION public.told_apart() RETURNS event_trigger LANGUAGE plpgsql AS $$
    DECLARE made oid; BEGIN
      FOR made IN SELECT c.oid FROM pg_catalog.pg_event_trigger_ddl_commands() d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        WHERE c.relkind IN ('r', 'p') AND c.relreplident = 'd' AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
      LOOP EXECUTE pg_catalog.format('ALTER TABLE %s REPLICA IDENTITY FULL', made::pg_catalog.regclass); END LOOP;
    END $$;
  CREATE EVENT TRIGGER told_apart ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO') EXECUTE FUNCTION public.told_apart()`;

/** Null when the replica does not have the table. */
async function rowsIn(replica: TestDatabase, place: Place): Promise<ExactRows | null> {
  const [there] = await replica.sql('SELECT FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident($1)) AND relname = $2', [place.schema, place.name]);
  return there === undefined ? null : rowsOfPostgres(replica, place, (await columnsOf(replica, place)).map(({ name }) => name));
}

/** A table without a row need not have come. */
function misfit(expected: ExactRows, found: ExactRows | null): string | null {
  if (found === null) return expected.rows.length === 0 ? null : `it is not there; the source has ${expected.rows.length} rows`;
  if (expected.columns.join() !== found.columns.join()) return `it has the columns ${found.columns.join(', ')}; the source has ${expected.columns.join(', ')}`;
  if (expected.rows.join('\n') === found.rows.join('\n')) return null;
  const short = (rows: readonly string[]): string => rows.slice(0, 2).map((row) => row.slice(0, 200)).join(' ');
  return `${found.rows.length} rows for ${expected.rows.length}; missing ${short(expected.rows.filter((row) => !found.rows.includes(row)))}; extra ${short(found.rows.filter((row) => !expected.rows.includes(row)))}`;
}

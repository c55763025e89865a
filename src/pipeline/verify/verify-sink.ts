import type { Codec } from '../../codec/codec.ts';
import { formatLsn, type Lsn } from '../../event/lsn.ts';
import { matchesFilter, matchesPattern, type TableFilter } from '../../event/table-pattern.ts';
import { tableName, type TableSchema } from '../../event/table.ts';
import type { LogReader } from '../../log/log.ts';
import { eachInOrder } from '../../runtime/each-in-order.ts';
import { actionFor, TailraceError } from '../../runtime/errors.ts';
import type { SinkVerifier } from '../../sink/verifier.ts';
import type { SourceVerifier } from '../../source/verifier.ts';
import type { StartRecord } from '../control-records.ts';
import { readProgress, readSchemaState } from '../log-state.ts';
import { SchemaReader } from '../schema-reader.ts';
import { readSinkRecords } from '../sink-topic.ts';
import { statusError } from '../supervision.ts';
import { topicNames, type TopicNames } from '../topics.ts';
import { isCopied, type CopyFacts } from './copy-state.ts';
import { TopicHistoryReader } from './history-reader.ts';
import { emptyReport, type SinkVerification, type TableReport } from './report.ts';
import { SinkProgress } from './sink-progress.ts';
import { verifyTable, type Phase } from './verify-table.ts';

export interface VerifyOptions {
  readonly pipeline: string;
  readonly snapshot: 'initial' | 'never';
  readonly source: SourceVerifier;
  readonly reader: LogReader;
  readonly codec: Codec;
  /** `schema.table` with wildcards; null: every table. */
  readonly pattern: string | null;
  /** How long a sink may stand still before it is given up, in milliseconds. */
  readonly timeout: number;
  /** Whether a process has the log open for writing, as far as that can be seen. */
  readonly logInUse: () => Promise<boolean>;
  readonly progress: (sink: string, table: string, phase: Phase, rows?: number) => void;
  readonly onTable: (sink: string, report: TableReport) => void;
  readonly signal: AbortSignal;
}

export interface VerifiedSink {
  readonly name: string;
  readonly tables: TableFilter;
  open(): Promise<SinkVerifier>;
}

/** They take turns at the source and the replica, and wait for the sink together: markers are what takes long where little is wrong. */
const tablesAtOnce = 8;

interface TableParts {
  readonly sink: SinkVerifier;
  readonly passed: () => Promise<boolean>;
  readonly facts: CopyFacts;
}

/** Compares the replicas of one pipeline with its source, one sink after the other. Throws when the source cannot be asked. */
export class PipelineVerifier {
  readonly #options: VerifyOptions;
  readonly #topics: TopicNames;
  readonly #schemas: SchemaReader;
  readonly #start: StartRecord;

  private constructor(options: VerifyOptions, parts: { topics: TopicNames; schemas: SchemaReader; start: StartRecord }) {
    this.#options = options;
    this.#topics = parts.topics;
    this.#schemas = parts.schemas;
    this.#start = parts.start;
  }

  /** Throws `log-missing` for a pipeline that was never run, `source-not-ready` for a log of another server. */
  static async open(options: VerifyOptions): Promise<PipelineVerifier> {
    const topics = topicNames(options.pipeline);
    const known = (await options.reader.topics()).some(({ topic }) => topic === topics.transaction);
    const start = known ? (await readProgress(options.reader, topics)).start : null;
    if (start === null) throw new TailraceError('log-missing', `the pipeline ${options.pipeline} was never run: there is nothing to compare`);
    const { systemIdentifier } = options.source;
    if (systemIdentifier !== null && systemIdentifier !== start.systemIdentifier) {
      throw new TailraceError('source-not-ready', `the log was written from another server (system identifier ${start.systemIdentifier}) than the source's url leads to (${systemIdentifier})`, {
        remedy: 'Check source.url and the directory of the log.',
      });
    }
    const schemas = new SchemaReader(options.reader, topics.schema);
    return new PipelineVerifier(options, { topics, schemas, start });
  }

  async sink(verified: VerifiedSink): Promise<SinkVerification> {
    const { source, reader, timeout, logInUse, signal } = this.#options;
    const isRunning = async (): Promise<boolean> => (await logInUse()) || source.isRead(this.#start.slot);
    const progress = new SinkProgress({ reader, topic: this.#topics.sink(verified.name), epoch: this.#start.epoch, timeout, isRunning, signal });
    const tables: TableReport[] = [];
    const result: SinkVerification = { sink: verified.name, tables, blocked: [], standstill: null, error: null };
    let opened: SinkVerifier | null = null;
    let marker: Lsn | null = null;
    const passed = async (): Promise<boolean> => {
      const at = await source.marker();
      marker = at;
      return progress.passed(at);
    };
    try {
      const sink = await verified.open();
      opened = sink;
      const facts = await this.#copyFacts(verified.name);
      await eachInOrder(await this.#tables(verified.tables), {
        limit: tablesAtOnce,
        work: async (name) => {
          signal.throwIfAborted();
          return this.#table(verified, { name, sink, passed, facts });
        },
        done: (report) => {
          tables.push(report);
          this.#options.onTable(verified.name, report);
        },
      });
      const blocked = (await opened.blocked()).filter(({ table }) => this.#isAsked(table));
      return { ...result, blocked: blocked.map(({ table, key }) => ({ table, key })), standstill: standstillOf(progress, marker) };
    } catch (error) {
      // The sinks share nothing: what is wrong with one does not keep the others from being looked at.
      if (!(error instanceof TailraceError) || !error.code.startsWith('sink-')) throw error;
      return { ...result, standstill: standstillOf(progress, marker), error: statusError(error) };
    } finally {
      await opened?.close();
    }
  }

  /** Names of the captured tables that the sink takes and that are asked for, as they are called now. */
  async #tables(filter: TableFilter): Promise<readonly string[]> {
    await this.#schemas.refresh();
    const names = new Set(this.#start.tables.map((name) => {
      const table = this.#schemas.byName(splitName(name));
      return table === undefined ? name : tableName(table);
    }));
    return [...names].filter((name) => this.#isAsked(name) && matchesFilter(filter, splitName(name))).toSorted();
  }

  #isAsked(table: string): boolean {
    const { pattern } = this.#options;
    return pattern === null || matchesPattern(pattern, splitName(table));
  }

  async #table(verified: VerifiedSink, { name, ...rest }: { name: string } & TableParts): Promise<TableReport> {
    await this.#schemas.refresh();
    const table = this.#schemas.tables().filter((each) => tableName(each) === name).reduce<TableSchema | null>(newer, null);
    if (table === null) return emptyReport(name, 'copying');
    const copied = async (): Promise<boolean> => isCopied({ name, relid: table.relid }, await this.#copyFacts(verified.name));
    // A copy whose table was dropped meanwhile is never complete.
    if (!isCopied({ name, relid: table.relid }, rest.facts) && !(await copied())) return emptyReport(name, (await this.#options.source.exists(table.relid)) ? 'copying' : 'gone');
    const report = await this.#compare(verified.name, table, rest);
    // A copy that began meanwhile has emptied the table: that is no difference.
    return report.state === 'different' && !(await copied()) ? emptyReport(name, 'copying') : report;
  }

  async #compare(sinkName: string, table: TableSchema, { sink, passed }: TableParts): Promise<TableReport> {
    const { source, reader, codec } = this.#options;
    const name = tableName(table);
    const compare = (): Promise<TableReport> =>
      verifyTable({
        source, sink, table, passed,
        history: (columns, keyed) => new TopicHistoryReader({ reader, schemas: this.#schemas, codec, topic: this.#topics.events(table), columns, keyed }),
        pause: (round) => this.#pause(round),
        progress: (phase, rows) => this.#options.progress(sinkName, name, phase, rows),
      });
    try {
      return await compare();
    } catch (error) {
      if (actionFor(error) === 'retry') throw error;
      // A column or a table that went away between two statements: seen anew, it is either followed or told.
      return compare();
    }
  }

  async #copyFacts(sink: string): Promise<CopyFacts> {
    const { reader, snapshot } = this.#options;
    const known = (await reader.topics()).some(({ topic }) => topic === this.#topics.sink(sink));
    const said = known ? await readSinkRecords(reader, this.#topics, sink) : [];
    return { snapshot, sink, start: this.#start, copies: (await readSchemaState(reader, this.#topics)).copies, said };
  }

  async #pause(round: number): Promise<void> {
    const milliseconds = Math.min(2000, 50 * 2 ** round);
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    this.#options.signal.throwIfAborted();
  }
}

/** `schema.table` as `tableName` writes it; a dot in a schema's name would be ambiguous, and such names are rare enough. */
function splitName(name: string): { readonly schema: string; readonly name: string } {
  const dot = name.indexOf('.');
  return { schema: name.slice(0, dot), name: name.slice(dot + 1) };
}

/** A table that was dropped and made again stands there twice. */
function newer(best: TableSchema | null, table: TableSchema): TableSchema {
  if (best === null) return table;
  const { epoch, number } = table.version;
  return epoch > best.version.epoch || (epoch === best.version.epoch && number > best.version.number) ? table : best;
}

function standstillOf(progress: SinkProgress, marker: Lsn | null): SinkVerification['standstill'] {
  if (progress.standstill === null) return null;
  const { endLsn } = progress;
  return {
    reason: progress.standstill,
    endLsn: endLsn === null ? null : formatLsn(endLsn),
    lagBytes: endLsn === null || marker === null ? null : Number(marker > endLsn ? marker - endLsn : 0n),
  };
}

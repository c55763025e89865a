import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { splitPattern } from '../event/table-pattern.ts';
import { exitCodeOf, type SinkVerification, type TableReport } from '../pipeline/verify/report.ts';
import { statusError } from '../pipeline/supervision.ts';
import type { StatusError } from '../pipeline/status.ts';
import { PipelineVerifier, type VerifiedSink } from '../pipeline/verify/verify-sink.ts';
import type { Phase } from '../pipeline/verify/verify-table.ts';
import { checkLog, createCodec, createSink, createSource, logs } from '../registry.ts';
import { didYouMean } from '../runtime/did-you-mean.ts';
import { exitCodeFor, TailraceError } from '../runtime/errors.ts';
import { silentLogger } from '../runtime/logger.ts';
import { shortened } from '../runtime/printable.ts';
import { withLogReader } from './topics.ts';

export type { RowDifference, SinkVerification, TableReport } from '../pipeline/verify/report.ts';

export interface VerifyRequest {
  /** Undefined: every sink. */
  readonly sink: string | undefined;
  /** `schema.table` with wildcards. */
  readonly table: string | undefined;
  /** How long a sink may stand still before it is given up, in milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal;
  readonly progress: (at: { readonly pipeline: string; readonly sink: string; readonly table: string; readonly phase: Phase; readonly rows: number | null }) => void;
  readonly onTable: (pipeline: string, sink: string, report: TableReport) => void;
  readonly onSink: (pipeline: string, verification: SinkVerification) => void;
}

export interface PipelineVerification {
  readonly pipeline: string;
  readonly sinks: readonly SinkVerification[];
  /** Why the pipeline could not be verified at all. */
  readonly error: StatusError | null;
  /** 0 every replica is equal · 1 rows never came to rest · 3 cannot be said now · 4 a replica differs. */
  readonly exit: 0 | 1 | 2 | 3 | 4;
}

/** Compares the replicas with their sources, one pipeline after the other; changes nothing but for markers in the WAL. */
export async function verifyPipelines(configs: readonly PipelineConfig[], request: VerifyRequest): Promise<readonly PipelineVerification[]> {
  checkRequest(configs, request);
  const results: PipelineVerification[] = [];
  for (const config of configs) {
    const sinks: SinkVerification[] = [];
    try {
      await verifyPipeline(config, request, sinks);
      results.push({ pipeline: config.name, sinks, error: null, exit: exitCodeOf(sinks) });
    } catch (error) {
      if (!(error instanceof TailraceError) || error.code === 'usage') throw error;
      const certain = exitCodeOf(sinks);
      results.push({ pipeline: config.name, sinks, error: statusError(error), exit: certain === 4 ? certain : (exitCodeFor(error) as 1 | 2 | 3 | 4) });
    }
  }
  return results;
}

function checkRequest(configs: readonly PipelineConfig[], { sink, table }: VerifyRequest): void {
  const names = configs.flatMap((config) => config.sinks.map(({ name }) => name));
  if (names.length === 0) throw new TailraceError('usage', 'there is no sink to verify', { remedy: 'Name a file that has sinks.' });
  if (sink !== undefined && !names.includes(sink)) {
    const near = didYouMean(sink, names);
    throw new TailraceError('usage', `there is no sink ${shortened(sink, 60)}${near === undefined ? '' : `, did you mean ${near}?`}`, { remedy: `there are ${[...new Set(names)].join(', ')}` });
  }
  if (table !== undefined && splitPattern(table) === null) {
    throw new TailraceError('usage', `${shortened(table, 60)} is no table`, { remedy: 'write schema.table, with * for any run of characters' });
  }
}

/** Fills `sinks` as it goes on, so that what is certain is told although the rest fails. */
async function verifyPipeline(config: PipelineConfig, request: VerifyRequest, sinks: SinkVerification[]): Promise<void> {
  const { name: pipeline } = config;
  const context = { pipeline, logger: silentLogger };
  await withLogReader(config, async (reader) => {
    const source = await (await createSource(config.source, context)).openVerifier();
    try {
      const verifier = await PipelineVerifier.open({
        pipeline, source, reader, snapshot: config.source.snapshot, codec: await createCodec(config.format, context),
        pattern: request.table ?? null, timeout: request.timeout, signal: request.signal,
        // The lock is what the daemon holds; looking at it is what `check` does too. Where there is none, the slot tells.
        logInUse: async () => logs[config.log.type].writers === 'one' && (await checkLog(config.log, context)).some(({ check }) => check === 'log-lock'),
        progress: (sink, table, phase, rows) => request.progress({ pipeline, sink, table, phase, rows: rows ?? null }),
        onTable: (sink, report) => request.onTable(pipeline, sink, report),
      });
      for (const own of config.sinks) {
        if (request.sink !== undefined && own.name !== request.sink) continue;
        // What a stream gives has no table at the source to be compared with.
        if (own.from !== undefined) continue;
        const verified: VerifiedSink = { name: own.name, tables: own.tables, open: async () => (await createSink(own, { ...context, sink: own.name, ddl: config.ddl })).openVerifier() };
        const verification = await verifier.sink(verified);
        sinks.push(verification);
        request.onSink(pipeline, verification);
      }
    } finally {
      await source.close();
    }
  });
}

import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { matchesFilter } from '../event/table-pattern.ts';
import type { TableSchema } from '../event/table.ts';
import { checkLog, createCodec, createSink, createSource, logs } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Finding } from '../runtime/finding.ts';
import type { Logger } from '../runtime/logger.ts';
import { refuseForeignLog } from '../pipeline/log-owner.ts';
import { clashRemedy, topicClashes } from '../pipeline/topics.ts';
import { loadStream, noOutputs, outputsOf } from './streams.ts';
import { withLogReader } from './topics.ts';

/** One part of a pipeline and what its check found. `part`: `source`, `log`, `sink reporting`. */
export interface CheckedPart {
  readonly part: string;
  readonly findings: readonly Finding[];
}

/** Every problem of every part at once; changes nothing. A part that can't even be asked is a finding itself. */
export async function checkPipeline(config: PipelineConfig, logger: Logger): Promise<readonly CheckedPart[]> {
  const context = { pipeline: config.name, logger };
  const codec = await createCodec(config.format, context);
  let tables: readonly TableSchema[] = [];
  // First: what it captures is what the sinks are asked about. A shape that no log holds yet has no version.
  const source = await checked('source', async () => {
    const found = await (await createSource(config.source, context)).check();
    tables = found.tables.map((table) => ({ ...table, version: { epoch: 0, number: 0 } }));
    return [...found.findings, ...topicClashes(config.name, tables).map(topicFinding)];
  });
  const inputsOf = async ({ from }: { readonly from?: string | undefined }): Promise<readonly TableSchema[]> => (from === undefined ? tables : outputsOf(config, from));
  const others = await Promise.all([
    checked('log', async () => {
      const findings = await checkLog(config.log, context);
      return findings.some(({ severity }) => severity === 'error') ? findings : [...findings, ...(await ownerFindings(config))];
    }),
    ...(codec.check === undefined ? [] : [checked('format', () => codec.check?.() ?? [])]),
    ...config.streams.map((stream) => checked(`stream ${stream.name}`, async () => (await loadStream(config, stream, noOutputs)).sink.check(await inputsOf(stream)))),
    ...config.sinks.map(async (sink) => {
      const its = (await inputsOf(sink)).filter((table) => matchesFilter(sink.tables, table));
      return checked(`sink ${sink.name}`, async () => (await createSink(sink, { ...context, sink: sink.name, ddl: config.ddl })).check(its));
    }),
  ]);
  return [source, ...others];
}

/** Whose log it is; one that is not there yet is nobody's. */
async function ownerFindings(config: PipelineConfig): Promise<readonly Finding[]> {
  if (logs[config.log.type].writers !== 'one') return [];
  try {
    refuseForeignLog(config.name, await withLogReader(config, (reader) => reader.topics()));
  } catch (error) {
    if (!(error instanceof TailraceError && error.code === 'log-missing')) throw error;
  }
  return [];
}

function topicFinding(message: string): Finding {
  return { severity: 'error', check: 'topic', message, remedy: clashRemedy };
}

async function checked(part: string, check: () => readonly Finding[] | Promise<readonly Finding[]>): Promise<CheckedPart> {
  try {
    return { part, findings: await check() };
  } catch (error) {
    if (!(error instanceof TailraceError)) throw error;
    return { part, findings: [{ severity: 'error', check: error.code, message: error.message, remedy: error.remedy }] };
  }
}

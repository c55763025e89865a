import { mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { JobConfig, PipelineConfig } from '../config/pipeline-schema.ts';
import type { JobResult } from '../pipeline/job-runner.ts';
import { topicNames } from '../pipeline/topics.ts';
import { createSink } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import type { QueryResult } from '../sink/query.ts';
import type { Append } from './job-port.ts';

/** A result that does not become a table is held whole for a moment. */
const maxBytes = 64 << 20;
/** Rows that are appended to the topic at a time. */
const piece = 1000;

export interface Delivery {
  readonly config: PipelineConfig;
  readonly job: JobConfig;
  readonly run: { readonly id: string; readonly scheduled: number };
  readonly logger: Logger;
  readonly append: Append;
}

/** Asks the replica and brings the result to where the job wants it. */
export async function deliverJob({ config, job, run, logger, append }: Delivery): Promise<JobResult> {
  const own = config.sinks.find((sink) => sink.name === job.on);
  if (own === undefined) throw new TailraceError('internal', `there is no sink ${job.on}`);
  const sink = await createSink(own, { pipeline: config.name, sink: own.name, ddl: config.ddl, logger });
  if (sink.query === undefined) throw new TailraceError('job-query', `the replica of ${job.on} cannot be asked`);
  const { into } = job;
  const result = await sink.query({ sql: job.query, into: into.type === 'table' ? into.name : null, timeoutMs: job.timeout, maxBytes });
  switch (into.type) {
    case 'table':
      return { position: result.position, rows: result.count, into: `table ${into.name}` };
    case 'file': {
      const path = filled(into.path, run.scheduled, job.timezone);
      await writeWhole(path, into.format === 'csv' ? csv(result) : json(result));
      return { position: result.position, rows: result.count, into: path };
    }
    case 'topic': {
      const topic = topicNames(config.name).jobRows(job.name);
      for (let i = 0; i < result.rows.length; i += piece) {
        const values = result.rows.slice(i, i + piece).map((row) => Buffer.from(JSON.stringify({ run: run.id, scheduled: new Date(run.scheduled).toISOString(), row: named(result, row) })));
        await append(topic, values);
      }
      return { position: result.position, rows: result.count, into: topic };
    }
  }
}

/** `{date}` and `{time}`: when the run was due, by the job's clock; of characters that every file system takes. */
function filled(path: string, scheduled: number, timezone: string): string {
  const parts = new Map(
    new Intl.DateTimeFormat('en-CA', { timeZone: timezone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' })
      .formatToParts(scheduled)
      .map(({ type, value }) => [type, value]),
  );
  const date = ['year', 'month', 'day'].map((part) => parts.get(part as Intl.DateTimeFormatPartTypes)).join('-');
  const time = ['hour', 'minute', 'second'].map((part) => parts.get(part as Intl.DateTimeFormatPartTypes)).join('');
  return path.replaceAll('{date}', date).replaceAll('{time}', time);
}

/** Whoever reads the file sees the old one or the new one, never a part. */
async function writeWhole(path: string, text: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const beside = `${path}.${process.pid}.tmp`;
    const file = await open(beside, 'w');
    try {
      await file.writeFile(text);
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (cause) {
    throw new TailraceError('job-file', `${path} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** RFC 4180: NULL is nothing, the empty text is two quotes. */
function csv({ columns, rows }: QueryResult): string {
  const field = (value: string | null): string => (value === null ? '' : value === '' || /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return [columns, ...rows].map((row) => `${row.map(field).join(',')}\r\n`).join('');
}

function json(result: QueryResult): string {
  return result.rows.map((row) => `${JSON.stringify(named(result, row))}\n`).join('');
}

function named({ columns }: QueryResult, row: readonly (string | null)[]): Record<string, string | null> {
  const object = Object.create(null) as Record<string, string | null>;
  for (const [i, column] of columns.entries()) object[column] = row[i] ?? null;
  return object;
}

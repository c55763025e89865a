import { rawOf } from '../config/checked.ts';
import { readConfig, type PipelineConfig } from '../config/pipeline-schema.ts';
import { formatLsn, parseLsn, type Lsn } from '../event/lsn.ts';
import { Replayer, type ReplayerProgress } from '../pipeline/replayer.ts';
import type { SinkReporter } from '../pipeline/sink-start.ts';
import { lastEndWhere } from '../pipeline/replay-start.ts';
import type { EndRecord, Place } from '../pipeline/control-records.ts';
import type { LogReader } from '../log/log.ts';
import { isAfter, type Position } from '../event/position.ts';
import { createCodec, createSink, sinks } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import { shortened } from '../runtime/printable.ts';
import { inputTopics } from './followers.ts';
import { withLogReader } from './topics.ts';

/** A point of the log: a commit LSN, or a time in milliseconds since 1970. */
export type ReplayPoint = { readonly lsn: Lsn } | { readonly time: number };

export interface ReplayRequest {
  readonly sink: string;
  /** Where the replica is built, as the sink's own configuration would say it: a URL, a path. */
  readonly to: string;
  /** The tables are begun with the copies that there were then. Null: with the newest of those at `until`. */
  readonly from: ReplayPoint | null;
  /** The last transaction is at or before it. Null: all that the log holds. */
  readonly until: ReplayPoint | null;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly onProgress: (progress: ReplayerProgress) => void;
}

export interface Replayed {
  readonly applied: number;
  /** Commit LSN and time of the last transaction in the replica; null when there was none. */
  readonly last: { readonly commitLsn: string; readonly committedAt: number } | null;
  /** Tables whose copy was not complete at that point: the replica has a part of them. */
  readonly incomplete: readonly string[];
  /** Tables that the log knows and has nothing of by then. */
  readonly without: readonly string[];
}

const progressInterval = 1000;

/**
 * Builds a replica from the log alone, as it was at a point in the past, beside whoever runs the pipeline. What it is asked for as
 * `to` gets the rows and the position of the sink; it may be there from an earlier replay, and is then gone on with.
 */
export async function replaySink(config: PipelineConfig, request: ReplayRequest): Promise<Replayed> {
  const { logger } = request;
  const own = config.sinks.find((sink) => sink.name === request.sink);
  if (own === undefined) {
    throw new TailraceError('usage', `the pipeline ${config.name} has no sink ${shortened(request.sink, 60)}`, { remedy: `it has ${config.sinks.map((sink) => sink.name).join(', ') || 'none'}` });
  }
  const placed = elsewhere(config, own.name, request.to);
  const sink = await createSink(placed, { pipeline: config.name, sink: own.name, ddl: config.ddl, logger });
  const topics = inputTopics(config.name, own);
  return withLogReader(config, async (reader) => {
    const { until, last, from } = await stretchOf(reader, topics.transaction, request);
    const replayer = await Replayer.open({
      topics, sinkName: own.name, sink, reader,
      codec: await createCodec(config.format, { pipeline: config.name, logger }), filter: own.tables, snapshot: config.source.snapshot, onError: 'stop', reporter: nobody, logger,
      alone: { from, until },
    }, request.signal);
    const refusal = refusalOf(request, replayer.progress.position, last);
    if (refusal !== null) {
      await replayer.run(AbortSignal.abort());
      throw refusal;
    }
    const timer = setInterval(() => request.onProgress(replayer.progress), progressInterval);
    try {
      await replayer.run(request.signal);
    } finally {
      clearInterval(timer);
    }
    const { applied, position, commitTime, copying, uncopied } = replayer.progress;
    return { applied, last: position && { commitLsn: formatLsn(position.commitLsn), committedAt: Number(commitTime / 1000n) }, incomplete: copying, without: config.source.snapshot === 'never' ? [] : uncopied.filter((table) => !copying.includes(table)) };
  });
}

/** What keeps a replica that stands at --to already from being gone on with; null for nothing. */
function refusalOf({ from, until }: ReplayRequest, position: Position | null, last: Place): TailraceError | null {
  if (position === null) return null;
  const lsn = formatLsn(position.commitLsn);
  if (isAfter(position, last)) return new TailraceError('usage', `the replica at --to stands at ${lsn} already, which is behind ${pointText(until)}`, { remedy: 'A replica goes forward only: name another place with --to.' });
  return from === null ? null : new TailraceError('usage', `what stands at --to is a replica already, at ${lsn}, and --from is for a new one`, { remedy: 'Leave --from out to go on with it, or name another place with --to.' });
}

/** What of the log is replayed. Throws `gap` where it holds nothing up to a point. */
async function stretchOf(reader: LogReader, topic: string, { from, until }: ReplayRequest): Promise<{ readonly until: (end: EndRecord) => boolean; readonly last: Place; readonly from: Place }> {
  const untilHolds = upTo(until);
  const last = await lastEndWhere(reader, topic, untilHolds);
  // What a stream's outputs begin with is of no transaction of the source yet, and of no time.
  if (last === null || (until !== null && 'time' in until && last.input === null)) throw nothingUpTo(until);
  if (from === null) return { until: untilHolds, last, from: last };
  const first = await lastEndWhere(reader, topic, upTo(from));
  if (first === null) throw nothingUpTo(from);
  if (isAfter(first, last)) throw new TailraceError('usage', `--from ${pointText(from)} is behind --until ${pointText(until)}`);
  return { until: untilHolds, last, from: first };
}

function upTo(point: ReplayPoint | null): (end: EndRecord) => boolean {
  if (point === null) return () => true;
  return 'lsn' in point ? (end) => end.commitLsn <= point.lsn : (end) => Number(end.commitTime / 1000n) <= point.time;
}

function nothingUpTo(point: ReplayPoint | null): TailraceError {
  return new TailraceError('gap', point === null ? 'the log holds no transaction yet' : `the log holds nothing of ${pointText(point)} or earlier: it began later, or retention has removed it`, { remedy: 'Choose a later point; tailrace topics describe PIPELINE.transaction says from when on the log holds transactions.' });
}

function pointText(point: ReplayPoint | null): string {
  if (point === null) return 'the end of the log';
  return 'lsn' in point ? formatLsn(point.lsn) : new Date(point.time).toISOString();
}

/** The sink's configuration with another place: read again by its schema, because a place may be more than a text. */
function elsewhere(config: PipelineConfig, name: string, to: string): PipelineConfig['sinks'][number] {
  const raw = structuredClone(rawOf(config)) as { sinks: Record<string, unknown>[] };
  const index = config.sinks.findIndex((sink) => sink.name === name);
  const own = raw.sinks[index] as Record<string, unknown>;
  const { place } = sinks[(config.sinks[index] as PipelineConfig['sinks'][number]).type];
  if (own[place] === to) throw new TailraceError('usage', `${place} of the sink ${name} is the same: its replica belongs to the running pipeline`, { remedy: 'Name another place with --to.' });
  own[place] = to;
  try {
    return readConfig(raw).sinks[index] as PipelineConfig['sinks'][number];
  } catch (cause) {
    throw new TailraceError('usage', `--to is no ${place} for a sink of type ${String(own['type'])}`, { cause });
  }
}

/** Nothing of a replay is said in the log: the sink's own topic is that of the one that runs. */
const nobody: SinkReporter = { append: async () => {} };

/** `16/B374D848`, or a time as ISO 8601 has it; null for anything else. */
export function parsePoint(text: string): ReplayPoint | null {
  const lsn = parseLsn(text);
  if (lsn !== undefined) return { lsn };
  const time = /^\d{4}-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? null : { time };
}

import { configFromPortable, portableConfig } from '../config/load.ts';
import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { formatLsn, parseLsn, type Lsn } from '../event/lsn.ts';
import { Replayer, type ReplayerProgress } from '../pipeline/replayer.ts';
import type { SinkReporter } from '../pipeline/sink-start.ts';
import { streamTopics, topicNames } from '../pipeline/topics.ts';
import { createCodec, createSink, sinks } from '../registry.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/logger.ts';
import { shortened } from '../runtime/printable.ts';
import { withLogReader } from './topics.ts';

/** The last transaction that is replayed: at or before this commit LSN, or time in milliseconds since 1970. */
export type ReplayPoint = { readonly lsn: Lsn } | { readonly time: number };

export interface ReplayRequest {
  readonly sink: string;
  /** Where the replica is built, as the sink's own configuration would say it: a URL, a path. */
  readonly to: string;
  /** Null: all that the log holds. */
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
}

const progressInterval = 1000;

/**
 * Builds a replica from the log alone, as it was at a point in the past, beside whoever runs the pipeline. What it is asked for as
 * `to` gets the rows and the position of the sink; it may be there from an earlier replay, and is then gone on with.
 */
export async function replaySink(config: PipelineConfig, request: ReplayRequest): Promise<Replayed> {
  const { logger, until } = request;
  const own = config.sinks.find((sink) => sink.name === request.sink);
  if (own === undefined) {
    throw new TailraceError('usage', `the pipeline ${config.name} has no sink ${shortened(request.sink, 60)}`, { remedy: `it has ${config.sinks.map((sink) => sink.name).join(', ') || 'none'}` });
  }
  const placed = elsewhere(config, own.name, request.to);
  const sink = createSink(placed, { pipeline: config.name, sink: own.name, ddl: config.ddl, logger });
  return withLogReader(config, async (reader) => {
    const replayer = await Replayer.open({
      topics: own.from === undefined ? topicNames(config.name) : streamTopics(config.name, own.from), sinkName: own.name, sink, reader,
      codec: createCodec(config.format, { pipeline: config.name, logger }), filter: own.tables, snapshot: config.source.snapshot, onError: 'stop', reporter: logAlone(own.name), logger,
      until: until === null ? () => true : 'lsn' in until ? (end) => end.commitLsn <= until.lsn : (end) => Number(end.commitTime / 1000n) <= until.time,
    }, request.signal);
    const timer = setInterval(() => request.onProgress(replayer.progress), progressInterval);
    try {
      await replayer.run(request.signal);
    } finally {
      clearInterval(timer);
    }
    const { applied, position, commitTime, copying } = replayer.progress;
    return { applied, last: position && { commitLsn: formatLsn(position.commitLsn), committedAt: Number(commitTime / 1000n) }, incomplete: copying };
  });
}

/** The sink's configuration with another place: read again by its schema, because a place may be more than a text. */
function elsewhere(config: PipelineConfig, name: string, to: string): PipelineConfig['sinks'][number] {
  const portable = structuredClone(portableConfig(config)) as { sinks: Record<string, unknown>[] };
  const index = config.sinks.findIndex((sink) => sink.name === name);
  const own = portable.sinks[index] as Record<string, unknown>;
  const { place } = sinks[(config.sinks[index] as PipelineConfig['sinks'][number]).type];
  if (own[place] === to) throw new TailraceError('usage', `${place} of the sink ${name} is the same: its replica belongs to the running pipeline`, { remedy: 'Name another place with --to.' });
  own[place] = to;
  try {
    return configFromPortable(portable).sinks[index] as PipelineConfig['sinks'][number];
  } catch (cause) {
    throw new TailraceError('usage', `--to is no ${place} for a sink of type ${String(own['type'])}`, { cause });
  }
}

/** Nothing is written to the log, and nothing can be asked for: what it does not hold is missing. */
function logAlone(sink: string): SinkReporter {
  return {
    append: async (_kind, { ask }) => {
      if (ask?.type === 'ask') {
        throw new TailraceError('gap', `the log no longer holds ${ask.table} from its beginning, so that ${sink} cannot be built from it alone`, { remedy: 'Keep the log longer (log.retention), or let a running sink be filled: it asks for a copy.' });
      }
    },
  };
}

/** `16/B374D848`, or a time as ISO 8601 has it; null for anything else. */
export function parsePoint(text: string): ReplayPoint | null {
  const lsn = parseLsn(text);
  if (lsn !== undefined) return { lsn };
  const time = /^\d{4}-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? null : { time };
}

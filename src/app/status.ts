import type { PipelineConfig } from '../config/pipeline-schema.ts';
import { formatLsn } from '../event/lsn.ts';
import type { LogReader } from '../log/log.ts';
import type { SnapshotRecord } from '../pipeline/control-records.ts';
import type { CopyOrders } from '../pipeline/copy-orders.ts';
import { readProgress, readSchemaState } from '../pipeline/log-state.ts';
import { readSinkRecords } from '../pipeline/sink-topic.ts';
import type { CopyState, PipelineStatus, SinkStatus, TableCopyStatus } from '../pipeline/status.ts';
import { topicNames } from '../pipeline/topics.ts';
import { TailraceError } from '../runtime/errors.ts';
import type { HttpAddress } from '../runtime/http.ts';
import { askDaemon } from './control/ask-daemon.ts';
import type { DaemonStatus } from './daemon-http.ts';
import { inputTopics } from './followers.ts';
import { partsOfStream } from './spread-streams.ts';
import { withLogReader } from './topics.ts';

const daemonTimeout = 3000;

export interface DaemonPlaces {
  /** Its pages. */
  readonly http: HttpAddress | null;
  /** TAILRACE_RUNTIME_DIR. */
  readonly runtimeFolder: string | undefined;
}

/** The daemon's own word where one runs these pipelines, by its socket or its pages; else what their logs hold. */
export async function pipelineStatuses(configs: readonly PipelineConfig[], { http, runtimeFolder }: DaemonPlaces): Promise<readonly PipelineStatus[]> {
  const told = await Promise.all(configs.map((config) => askDaemon(config, 'status', {}, { runtimeFolder, timeoutMs: daemonTimeout }).catch(() => null)));
  const daemon = http === null || told.every((status) => status !== null) ? null : await askPages(http);
  // Two daemons in two folders may both run a pipeline of this name.
  const running = daemon?.workingDirectory === process.cwd() ? daemon.pipelines : [];
  return Promise.all(configs.map(async (config, i) => told[i] ?? running.find(({ pipeline }) => pipeline === config.name) ?? statusFromLog(config)));
}

/** Null when nobody answers there, or somebody who is no Tailrace. */
export async function askPages({ host, port }: HttpAddress): Promise<DaemonStatus | null> {
  try {
    const response = await fetch(`http://${host.includes(':') ? `[${host}]` : host}:${port}/status`, { signal: AbortSignal.timeout(daemonTimeout) });
    const answer = (await response.json()) as Partial<DaemonStatus> | null;
    return response.ok && Array.isArray(answer?.pipelines) && typeof answer.pid === 'number' ? (answer as DaemonStatus) : null;
  } catch {
    return null;
  }
}

/** Where a pipeline stands that nobody runs. Reads the whole `transaction` topic: seconds on a log of millions of them. */
async function statusFromLog(config: PipelineConfig): Promise<PipelineStatus> {
  const nothing: PipelineStatus = {
    pipeline: config.name,
    state: 'not-running',
    error: null,
    source: null,
    snapshot: [],
    leftOut: [],
    sinks: followers(config).map((follower) => ({ ...unknownSink, ...follower })),
    jobs: [],
    compaction: null,
  };
  try {
    return await withLogReader(config, async (reader) => ({ ...nothing, ...(await readLog(reader, config)) }));
  } catch (error) {
    // A pipeline that was never run has no log yet, which is no error here.
    if (error instanceof TailraceError && error.code === 'log-missing') return nothing;
    throw error;
  }
}

async function readLog(reader: LogReader, config: PipelineConfig): Promise<Partial<PipelineStatus>> {
  const topics = topicNames(config.name);
  const known = new Set((await reader.topics()).map(({ topic }) => topic));
  if (!known.has(topics.transaction)) return {};
  const { start, end, nextOffset } = await readProgress(reader, topics);
  const schema = known.has(topics.schema) ? await readSchemaState(reader, topics) : null;
  const endLsn = end?.endLsn ?? null;
  const sinks = await Promise.all(
    followers(config).map(async ({ name, kind, from }) => {
      const its = inputTopics(config.name, { from });
      const input = from === undefined ? { end, nextOffset } : known.has(its.transaction) ? await readProgress(reader, its) : undefined;
      const isKnown = input !== undefined && known.has(topics.sink(name));
      return { ...(isKnown ? await sinkFromLog(reader, config, { name, nextOffset: input.nextOffset, endLsn: from === undefined ? endLsn : null }) : { ...unknownSink, name }), kind };
    }),
  );
  return {
    source: {
      slot: start?.slot ?? '',
      confirmedFlush: null,
      walHeldBytes: null,
      lastEnd: end === null ? null : formatLsn(end.endLsn),
      // An END without events may stand for a keepalive, which has no commit.
      lastCommitAt: end === null || end.commitTime === 0n ? null : Number(end.commitTime / 1000n),
      events: 0,
      transactions: 0,
    },
    snapshot: [...(schema?.copies.values() ?? [])].map(
      (copy): TableCopyStatus => ({ table: copy.table, sink: copy.sink, state: copyState(copy, schema?.orders), rows: copy.rows, estimate: null, retries: 0, waitingFor: null, where: copy.where, holdsPublishing: false, error: null }),
    ),
    sinks,
  };
}

function copyState({ last, table }: SnapshotRecord, orders: CopyOrders | undefined): CopyState {
  if (last) return 'done';
  if (orders?.isStopped(table) === true) return 'stopped';
  return orders?.isPaused(table) === true ? 'paused' : 'copying';
}

function followers(config: PipelineConfig): readonly (Pick<SinkStatus, 'name' | 'kind'> & { readonly from: string | undefined })[] {
  const streams = config.streams.flatMap((stream) => partsOfStream(stream).map((name) => ({ name, kind: 'stream' as const, from: stream.from })));
  return [...streams, ...config.sinks.map(({ name, from }) => ({ name, kind: 'sink' as const, from }))];
}

const unknownSink: SinkStatus = {
  name: '',
  kind: 'sink',
  state: 'not-running',
  error: null,
  position: null,
  lagMs: null,
  lagBytes: null,
  behindTransactions: null,
  applied: 0,
  missing: 0,
  blockedKeys: 0,
};

/** What a sink last said of itself in its topic: never ahead of its replica, maybe a little behind. */
async function sinkFromLog(reader: LogReader, config: PipelineConfig, at: { name: string; nextOffset: number; endLsn: bigint | null }): Promise<SinkStatus> {
  const { name, nextOffset, endLsn } = at;
  const records = await readSinkRecords(reader, topicNames(config.name), name);
  const last = records.findLast((record) => record.type === 'position' || record.type === 'forgotten');
  if (last?.type !== 'position') return { ...unknownSink, name };
  return {
    ...unknownSink,
    name,
    position: formatLsn(last.commitLsn),
    lagBytes: endLsn === null ? null : Number(endLsn > last.endLsn ? endLsn - last.endLsn : 0n),
    behindTransactions: Math.max(0, nextOffset - 1 - last.offset),
  };
}

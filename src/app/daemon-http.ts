import type { PipelineStatus } from '../pipeline/status.ts';
import type { HttpRoutes } from '../runtime/http.ts';
import type { Metrics } from '../runtime/metrics.ts';

/** What `/status` serves, and `tailrace status` reads. */
export interface DaemonStatus {
  readonly version: string;
  readonly pid: number;
  /** Where relative paths of the config begin: tells two daemons of one pipeline name apart. */
  readonly workingDirectory: string;
  readonly pipelines: readonly PipelineStatus[];
}

/**
 * `/healthz`: the process turns. A replica that is down must not make anyone restart the daemon, so nothing else counts.
 * `/readyz`: every pipeline captures (where this process is the one that does); sinks don't count, since they share nothing but the log.
 */
export function daemonRoutes(look: () => readonly PipelineStatus[], version: string): HttpRoutes {
  // By the first who asks: what measures the process wakes it a hundred times a second, and is a third of what an idle daemon does.
  let loading: Promise<Metrics> | undefined;
  return {
    '/healthz': () => ({ status: 200, json: { status: 'ok' } }),
    '/readyz': () => {
      const waiting = look().filter(({ state }) => state !== 'streaming' && state !== 'snapshotting' && state !== 'elsewhere');
      const json = { status: waiting.length === 0 ? 'ok' : 'not ready', pipelines: waiting.map(({ pipeline, state, error }) => ({ pipeline, state, code: error?.code ?? null })) };
      return { status: waiting.length === 0 ? 200 : 503, json };
    },
    '/metrics': async () => {
      const metrics = await (loading ??= import('../runtime/metrics.ts').then((file) => new file.Metrics()));
      record(metrics, look());
      return { status: 200, type: metrics.contentType, text: await metrics.text() };
    },
    '/status': () => ({ status: 200, json: { version, pid: process.pid, workingDirectory: process.cwd(), pipelines: look() } satisfies DaemonStatus }),
  };
}

function record(metrics: Metrics, pipelines: readonly PipelineStatus[]): void {
  metrics.clear();
  for (const { pipeline, state, source, snapshot, sinks, compaction } of pipelines) {
    const labels = { pipeline };
    metrics.set('up', labels, state === 'elsewhere' ? null : state === 'streaming' || state === 'snapshotting' ? 1 : 0);
    metrics.set('events', labels, source?.events ?? null);
    metrics.set('transactions', labels, source?.transactions ?? null);
    metrics.set('walHeld', labels, source?.walHeldBytes ?? null);
    metrics.set('lastCommit', labels, source?.lastCommitAt == null ? null : source.lastCommitAt / 1000);
    metrics.set('tablesCopying', labels, snapshot.filter((table) => table.state !== 'done').length);
    metrics.set('snapshotRows', labels, snapshot.reduce((rows, table) => rows + (table.state === 'copying' ? table.rows : 0), 0));
    metrics.set('compactions', labels, compaction?.runs ?? null);
    metrics.set('compactionBefore', labels, compaction?.bytesBefore ?? null);
    metrics.set('compactionAfter', labels, compaction?.bytesAfter ?? null);
    metrics.set('compactionSeconds', labels, compaction === null ? null : compaction.durationMs / 1000);
    metrics.set('lastCompaction', labels, compaction?.lastAt == null ? null : compaction.lastAt / 1000);
    for (const sink of sinks) {
      if (sink.state === 'elsewhere') continue;
      const own = { pipeline, sink: sink.name };
      metrics.set('sinkUp', own, sink.state === 'current' || sink.state === 'catching-up' ? 1 : 0);
      metrics.set('sinkLagSeconds', own, sink.lagMs === null ? null : sink.lagMs / 1000);
      metrics.set('sinkLagBytes', own, sink.lagBytes);
      metrics.set('sinkBehind', own, sink.behindTransactions);
      metrics.set('sinkApplied', own, sink.applied);
      metrics.set('sinkBlocked', own, sink.blockedKeys);
    }
  }
}

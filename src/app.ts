import { setFlagsFromString } from 'node:v8';
import { daemonRoutes } from './app/daemon-http.ts';
import { socketPlace } from './app/control/place.ts';
import { PipelineHost, type Parts } from './app/pipeline-host.ts';
import { RegistryServer } from './app/registry-http.ts';
import type { PipelineConfig } from './config/pipeline-schema.ts';
import type { PipelineStatus } from './pipeline/status.ts';
import { serveHttp, type HttpAddress } from './runtime/http.ts';
import { logs } from './registry.ts';
import { TailraceError } from './runtime/errors.ts';
import type { Logger } from './runtime/logger.ts';

export type { Parts } from './app/pipeline-host.ts';

/** What `tailrace run` hands over. */
export interface RunOptions {
  readonly logger: Logger;
  /** This program's, for /status. */
  readonly version: string;
  /** Where /healthz, /readyz, /metrics and /status are served; null for nowhere. */
  readonly http: HttpAddress | null;
  /** Where commands to the daemon arrive; undefined for the usual place. */
  readonly runtimeFolder: string | undefined;
  /** What of each pipeline this process does. */
  readonly parts: Parts;
  /** Aborted by the first SIGINT or SIGTERM: stop taking in, finish or give up what is under way, and return. */
  readonly signal: AbortSignal;
  /** Called once everything is set up, with a way to look at it: the progress display polls it. Cheap to call. */
  readonly onRunning?: (look: () => readonly PipelineStatus[]) => void;
}

/**
 * Runs the pipelines until the signal aborts or every one of them has stopped for good; resolves with the exit code: 0 after a
 * signal, else the code of the first error. One pipeline that stops leaves the others running.
 */
export async function runPipelines(configs: readonly PipelineConfig[], options: RunOptions): Promise<number> {
  const { logger, signal } = options;
  requireManyWriters(configs, options.parts);
  // Before the threads start, because they take their settings from here: a heap may double before it is collected. V8 alone
  // lets it grow more, and optimizing for size, which the program began with, costs more time than all that is done with a row.
  setFlagsFromString('--no-optimize-for-size');
  setFlagsFromString('--heap-growing-percent=100');
  const hosts: PipelineHost[] = [];
  const look = (): readonly PipelineStatus[] => hosts.map((host) => host.status());
  const places = configs.map((config) => ({ config, place: socketPlace(config, options.runtimeFolder) }));
  const registry = RegistryServer.of(configs);
  const http = options.http === null ? null : await serveHttp(options.http, daemonRoutes(look, options.version), logger, registry);
  if (http !== null) logger.info({ host: http.address.host, port: http.address.port }, 'status and metrics are served');
  // Only now: an address that can't be had must not leave threads behind.
  hosts.push(...places.map(({ config, place }) => new PipelineHost(config, { logger, place, parts: options.parts })));
  options.onRunning?.(look);
  const stopping: Promise<void>[] = [];
  const stop = (): void => void stopping.push(...hosts.map((host) => host.stop()));
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  const exits = await Promise.all(hosts.map((host) => host.ended));
  await Promise.all(stopping);
  await http?.close();
  await registry?.close();
  return signal.aborted ? 0 : (exits.find((exit) => exit !== 0) ?? 0);
}

/** Who does only a part leaves the rest to others, who must be able to get at the log. */
function requireManyWriters(configs: readonly PipelineConfig[], { publisher, streams, sinks }: Parts): void {
  if (publisher && streams && sinks === undefined) return;
  for (const { name, log } of configs) {
    if (logs[log.type].writers === 'many') continue;
    throw new TailraceError('usage', `the parts of the pipeline ${name} cannot be run apart: its log (${log.type}) is one process's`, { remedy: 'leave --role out, or let the topics live in Kafka (log: { type: kafka })' });
  }
}

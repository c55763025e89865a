import type { PipelineConfig } from './config/pipeline-schema.ts';
import type { PipelineStatus } from './pipeline/status.ts';
import { TailraceError } from './runtime/errors.ts';
import type { Finding } from './runtime/finding.ts';
import type { HttpAddress } from './runtime/http.ts';
import type { Logger } from './runtime/logger.ts';

/** What `tailrace run` hands over. */
export interface RunOptions {
  readonly logger: Logger;
  /** Where /healthz, /readyz, /metrics and /status are served; null for nowhere. */
  readonly http: HttpAddress | null;
  /** Aborted by the first SIGINT or SIGTERM: stop taking in, finish or give up what is under way, and return. */
  readonly signal: AbortSignal;
  /** Called once everything is set up, with a way to look at it: the progress display polls it. Cheap to call. */
  readonly onRunning?: (look: () => readonly PipelineStatus[]) => void;
}

/** One part of a pipeline and what its check found. `part`: `source`, `log`, `sink reporting`. */
export interface CheckedPart {
  readonly part: string;
  readonly findings: readonly Finding[];
}

/**
 * Runs the pipelines until the signal aborts or every one of them has stopped for good; resolves with the exit code: 0 after a
 * signal, else the code of the first error. One pipeline that stops leaves the others running.
 */
export function runPipelines(configs: readonly PipelineConfig[], options: RunOptions): Promise<number> {
  void configs;
  void options;
  throw new TailraceError('internal', 'running is not built in yet');
}

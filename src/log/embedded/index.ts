import type { EmbeddedLogConfig } from './config.ts';
import { openEmbeddedLog, type EmbeddedLog } from './embedded-log.ts';

export { checkEmbeddedLog } from './check.ts';

/**
 * The log that a configuration describes. `shared` is the writer's in a thread that only reads (see EmbeddedLogOptions).
 * Retention is not the log's own business: the pipeline knows what is still needed, and trims.
 */
export function createEmbeddedLog(config: EmbeddedLogConfig, { shared, logId }: { readonly shared?: SharedArrayBuffer | undefined; readonly logId?: string | undefined } = {}): EmbeddedLog {
  return openEmbeddedLog({
    directory: config.directory,
    segmentSize: config.segment_size,
    segmentAge: config.segment_age,
    shared,
    logId,
  });
}

import { z } from 'zod';
import { duration, size } from '../measures.ts';
import { openEmbeddedLog, type EmbeddedLog } from './embedded-log.ts';

/** What stands behind `log: { type: embedded }`. Sizes become bytes, durations milliseconds. */
export const embeddedLogConfig = z.strictObject({
  directory: z.string().min(1).describe('The folder of the log, this pipeline\'s alone; made where it is missing.'),
  segment_size: size({ min: '64KiB', max: '1GiB' })
    .prefault('64MiB')
    .describe('Events are let go by whole segments of about this size.'),
  segment_age: duration({ min: '1s' })
    .prefault('1d')
    .describe('And a segment holds events of at most this long.'),
});

export { checkEmbeddedLog } from './check.ts';
export { embeddedLogClaims } from './claims.ts';

export type EmbeddedLogConfig = z.output<typeof embeddedLogConfig>;

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

import { z } from 'zod';
import { duration, size } from '../measures.ts';

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

export type EmbeddedLogConfig = z.output<typeof embeddedLogConfig>;

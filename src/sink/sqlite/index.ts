import { z } from 'zod';
import type { Logger } from '../../runtime/logger.ts';
import { parseTimer } from '../../runtime/units.ts';
import type { Sink } from '../sink.ts';
import { SqliteSink } from './sqlite-sink.ts';

const name = z.string().min(1);
const duration = z.string().transform((text, context) => {
  const parsed = parseTimer(text);
  if (parsed.problem === undefined) return parsed.value;
  context.addIssue({ code: 'custom', message: parsed.problem });
  return z.NEVER;
});

export const sqliteSinkConfig = z.strictObject({
  path: z.string().min(1).describe('The SQLite file; made, with its folder, where it is missing. Other processes may read it at any time.'),
  rename: z.record(name, name).default({}).describe('Names of tables at the replica, by schema.table. Without one: the name in schema public, schema.table elsewhere.'),
  leave_out: z.record(name, z.array(name).min(1)).default({}).describe('Columns that the replica does not get, by schema.table. No column of a key.'),
  busy_timeout: duration.prefault('5s').meta({ examples: ['5s'] }).describe('How long the sink waits for another writer of the file before it says so and tries again.'),
});

export interface SqliteSinkContext {
  readonly pipeline: string;
  readonly sink: string;
  readonly logger: Logger;
}

export function createSqliteSink(config: z.output<typeof sqliteSinkConfig>, { pipeline, sink, logger }: SqliteSinkContext): Sink {
  return new SqliteSink({
    path: config.path,
    busyTimeout: config.busy_timeout,
    placement: { rename: config.rename, leaveOut: config.leave_out },
    // Neither name has a dot.
    sink: `${pipeline}.${sink}`,
    logger,
  });
}
